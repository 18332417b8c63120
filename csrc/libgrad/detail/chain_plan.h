/// libgrad/detail/chain_plan.h -- which functions of a chain keep their graph,
/// and which run again, and when.

#pragma once

#include <libgrad/detail/chain_costs.h>

#include <limits>
#include <utility>

namespace libgrad {

/// A part of a schedule: the functions `begin` to `end`, without the latter.
struct ChainPart {
  int64_t begin = 0;
  int64_t end = 0;
  /// How backward runs them again; empty for one function, whose graph is kept.
  std::vector<ChainPart> again = {};
};

namespace detail {

using ChainParts = std::vector<ChainPart>;

/// The peak of `parts`, up to `end`.
inline int64_t peak_of(
    const ChainParts& parts, int64_t end, const ChainNeeds& needs) {
  int64_t peak = 0;
  int64_t kept = 0;
  for (const auto& part : parts) {
    if (part.again.empty()) {
      peak = std::max(peak, kept + needs.keep(part.begin, end));
      kept += needs.kept(part.begin);
      continue;
    }
    for (int64_t step = part.begin; step < part.end; ++step) {
      const auto pass = needs.pass(part.begin, step) + needs.waiting(end);
      peak = std::max(peak, kept + pass);
    }
    peak = std::max(peak, kept + peak_of(part.again, part.end, needs));
    kept += needs.tensor(part.end);
  }
  return peak;
}

/// Counts in `runs`, for each function, how often it runs forward.
inline void count_runs(const ChainParts& parts, std::vector<int64_t>& runs) {
  for (const auto& part : parts) {
    for (int64_t step = part.begin; step < part.end; ++step) {
      ++runs[step];
    }
    count_runs(part.again, runs);
  }
}

/// A value for each part of a chain, begin < end.
template <class Value>
class ByPart {
 public:
  ByPart(int64_t size, int64_t levels = 1, Value value = {})
      : size_(size),
        levels_(levels),
        values_(size * (size + 1) / 2 * levels, value) {}

  /// The first of its levels.
  Value* at(int64_t begin, int64_t end) {
    const int64_t row = begin * size_ - begin * (begin - 1) / 2;
    return values_.data() + (row + end - begin - 1) * levels_;
  }

 private:
  int64_t size_;
  int64_t levels_;
  std::vector<Value> values_;
};

/// How little memory each part of a chain can do with.
class LeastMemory {
 public:
  explicit LeastMemory(const ChainNeeds& needs)
      : needs_(needs),
        least_(needs.size()) {
    for (int64_t begin = needs.size() - 1; begin >= 0; --begin) {
      for (int64_t end = begin + 1; end <= needs.size(); ++end) {
        *least_.at(begin, end) = best(begin, end).first;
      }
    }
  }

  int64_t of(int64_t begin, int64_t end) { return *least_.at(begin, end); }

  /// A schedule that does.
  ChainParts parts(int64_t begin, int64_t end) {
    ChainParts parts;
    while (begin < end) {
      const auto cut = best(begin, end).second;
      if (cut == begin) {
        parts.push_back({begin, begin + 1});
        ++begin;
      } else {
        parts.push_back({begin, cut, this->parts(begin, cut)});
        begin = cut;
      }
    }
    return parts;
  }

 private:
  /// With the first cut: `begin` itself where its graph is kept.
  std::pair<int64_t, int64_t> best(int64_t begin, int64_t end) {
    auto memory = needs_.keep(begin, end);
    int64_t at = begin;
    if (end - begin > 1) {
      memory = std::max(memory, needs_.kept(begin) + of(begin + 1, end));
    }
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto other = std::max(
          {pass + needs_.waiting(end),
           needs_.tensor(cut) + of(cut, end),
           of(begin, cut)});
      if (other < memory) {
        memory = other;
        at = cut;
      }
    }
    return {memory, at};
  }

  const ChainNeeds& needs_;
  ByPart<int64_t> least_;
};

}  // namespace detail
}  // namespace libgrad
