/// libgrad/graph.h -- one node of the graph, and a graph as a whole, as values.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/graph/node.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/graph/take.h>
#include <libgrad/torch/autograd/edges.h>

#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// The node that made `tensor`, or that accumulates into it when it is a leaf.
/// With it, `torch::autograd::Edge{node.get(), tensor.output_nr()}` is where
/// the tensor's gradient enters the graph.
///
///     auto f = (x + y) * (y + 1);
///     libgrad::node(f).name();  // "MulBackward0"
///     libgrad::node(f).next()[0].first->name();  // "AddBackward0"
///
/// Throws c10::Error when `tensor` does not require grad: no node made it.
inline Node node(const at::Tensor& tensor) {
  TORCH_CHECK(
      tensor.defined() && tensor.requires_grad(),
      "node: the tensor (",
      detail::describe(tensor),
      ") does not require grad, so no node made it; compute it from a tensor "
      "with requires_grad=True, outside no_grad()");
  return Node(detail::root_edge(tensor).function);
}

/// Options of `graph`.
struct GraphOptions {
  /// Names for leaves: {{"weight", w}}. The first name of a tensor counts.
  std::vector<std::pair<std::string, at::Tensor>> params = {};
};

/// A snapshot of the graph behind `tensors`, with everything that its nodes
/// saved, as plain data. The snapshot keeps nothing alive; taking it runs no
/// hook and changes nothing. The nodes come breadth first, beginning with those
/// that made the tensors.
///
///     auto g = libgrad::graph({(x * y).sum()}, {.params = {{"x", x}}});
///     g.nodes[1].name;            // "MulBackward0"
///     g.saved_of(g.nodes[1])[0];  // its field "self": the shape, the bytes
///
/// No backward may run on the graph while it is read. Throws c10::Error when
/// `tensors` is empty, or a tensor does not require grad.
inline Graph graph(
    const torch::autograd::variable_list& tensors,
    const GraphOptions& options = {}) {
  TORCH_CHECK(!tensors.empty(), "graph: expected at least one tensor");
  for (size_t i = 0; i < tensors.size(); ++i) {
    detail::check_root(tensors[i], i);
  }
  return detail::take_graph(
      detail::edges(tensors, detail::root_edge), tensors, options.params);
}

}  // namespace libgrad
