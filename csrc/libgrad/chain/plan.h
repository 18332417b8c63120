/// libgrad/chain/plan.h -- which functions of a chain keep their graph, and
/// which run again, and when.

#pragma once

#include <libgrad/chain/costs.h>

#include <limits>
#include <utility>

namespace libgrad {

/// A part of a schedule: the functions from `begin` to before `end`.
struct ChainPart {
  int64_t begin = 0;
  int64_t end = 0;
  /// How backward runs the functions again. Empty for a single function that
  /// keeps its graph.
  std::vector<ChainPart> again = {};
};

/// A schedule of forward and backward of a chain.
struct ChainPlan {
  /// In the order in which they run.
  std::vector<ChainPart> parts;
  /// Time of all runs forward.
  double seconds = 0;
  /// The peak of what the chain allocates; see `checkpoint_optimal`.
  int64_t peak_bytes = 0;
  /// How often each function runs forward.
  std::vector<int64_t> runs = {};
};

namespace detail {

using ChainParts = std::vector<ChainPart>;

/// The peak of `parts`, which end in front of function `end` and whose input is
/// held.
inline int64_t peak_of(
    const ChainParts& parts, int64_t end, const ChainNeeds& needs) {
  int64_t peak = 0;
  int64_t kept = 0;
  bool held = true;
  for (const auto& part : parts) {
    const bool is_step = part.again.empty();
    if (!held && (!is_step || needs.saves_input(part.begin))) {
      kept += needs.tensor(part.begin);
      held = true;
    }
    if (is_step) {
      peak = std::max(peak, kept + needs.keep(part.begin, end, held));
      kept += needs.kept(part.begin);
      held = needs.holds_output(part.begin);
      continue;
    }
    for (int64_t step = part.begin; step < part.end; ++step) {
      const auto pass = needs.pass(part.begin, step) + needs.waiting(end);
      peak = std::max(peak, kept + pass);
    }
    peak = std::max(peak, kept + peak_of(part.again, part.end, needs));
    held = false;
  }
  return peak;
}

/// Adds to `runs` how many times each function runs forward.
inline void count_runs(const ChainParts& parts, std::vector<int64_t>& runs) {
  for (const auto& part : parts) {
    for (int64_t step = part.begin; step < part.end; ++step) {
      ++runs[step];
    }
    count_runs(part.again, runs);
  }
}

inline ChainPlan describe_plan(
    ChainParts parts, const ChainCosts& costs, const ChainNeeds& needs) {
  ChainPlan plan{.parts = std::move(parts)};
  plan.runs.resize(costs.steps.size());
  count_runs(plan.parts, plan.runs);
  for (size_t i = 0; i < costs.steps.size(); ++i) {
    plan.seconds += costs.steps[i].seconds * static_cast<double>(plan.runs[i]);
  }
  plan.peak_bytes = needs.always() + peak_of(plan.parts, needs.size(), needs);
  return plan;
}

inline ChainParts keep_all(int64_t size) {
  ChainParts parts;
  for (int64_t i = 0; i < size; ++i) {
    parts.push_back({i, i + 1});
  }
  return parts;
}

/// Throws unless `bytes` can be a budget.
inline void check_budget(int64_t bytes) {
  TORCH_CHECK_VALUE(
      bytes > 0,
      "checkpoint_optimal: budget_bytes must be positive, but is ",
      bytes);
}

/// A value, or one for each level, for each part of a chain (begin < end).
template <class Value>
class ByPart {
 public:
  ByPart(int64_t size, int64_t levels = 1, Value value = {})
      : size_(size),
        levels_(levels),
        values_(size * (size + 1) / 2 * levels, value) {}

  /// The value of a part at its first level.
  Value* at(int64_t begin, int64_t end) {
    const int64_t row = begin * size_ - begin * (begin - 1) / 2;
    return values_.data() + (row + end - begin - 1) * levels_;
  }

 private:
  int64_t size_;
  int64_t levels_;
  std::vector<Value> values_;
};

/// The least memory in which each part of a chain can run.
class LeastMemory {
 public:
  explicit LeastMemory(const ChainNeeds& needs)
      : needs_(needs),
        held_(needs.size()),
        open_(needs.size()) {
    for (int64_t begin = needs.size() - 1; begin >= 0; --begin) {
      for (int64_t end = begin + 1; end <= needs.size(); ++end) {
        *held_.at(begin, end) = best(begin, end).first;
        *open_.at(begin, end) = best_open(begin, end).first;
      }
    }
  }

  /// The least memory of a part whose input is held.
  int64_t of(int64_t begin, int64_t end) { return *held_.at(begin, end); }

  /// A schedule that runs in the least memory.
  ChainParts parts(int64_t begin, int64_t end) {
    ChainParts parts;
    bool held = true;
    while (begin < end) {
      held |= best_open(begin, end).second;
      const auto cut = held ? best(begin, end).second : begin;
      if (cut == begin) {
        parts.push_back({begin, begin + 1});
        held = needs_.holds_output(begin);
        ++begin;
      } else {
        parts.push_back({begin, cut, this->parts(begin, cut)});
        held = false;
        begin = cut;
      }
    }
    return parts;
  }

 private:
  /// The memory when the first function keeps its graph.
  int64_t keep(int64_t begin, int64_t end, bool held) {
    const auto memory = needs_.keep(begin, end, held);
    if (end - begin == 1) {
      return memory;
    }
    auto& rest = needs_.holds_output(begin) ? held_ : open_;
    return std::max(memory, needs_.kept(begin) + *rest.at(begin + 1, end));
  }

  /// The least memory when the input is held, and the first cut; the cut is
  /// `begin` when the first function keeps its graph.
  std::pair<int64_t, int64_t> best(int64_t begin, int64_t end) {
    std::pair<int64_t, int64_t> best(keep(begin, end, true), begin);
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto memory = std::max(
          {pass + needs_.waiting(end), *open_.at(cut, end), of(begin, cut)});
      if (memory < best.first) {
        best = {memory, cut};
      }
    }
    return best;
  }

  /// The least memory when the input is open, and whether the input is held
  /// from then on.
  std::pair<int64_t, bool> best_open(int64_t begin, int64_t end) {
    const auto held = needs_.tensor(begin) + of(begin, end);
    if (!needs_.saves_input(begin)) {
      const auto memory = keep(begin, end, false);
      if (memory < held) {
        return {memory, false};
      }
    }
    return {held, true};
  }

  const ChainNeeds& needs_;
  ByPart<int64_t> held_;
  ByPart<int64_t> open_;
};

}  // namespace detail
}  // namespace libgrad
