/// libgrad/draw/layout/order.h -- the order of boxes within their ranks, with
/// few crossings.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A box, or a bend of a link on its way past other boxes.
struct RankVertex {
  size_t rank = 0;
  double width = 0;
  bool bend = false;
  size_t place = 0;  // in its rank
  double x = 0;      // of its middle
  std::vector<size_t> above = {};
  std::vector<size_t> below = {};
};

/// Vertices in rows; edges lead from one row to the next.
struct Ranks {
  std::vector<RankVertex> vertices;
  std::vector<std::vector<size_t>> ranks;

  size_t size() const { return vertices.size(); }

  void add(size_t rank, double width, bool bend) {
    if (rank >= ranks.size()) {
      ranks.resize(rank + 1);
    }
    ranks[rank].push_back(size());
    vertices.push_back({.rank = rank, .width = width, .bend = bend});
  }

  /// Adds an edge, unless it is there already.
  void connect(size_t above, size_t below) {
    auto& list = vertices[above].below;
    if (std::ranges::find(list, below) == list.end()) {
      list.push_back(below);
      vertices[below].above.push_back(above);
    }
  }

  const std::vector<size_t>& next(size_t vertex, bool down) const {
    return down ? vertices[vertex].below : vertices[vertex].above;
  }

  void number(size_t rank) {
    for (size_t i = 0; i < ranks[rank].size(); ++i) {
      vertices[ranks[rank][i]].place = i;
    }
  }
};

/// Looks for an order by the barycenter heuristic: in turns from above and from
/// below, each vertex moves to the mean place of its neighbours. The order
/// found is not always the one with the fewest crossings.
class RankOrder {
 public:
  explicit RankOrder(Ranks& ranks) : ranks_(ranks) {}

  void run() {
    begin();
    auto best = ranks_.ranks;
    size_t fewest = crossings();
    const size_t turns =
        std::clamp<size_t>(2'000'000 / (ranks_.size() + 1), 2, 40);
    for (size_t turn = 0, idle = 0; idle < 6 && turn < turns && fewest > 0;
         ++turn) {
      sweep(turn % 2 == 0, turn % 4 < 2);
      exchange();
      const size_t count = crossings();
      ++idle;
      if (count < fewest) {
        fewest = count;
        best = ranks_.ranks;
        idle = 0;
      }
    }
    ranks_.ranks = std::move(best);
    for (size_t rank = 0; rank < ranks_.ranks.size(); ++rank) {
      ranks_.number(rank);
    }
  }

  /// How many pairs of edges cross.
  size_t crossings() const {
    size_t count = 0;
    for (const auto& rank : ranks_.ranks) {
      count += crossings_below(rank);
    }
    return count;
  }

 private:
  /// Starts from the order of a depth-first walk from the top: no crossings in
  /// trees.
  void begin() {
    std::vector<bool> seen(ranks_.size(), false);
    for (auto& rank : ranks_.ranks) {
      for (const size_t vertex : rank) {
        if (ranks_.vertices[vertex].above.empty()) {
          starts_.push_back(vertex);
        }
      }
      rank.clear();
    }
    for (const size_t start : starts_) {
      std::vector<size_t> stack{start};
      while (!stack.empty()) {
        const size_t vertex = stack.back();
        stack.pop_back();
        if (seen[vertex]) {
          continue;
        }
        seen[vertex] = true;
        ranks_.ranks[ranks_.vertices[vertex].rank].push_back(vertex);
        const auto& below = ranks_.vertices[vertex].below;
        stack.insert(stack.end(), below.rbegin(), below.rend());
      }
    }
    for (size_t rank = 0; rank < ranks_.ranks.size(); ++rank) {
      ranks_.number(rank);
    }
  }

  void sweep(bool down, bool left_first) {
    const size_t count = ranks_.ranks.size();
    for (size_t i = 0; i < count; ++i) {
      sort(down ? i : count - 1 - i, down, left_first);
    }
  }

  /// Sorts one rank by the mean places of the neighbours in the rank before it.
  void sort(size_t rank, bool down, bool left_first) {
    auto& list = ranks_.ranks[rank];
    std::vector<std::pair<double, size_t>> keys;
    for (const size_t vertex : list) {
      const auto& near = ranks_.next(vertex, !down);
      double sum = 0;
      for (const size_t other : near) {
        sum += static_cast<double>(ranks_.vertices[other].place);
      }
      const auto own = static_cast<double>(ranks_.vertices[vertex].place);
      keys.emplace_back(
          near.empty() ? own : sum / static_cast<double>(near.size()), vertex);
    }
    if (!left_first) {
      std::ranges::reverse(keys);
    }
    std::ranges::stable_sort(keys, {}, &std::pair<double, size_t>::first);
    for (size_t i = 0; i < list.size(); ++i) {
      list[i] = keys[i].second;
    }
    ranks_.number(rank);
  }

  /// Swaps adjacent vertices where that saves crossings.
  void exchange() {
    for (size_t round = 0, moved = 1; moved > 0 && round < 4; ++round) {
      moved = 0;
      for (auto& rank : ranks_.ranks) {
        for (size_t i = 0; i + 1 < rank.size(); ++i) {
          const auto [as_is, otherwise] = pair_crossings(rank[i], rank[i + 1]);
          if (otherwise < as_is) {
            std::swap(rank[i], rank[i + 1]);
            ranks_.vertices[rank[i]].place = i;
            ranks_.vertices[rank[i + 1]].place = i + 1;
            ++moved;
          }
        }
      }
    }
  }

  /// Crossings between the edges of two vertices, as they are and swapped.
  std::pair<size_t, size_t> pair_crossings(size_t a, size_t b) const {
    size_t as_is = 0;
    size_t otherwise = 0;
    for (const bool down : {false, true}) {
      for (const size_t x : ranks_.next(a, down)) {
        for (const size_t y : ranks_.next(b, down)) {
          const size_t p = ranks_.vertices[x].place;
          const size_t q = ranks_.vertices[y].place;
          as_is += p > q ? 1 : 0;
          otherwise += p < q ? 1 : 0;
        }
      }
    }
    return {as_is, otherwise};
  }

  /// Crossings of the edges from `rank` down, by a Fenwick tree over the places
  /// below.
  size_t crossings_below(const std::vector<size_t>& rank) const {
    size_t most = 0;
    for (const size_t vertex : rank) {
      for (const size_t below : ranks_.vertices[vertex].below) {
        most = std::max(most, ranks_.vertices[below].place + 1);
      }
    }
    std::vector<size_t> sums(most + 1, 0);
    size_t count = 0;
    size_t seen = 0;
    for (const size_t vertex : rank) {
      for (const size_t below : ranks_.vertices[vertex].below) {
        size_t before = 0;
        for (size_t i = ranks_.vertices[below].place + 1; i > 0; i &= i - 1) {
          before += sums[i];
        }
        count += seen - before;
      }
      for (const size_t below : ranks_.vertices[vertex].below) {
        for (size_t i = ranks_.vertices[below].place + 1; i <= most;
             i += i & (~i + 1)) {
          ++sums[i];
        }
        ++seen;
      }
    }
    return count;
  }

  Ranks& ranks_;
  std::vector<size_t> starts_;
};

inline void order_ranks(Ranks& ranks) {
  RankOrder(ranks).run();
}

}  // namespace libgrad::detail
