/// libgrad/questions/shortest_edit.h -- the shortest edit script from one
/// sequence to another.
///
/// The greedy algorithm of E. W. Myers, "An O(ND) difference algorithm and its
/// variations", Algorithmica 1 (1986).

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Pairs of indices into `a` and `b` of entries that match, in order.
using Matches = std::vector<std::pair<size_t, size_t>>;

/// The most insertions and deletions. If more are needed, everything between
/// the common prefix and the common suffix counts as different: time and memory
/// grow with the square of the edits.
inline constexpr int64_t kMostEdits = 2000;

/// The longest common subsequence of two sequences of numbers.
class ShortestEdit {
 public:
  ShortestEdit(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b)
      : a_(a),
        b_(b) {}

  Matches run() {
    const size_t shorter = std::min(a_.size(), b_.size());
    while (first_ < shorter && a_[first_] == b_[first_]) {
      matches_.emplace_back(first_, first_);
      ++first_;
    }
    while (last_ < shorter - first_ &&
           a_[a_.size() - 1 - last_] == b_[b_.size() - 1 - last_]) {
      ++last_;
    }
    match_middle();
    for (size_t i = last_; i-- > 0;) {
      matches_.emplace_back(a_.size() - 1 - i, b_.size() - 1 - i);
    }
    return std::move(matches_);
  }

 private:
  /// For every second diagonal k = x - y: the furthest x reached on it.
  using Front = std::vector<int64_t>;

  int64_t columns() const {
    return static_cast<int64_t>(a_.size() - first_ - last_);
  }
  int64_t rows() const {
    return static_cast<int64_t>(b_.size() - first_ - last_);
  }

  /// The x at which the furthest path of `edits` edits enters diagonal `k`.
  static int64_t entered(const Front& before, int64_t edits, int64_t k) {
    const auto at = [&](int64_t diagonal) {
      return before[static_cast<size_t>((diagonal + edits - 1) / 2)];
    };
    return k == -edits || (k != edits && at(k - 1) < at(k + 1)) ? at(k + 1)
                                                                : at(k - 1) + 1;
  }

  int64_t followed(int64_t x, int64_t k) const {
    while (x < columns() && x - k < rows() &&
           a_[first_ + static_cast<size_t>(x)] ==
               b_[first_ + static_cast<size_t>(x - k)]) {
      ++x;
    }
    return x;
  }

  void match_middle() {
    std::vector<Front> fronts;
    const auto most = std::min(columns() + rows(), kMostEdits);
    for (int64_t edits = 0; edits <= most; ++edits) {
      Front front(static_cast<size_t>(edits) + 1);
      for (int64_t k = -edits; k <= edits; k += 2) {
        auto x = edits == 0 ? 0 : entered(fronts.back(), edits, k);
        const bool inside = x <= columns() && x - k <= rows() && x - k >= 0;
        x = inside ? followed(x, k) : x;
        front[static_cast<size_t>((k + edits) / 2)] = x;
        if (inside && x >= columns() && x - k >= rows()) {
          trace(fronts, edits, k);
          return;
        }
      }
      fronts.push_back(std::move(front));
    }
  }

  /// Walks back from the end, which was reached on diagonal `k` after `edits`
  /// edits.
  void trace(const std::vector<Front>& fronts, int64_t edits, int64_t k) {
    Matches back;
    auto x = columns();
    for (; edits >= 0; --edits) {
      const auto start =
          edits == 0
              ? 0
              : entered(fronts[static_cast<size_t>(edits) - 1], edits, k);
      while (x > start) {
        --x;
        back.emplace_back(
            first_ + static_cast<size_t>(x),
            first_ + static_cast<size_t>(x - k));
      }
      if (edits > 0) {
        const auto& before = fronts[static_cast<size_t>(edits) - 1];
        const auto at = [&](int64_t diagonal) {
          return before[static_cast<size_t>((diagonal + edits - 1) / 2)];
        };
        const bool down = k == -edits || (k != edits && at(k - 1) < at(k + 1));
        k += down ? 1 : -1;
        x = at(k);
      }
    }
    matches_.insert(matches_.end(), back.rbegin(), back.rend());
  }

  const std::vector<uint32_t>& a_;
  const std::vector<uint32_t>& b_;
  size_t first_ = 0;  // length of the common prefix
  size_t last_ = 0;   // length of the common suffix
  Matches matches_;
};

}  // namespace libgrad::detail
