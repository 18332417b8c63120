/// libgrad/graph/engine_order.h -- the order in which backward runs nodes.
///
/// Relies on (covered by tests/graph/test_order.py):
/// - the engine keeps the nodes that wait for no more gradients in a
///   std::priority_queue, and runs the node with the highest sequence number
///   first;
/// - nodes enter this queue in the order of the edges;
/// - several roots are the edges of one extra node in front of them.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <queue>

namespace libgrad::detail {

/// Counts the gradients that each node waits for, and takes the nodes that wait
/// for none, in the order of the engine on one thread.
class EngineOrder {
 public:
  explicit EngineOrder(const Graph& graph)
      : graph_(graph),
        waits_(graph.nodes.size(), 0) {
    for (const auto& edge : graph.edges) {
      ++waits_[edge.to];
    }
    for (const auto& root : graph.roots) {
      ++waits_[root.node];
    }
  }

  /// The nodes in the order in which the engine runs them.
  std::vector<Index> run() {
    std::vector<Index> order;
    order.reserve(graph_.nodes.size());
    for (const auto& root : graph_.roots) {
      arrive(root.node);
    }
    while (!ready_.empty()) {
      const Index node = ready_.top().node;
      ready_.pop();
      order.push_back(node);
      for (const auto& edge : graph_.edges_of(graph_.nodes[node])) {
        arrive(edge.to);
      }
    }
    return order;
  }

 private:
  struct Task {
    uint64_t sequence_nr;
    Index node;
    bool operator<(const Task& other) const {
      return sequence_nr < other.sequence_nr;
    }
  };

  void arrive(Index node) {
    if (--waits_[node] == 0) {
      ready_.push({graph_.nodes[node].sequence_nr, node});
    }
  }

  const Graph& graph_;
  std::vector<Index> waits_;
  std::priority_queue<Task> ready_;
};

/// Ids in the order of backward.
inline std::vector<Index> ids_in_order(const Graph& graph) {
  std::vector<Index> ids(graph.nodes.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[graph.nodes[i].order] = static_cast<Index>(i);
  }
  return ids;
}

}  // namespace libgrad::detail
