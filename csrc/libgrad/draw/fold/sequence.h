/// libgrad/draw/fold/sequence.h -- the nodes of a graph in topological order,
/// and labels that tell which nodes are alike.

#pragma once

#include <libgrad/base/repeats.h>
#include <libgrad/graph/snapshot.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A hash of what a picture shows of a node, without names that the program
/// gave and without other nodes: nodes with the same label look the same.
inline uint64_t node_label(const Graph& graph, const GraphNode& node) {
  uint64_t label = std::hash<std::string_view>()(node.name);
  mix(label, static_cast<uint64_t>(node.kind));
  mix(label, node.edges.count);
  mix(label, std::hash<std::string_view>()(node.note));
  for (const auto& input : graph.inputs_of(node)) {
    mix(label, static_cast<uint64_t>(input.dtype));
    mix(label, std::hash<c10::Device>()(input.device));
    for (const auto size : graph.shape_of(input)) {
      mix(label, static_cast<uint64_t>(size));
    }
    mix(label, input.shape.count);
  }
  for (const auto& saved : graph.saved_of(node)) {
    mix(label, std::hash<std::string_view>()(saved.field));
    mix(label, static_cast<uint64_t>(saved.state));
    mix(label, static_cast<uint64_t>(saved.nbytes));
    mix(label, static_cast<uint64_t>(saved.version - saved.saved_version));
  }
  return label;
}

/// The nodes in topological order, each before the nodes that its gradients go
/// to. Of the nodes that are ready, leaves come first, then the node made last.
inline std::vector<Index> backward_sequence(const Graph& graph) {
  std::vector<Index> waits(graph.nodes.size(), 0);
  for (const auto& edge : graph.edges) {
    ++waits[edge.to];
  }
  using Entry = std::tuple<uint64_t, Index, Index>;  // ties: the lowest id
  std::priority_queue<Entry> ready;
  const auto push = [&](Index node) {
    ready.emplace(graph.nodes[node].sequence_nr, kNothing - node, node);
  };
  for (Index node = 0; node < graph.nodes.size(); ++node) {
    if (waits[node] == 0) {
      push(node);
    }
  }
  std::vector<Index> sequence;
  sequence.reserve(graph.nodes.size());
  while (!ready.empty()) {
    const Index node = std::get<2>(ready.top());
    ready.pop();
    sequence.push_back(node);
    for (const auto& edge : graph.edges_of(graph.nodes[node])) {
      if (--waits[edge.to] == 0) {
        push(edge.to);
      }
    }
  }
  return sequence;
}

/// The sequence, with indices and counts that are often asked for.
class Sequence {
 public:
  explicit Sequence(const Graph& graph)
      : nodes(backward_sequence(graph)),
        places(graph.nodes.size(), 0),
        labels(graph.nodes.size(), 0),
        passing(graph.nodes.size() + 1, 0),
        graph_(graph) {
    for (size_t place = 0; place < nodes.size(); ++place) {
      places[nodes[place]] = static_cast<Index>(place);
      labels[place] = node_label(graph, graph.nodes[nodes[place]]);
    }
    sort_incoming();
    count_passing();
  }

  const GraphNode& node(size_t place) const {
    return graph_.nodes[nodes[place]];
  }

  /// The edges that lead to a node, as indices in `Graph::edges`.
  std::span<const Index> incoming(Index node) const {
    return std::span<const Index>(incoming_).subspan(
        starts_[node], starts_[node + 1] - starts_[node]);
  }

  /// The number of copies of a repeat, from the first on, that are wired as the
  /// first one is.
  size_t equal_copies(size_t first, size_t length, size_t count) const {
    for (size_t copy = 1; copy < count; ++copy) {
      for (size_t i = 0; i < length; ++i) {
        if (!wired_alike(first, first + copy * length, i, length)) {
          return copy;
        }
      }
    }
    return count;
  }

  std::vector<Index> nodes;
  std::vector<Index> places;     // place of each node
  std::vector<uint64_t> labels;  // label of the node at each place
  /// For each place, the number of nodes from it on that edges from before it
  /// reach.
  std::vector<int64_t> passing;

 private:
  void sort_incoming() {
    starts_.assign(graph_.nodes.size() + 2, 0);
    for (const auto& edge : graph_.edges) {
      ++starts_[edge.to + 2];
    }
    for (size_t i = 2; i < starts_.size(); ++i) {
      starts_[i] += starts_[i - 1];
    }
    incoming_.resize(graph_.edges.size());
    for (Index i = 0; i < graph_.edges.size(); ++i) {
      incoming_[starts_[graph_.edges[i].to + 1]++] = i;
    }
  }

  void count_passing() {
    for (Index node = 0; node < graph_.nodes.size(); ++node) {
      Index first = places[node];
      for (const Index edge : incoming(node)) {
        first = std::min(first, places[graph_.edges[edge].from]);
      }
      ++passing[first + 1];
      --passing[places[node] + 1];
    }
    for (size_t i = 1; i < passing.size(); ++i) {
      passing[i] += passing[i - 1];
    }
  }

  /// Whether node `i` of two copies has the same edges, as far as these stay
  /// within the copy.
  bool wired_alike(size_t one, size_t other, size_t i, size_t length) const {
    const auto a = graph_.edges_of(node(one + i));
    const auto b = graph_.edges_of(node(other + i));
    return std::ranges::equal(a, b, [&](const auto& x, const auto& y) {
      const size_t to_x = places[x.to] - one;  // `length` or more: elsewhere
      const size_t to_y = places[y.to] - other;
      return to_x == to_y || (to_x >= length && to_y >= length);
    });
  }

  const Graph& graph_;
  std::vector<Index> starts_;  // first entry of each node in `incoming_`
  std::vector<Index> incoming_;
};

}  // namespace libgrad::detail
