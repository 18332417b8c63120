/// libgrad/questions/live_nodes.h -- where a gradient comes that is not zero
/// whatever the root's is.

#pragma once

#include <libgrad/graph/engine_order.h>
#include <libgrad/questions/operator_table.h>

#include <vector>

namespace libgrad::detail {

/// Tells for each node whether a gradient comes to it, and else what stops it.
class LiveNodes {
 public:
  explicit LiveNodes(const Graph& graph)
      : live_(graph.nodes.size(), false),
        stops_(graph.nodes.size(), kNothing) {
    for (const auto& root : graph.roots) {
      live_[root.node] = true;
    }
    for (const Index id : ids_in_order(graph)) {
      const auto& node = graph.nodes[id];
      for (const auto& edge : graph.edges_of(node)) {
        if (!live_[id]) {
          stops_[edge.to] = stops_[id];
        } else if (gives_zeros(node, edge.output)) {
          stops_[edge.to] = id;
        } else {
          live_[edge.to] = true;
        }
      }
    }
  }

  bool operator[](Index node) const { return live_[node]; }

  /// Of a node that is not live: one that gives zeros on a path to it.
  Index stop(Index node) const { return stops_[node]; }

 private:
  std::vector<bool> live_;
  std::vector<Index> stops_;
};

}  // namespace libgrad::detail
