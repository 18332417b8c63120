/// libgrad/draw/layout/rank.h -- the row of each box in a picture.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Puts each box below its predecessors: as high as possible, but next to its
/// successors where these are more. No row becomes much wider than the picture.
class RankMaker {
 public:
  /// `widths` of the boxes; `links` from one to another, without cycles.
  RankMaker(
      std::vector<double> widths,
      const std::vector<std::pair<size_t, size_t>>& links)
      : widths_(std::move(widths)),
        out_(widths_.size()),
        in_(widths_.size()),
        ranks_(widths_.size(), 0) {
    for (const auto& [from, to] : links) {
      out_[from].push_back(to);
      in_[to].push_back(from);
    }
  }

  std::vector<size_t> make() && {
    sort();
    lower();
    pull_down();
    wrap();
    return std::move(ranks_);
  }

 private:
  /// Sorts the boxes in topological order.
  void sort() {
    std::vector<size_t> waits(widths_.size());
    for (size_t i = 0; i < widths_.size(); ++i) {
      waits[i] = in_[i].size();
      if (waits[i] == 0) {
        order_.push_back(i);
      }
    }
    for (size_t i = 0; i < order_.size(); ++i) {
      for (const size_t to : out_[order_[i]]) {
        if (--waits[to] == 0) {
          order_.push_back(to);
        }
      }
    }
  }

  /// Moves each box below its predecessors.
  void lower() {
    for (const size_t box : order_) {
      for (const size_t to : out_[box]) {
        ranks_[to] = std::max(ranks_[to], ranks_[box] + 1);
      }
    }
  }

  /// Moves boxes with more successors than predecessors down to their
  /// successors.
  void pull_down() {
    for (size_t i = order_.size(); i-- > 0;) {
      const size_t box = order_[i];
      if (out_[box].size() <= in_[box].size()) {
        continue;
      }
      size_t lowest = SIZE_MAX;
      for (const size_t to : out_[box]) {
        lowest = std::min(lowest, ranks_[to]);
      }
      ranks_[box] = std::max(ranks_[box], lowest - 1);
    }
  }

  /// Moves the boxes that do not fit into a row, with all boxes below them, to
  /// the next row.
  void wrap() {
    double area = 0;
    for (const double width : widths_) {
      area += width * kRowHeight;
    }
    const double most = std::max(2600.0, 1.6 * std::sqrt(area));
    for (size_t rank = 0;; ++rank) {
      std::vector<size_t> row;
      size_t last = 0;
      for (const size_t box : order_ | std::views::reverse) {
        last = std::max(last, ranks_[box]);
        if (ranks_[box] == rank) {
          row.push_back(box);
        }
      }
      double width = 0;
      bool moved = false;
      for (const size_t box : row) {
        width += widths_[box] + 20;
        if (width > most && box != row.front()) {
          ++ranks_[box];
          moved = true;
        }
      }
      if (moved) {
        lower();
      } else if (rank >= last) {
        break;
      }
    }
  }

  static constexpr double kRowHeight = 80;

  std::vector<double> widths_;
  std::vector<std::vector<size_t>> out_;
  std::vector<std::vector<size_t>> in_;
  std::vector<size_t> order_;
  std::vector<size_t> ranks_;
};

}  // namespace libgrad::detail
