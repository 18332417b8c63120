/// libgrad/graph/walk.h -- finds the nodes and edges of a graph, before the
/// nodes are read.

#pragma once

#include <libgrad/base/pointer_index.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/torch/autograd/edges.h>

#include <c10/util/Exception.h>

#include <vector>

namespace libgrad::detail {

/// Follows edges breadth first, and visits each node once. The walk is a
/// quarter of the work of a snapshot; the number of nodes then tells how much
/// memory to reserve for the rest.
class GraphWalk {
 public:
  explicit GraphWalk(Graph& graph) : graph_(graph) {}

  void start_from(const torch::autograd::Edge& root) {
    const Index node = id_of(root.function);
    graph_.roots.push_back({node, root.input_nr});
  }

  void run() {
    for (size_t i = 0; i < nodes_.size(); ++i) {  // nodes_ grows
      first_edges_.push_back(static_cast<Index>(graph_.edges.size()));
      follow(static_cast<Index>(i));
    }
    first_edges_.push_back(static_cast<Index>(graph_.edges.size()));
  }

  /// Addresses of the nodes, by id.
  std::vector<void*>& nodes() { return nodes_; }
  torch::autograd::Node& node(size_t id) const {
    return *static_cast<torch::autograd::Node*>(nodes_[id]);
  }
  Slice edges_of(Index id) const {
    return {first_edges_[id], first_edges_[id + 1] - first_edges_[id]};
  }

 private:
  Index id_of(const NodePtr& node) {
    const auto id = static_cast<Index>(nodes_.size());
    // A node with one owner, an edge, has not been met before and will not be
    // met again.
    if (node.use_count() > 1) {
      const auto [found, is_new] = ids_.emplace(node.get(), id);
      if (!is_new) {
        return found;
      }
    }
    TORCH_CHECK(id != kNothing, "graph: more than 4294967294 nodes");
    nodes_.push_back(node.get());
    return id;
  }

  void follow(Index id) {
    const auto& edges = node(id).next_edges();
    for (size_t i = 0; i < edges.size(); ++i) {
      if (edges[i].is_valid()) {
        graph_.edges.push_back(
            {id,
             static_cast<Index>(i),
             id_of(edges[i].function),
             edges[i].input_nr});
      }
    }
  }

  Graph& graph_;
  std::vector<void*> nodes_;
  std::vector<Index> first_edges_;
  PointerIndex ids_;
};

}  // namespace libgrad::detail
