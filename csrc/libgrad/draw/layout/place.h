/// libgrad/draw/layout/place.h -- the x position of each box: arrows as
/// straight as the order allows.

#pragma once

#include <libgrad/draw/layout/order.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Finds the positions in turns, from above and from below: in each rank, the
/// positions nearest to the wishes of the neighbours that keep the order and
/// the distances.
class RankPlaces {
 public:
  explicit RankPlaces(Ranks& ranks)
      : ranks_(ranks),
        depth_(ranks.size(), 0),
        done_(ranks.size(), false) {}

  void run() {
    measure_depth();
    for (size_t rank = 0; rank < ranks_.ranks.size(); ++rank) {
      place(rank, {}, {});
    }
    const size_t count = ranks_.ranks.size();
    for (size_t turn = 0; turn < kTurns; ++turn) {
      const bool down = turn % 2 == 0;
      const bool both = turn + 4 >= kTurns;  // a compromise in the last turns
      for (size_t i = 0; i < count; ++i) {
        settle(down ? i : count - 1 - i, down || both, !down || both);
      }
    }
    for (size_t vertex = 0; vertex < ranks_.size(); ++vertex) {
      if (ranks_.vertices[vertex].bend) {
        straighten(vertex);
      }
    }
    double left = std::numeric_limits<double>::max();
    for (const auto& vertex : ranks_.vertices) {
      left = std::min(left, vertex.x - vertex.width / 2);
    }
    for (auto& vertex : ranks_.vertices) {
      vertex.x -= left;
    }
  }

 private:
  /// Measures the longest path below each vertex: deeper vertices weigh more.
  void measure_depth() {
    for (size_t i = ranks_.ranks.size(); i-- > 0;) {
      for (const size_t vertex : ranks_.ranks[i]) {
        for (const size_t below : ranks_.vertices[vertex].below) {
          depth_[vertex] = std::max(depth_[vertex], depth_[below] + 1);
        }
      }
    }
  }

  /// The weight of an edge: how much it counts that the edge is straight.
  double weight(size_t above, size_t below) const {
    const bool from_bend = ranks_.vertices[above].bend;
    const bool to_bend = ranks_.vertices[below].bend;
    const auto depth = static_cast<double>(std::min<size_t>(depth_[below], 50));
    return (from_bend && to_bend ? 8 : 1) * (1 + depth) * (1 + depth);
  }

  void settle(size_t rank, bool by_above, bool by_below) {
    const auto& list = ranks_.ranks[rank];
    std::vector<double> wish(list.size());
    std::vector<double> weights(list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      const auto& vertex = ranks_.vertices[list[i]];
      double sum = 0;
      double total = 0;
      if (by_above) {
        for (const size_t other : vertex.above) {
          const double much = weight(other, list[i]);
          sum += much * ranks_.vertices[other].x;
          total += much;
        }
      }
      if (by_below) {
        for (const size_t other : vertex.below) {
          const double much = weight(list[i], other);
          sum += much * ranks_.vertices[other].x;
          total += much;
        }
      }
      wish[i] = total > 0 ? sum / total : vertex.x;
      weights[i] = total > 0 ? total : 0.1;
    }
    place(rank, wish, weights);
  }

  double distance(size_t left, size_t right) const {
    const auto& a = ranks_.vertices[left];
    const auto& b = ranks_.vertices[right];
    const double gap = a.bend && b.bend ? 8 : a.bend || b.bend ? 12 : 20;
    return (a.width + b.width) / 2 + gap;
  }

  /// Isotonic regression by pooling of adjacent violators: the positions with
  /// the least sum of weighted squares of the distances to the wishes. Blocks
  /// that touch move as one, to the mean of their wishes.
  void place(
      size_t rank,
      const std::vector<double>& wish,
      const std::vector<double>& weights) {
    struct Block {
      double sum;
      double weight;
      size_t end;
    };
    const auto& list = ranks_.ranks[rank];
    std::vector<Block> blocks;
    std::vector<double> offset(list.size(), 0);
    for (size_t i = 0; i < list.size(); ++i) {
      if (i > 0) {
        offset[i] = offset[i - 1] + distance(list[i - 1], list[i]);
      }
      const double weight = weights.empty() ? 1 : weights[i];
      const double wanted = wish.empty() ? 0 : wish[i] - offset[i];
      blocks.push_back({wanted * weight, weight, i + 1});
      while (blocks.size() > 1) {
        const Block last = blocks.back();
        Block& before = blocks[blocks.size() - 2];
        if (before.sum / before.weight < last.sum / last.weight) {
          break;
        }
        before = {before.sum + last.sum, before.weight + last.weight, last.end};
        blocks.pop_back();
      }
    }
    size_t i = 0;
    for (const auto& block : blocks) {
      for (; i < block.end; ++i) {
        ranks_.vertices[list[i]].x = block.sum / block.weight + offset[i];
      }
    }
  }

  /// How far left and right a vertex may go.
  std::pair<double, double> room(size_t vertex) const {
    const auto& own = ranks_.vertices[vertex];
    const auto& list = ranks_.ranks[own.rank];
    constexpr double far = 1e9;
    const size_t place = own.place;
    return {
        place == 0 ? -far
                   : ranks_.vertices[list[place - 1]].x +
                         distance(list[place - 1], vertex),
        place + 1 == list.size() ? far
                                 : ranks_.vertices[list[place + 1]].x -
                                       distance(vertex, list[place + 1])};
  }

  /// Gives consecutive bends from `vertex` down the same x, as far as their
  /// rooms overlap.
  void straighten(size_t vertex) {
    if (done_[vertex]) {
      return;
    }
    std::vector<size_t> run;
    auto [left, right] = room(vertex);
    double sum = 0;
    for (size_t next = vertex;;) {
      run.push_back(next);
      done_[next] = true;
      sum += ranks_.vertices[next].x;
      const auto& below = ranks_.vertices[next].below;
      if (below.size() != 1 || !ranks_.vertices[below[0]].bend) {
        break;
      }
      next = below[0];
      const auto [from, to] = room(next);
      if (std::max(left, from) > std::min(right, to)) {
        break;
      }
      left = std::max(left, from);
      right = std::min(right, to);
    }
    const double x =
        std::clamp(sum / static_cast<double>(run.size()), left, right);
    for (const size_t each : run) {
      ranks_.vertices[each].x = x;
    }
  }

  static constexpr size_t kTurns = 20;

  Ranks& ranks_;
  std::vector<size_t> depth_;
  std::vector<bool> done_;  // straightened
};

inline void place_ranks(Ranks& ranks) {
  RankPlaces(ranks).run();
}

}  // namespace libgrad::detail
