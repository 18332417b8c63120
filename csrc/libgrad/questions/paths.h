/// libgrad/questions/paths.h -- the paths from the roots of a graph to some of
/// its nodes: how many there are, and which are the shortest.

#pragma once

#include <libgrad/graph/engine_order.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/path_count.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The paths from the roots to one node, entering it by one input, or to any of
/// several nodes.
class Paths {
 public:
  Paths(const Graph& graph, const std::vector<Index>& ends)
      : graph_(graph),
        ends_(graph.nodes.size(), false) {
    for (const Index node : ends) {
      ends_[node] = true;
    }
    measure();
  }
  Paths(const Graph& graph, Index end, Index input)
      : graph_(graph),
        ends_(graph.nodes.size(), false),
        only_(end),
        input_(input) {
    ends_[end] = true;
    measure();
  }

  /// True when a path may go to `input` of `node`.
  bool may_enter(Index node, Index input) const {
    return left_[node] != kNothing && (node != only_ || input == input_);
  }

  /// The number of paths; paths that take different edges are different.
  PathCount count() const {
    PathCount total;
    std::vector<PathCount> counts(graph_.nodes.size());
    for (const auto& root : graph_.roots) {
      if (may_enter(root.node, root.input)) {
        counts[root.node] += 1;
      }
    }
    for (const Index node : order_) {
      const auto count = std::move(counts[node]);  // and free it
      if (count.empty()) {
        continue;
      }
      if (ends_[node]) {
        total += count;
      }
      each_next(node, [&](Index next) { counts[next] += count; });
    }
    return total;
  }

  /// The `most` shortest paths, the shortest first. Here paths over the same
  /// nodes are one path, whatever edges they take.
  std::vector<std::vector<Index>> shortest(size_t most) const;

  /// The number of edges from `from` to `to` that a path may take.
  uint64_t edges_between(Index from, Index to) const {
    uint64_t count = 0;
    each_next(from, [&](Index next) { count += next == to; });
    return count;
  }

  /// The number of roots at `node` where a path may start.
  uint64_t starts_at(Index node) const {
    uint64_t count = 0;
    for (const auto& root : graph_.roots) {
      count += root.node == node && may_enter(node, root.input);
    }
    return count;
  }

 private:
  class Search;

  template <class Visit>
  void each_next(Index node, const Visit& visit) const {
    if (node == only_) {
      return;
    }
    for (const auto& edge : graph_.edges_of(graph_.nodes[node])) {
      if (may_enter(edge.to, edge.input)) {
        visit(edge.to);
      }
    }
  }

  /// Fills `left_`, from the leaves to the roots.
  void measure() {
    left_.assign(graph_.nodes.size(), kNothing);
    order_ = ids_in_order(graph_);
    for (auto node = order_.rbegin(); node != order_.rend(); ++node) {
      if (ends_[*node]) {
        left_[*node] = 0;
        continue;
      }
      each_next(*node, [&](Index next) {
        left_[*node] = std::min(left_[*node], left_[next] + 1);
      });
    }
  }

  const Graph& graph_;
  std::vector<bool> ends_;
  Index only_ = kNothing;  // the only end, if it is entered by one input
  Index input_ = 0;
  std::vector<Index> order_;
  std::vector<Index> left_;  // edges from each node to the nearest end
};

/// A best-first search over partial paths, ordered by the length of the
/// shortest path that each can become. This length is exact (`left_`), so the
/// search extends only parts of the shortest paths.
class Paths::Search {
 public:
  explicit Search(const Paths& paths) : paths_(paths) {
    for (const auto& root : paths.graph_.roots) {
      if (paths.may_enter(root.node, root.input)) {
        next_.push_back(root.node);
      }
    }
    push(kNothing, 0);
  }

  /// The next shortest path; empty when there are no more.
  std::vector<Index> run() {
    while (!open_.empty()) {
      auto& [length, places] = *open_.begin();
      const Index place = places.back();
      places.pop_back();
      if (places.empty()) {
        open_.erase(open_.begin());
      }
      const auto step = steps_[place];
      if (step.ends) {
        return path_to(place);
      }
      paths_.each_next(step.node, [&](Index node) { next_.push_back(node); });
      push(place, step.length + 1);
      if (paths_.ends_[step.node]) {
        add({step.node, step.before, step.length, true}, step.length);
      }
    }
    return {};
  }

 private:
  struct Step {
    Index node;
    Index before;  // index of the previous step
    Index length;  // edges up to here
    bool ends;     // the path ends here; otherwise it goes on
  };

  /// Adds a step to each node in `next_`, once for each node; they are taken in
  /// this order.
  void push(Index before, Index length) {
    if (next_.size() > 32) {
      std::ranges::sort(next_);
      next_.erase(std::ranges::unique(next_).begin(), next_.end());
    }
    for (size_t i = next_.size(); i-- > 0;) {
      const auto first = next_.begin() + static_cast<std::ptrdiff_t>(i);
      if (next_.size() > 32 ||
          std::find(next_.begin(), first, *first) == first) {
        add({*first, before, length, false}, length + paths_.left_[*first]);
      }
    }
    next_.clear();
  }

  void add(const Step& step, Index length) {
    open_[length].push_back(static_cast<Index>(steps_.size()));
    steps_.push_back(step);
  }

  std::vector<Index> path_to(Index place) const {
    std::vector<Index> nodes;
    for (; place != kNothing; place = steps_[place].before) {
      nodes.push_back(steps_[place].node);
    }
    std::ranges::reverse(nodes);
    return nodes;
  }

  const Paths& paths_;
  std::vector<Step> steps_;
  std::map<Index, std::vector<Index>> open_;  // steps by length, the next last
  std::vector<Index> next_;
};

inline std::vector<std::vector<Index>> Paths::shortest(size_t most) const {
  std::vector<std::vector<Index>> found;
  Search search(*this);
  while (found.size() < most) {
    auto path = search.run();
    if (path.empty()) {
      break;
    }
    found.push_back(std::move(path));
  }
  return found;
}

}  // namespace libgrad::detail
