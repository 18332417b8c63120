/// libgrad/graph.h -- one node of the graph, and a graph as a whole, as values.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/graph/take.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/autograd/node_names.h>

#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// What a node knows of a gradient it takes: the shape, dtype and device of
/// the forward operation's output that the gradient belongs to.
struct InputMetadata {
  std::vector<c10::SymInt> shape;
  at::ScalarType dtype;
  at::Device device;
};

/// A node of the graph. Copies are cheap and equal; each keeps the node, and
/// with it everything behind it, alive.
class Node {
 public:
  using Next = std::pair<std::optional<Node>, uint32_t>;

  explicit Node(detail::NodePtr node) : node_(std::move(node)) {}

  /// Name as in Python: "MulBackward0", "AccumulateGrad", and "CubeBackward"
  /// for a C++ Function called Cube.
  std::string name() const { return detail::node_name(node_->name()); }

  /// Where the gradients that this node computes go: for each input of the
  /// forward operation the next node and which of its inputs; no node for an
  /// input that needs no gradient.
  std::vector<Next> next() const {
    std::vector<Next> next;
    next.reserve(node_->num_outputs());
    for (const auto& edge : node_->next_edges()) {
      next.emplace_back(
          edge.is_valid() ? std::optional(Node(edge.function)) : std::nullopt,
          edge.input_nr);
    }
    return next;
  }

  /// When the node was made, counted up on its thread; the engine runs higher
  /// numbers first. The largest uint64 for AccumulateGrad.
  uint64_t sequence_nr() const { return node_->sequence_nr(); }

  /// The gradients that this node takes; nothing for outputs of the forward
  /// operation that were never made, and for nested tensors.
  std::vector<std::optional<InputMetadata>> inputs() const {
    std::vector<std::optional<InputMetadata>> inputs;
    inputs.reserve(node_->num_inputs());
    for (uint32_t i = 0; i < node_->num_inputs(); ++i) {
      const auto& meta = node_->input_metadata(i);
      if (meta.was_default_constructed() || meta.is_cpp_nested_tensor()) {
        inputs.emplace_back();
      } else {
        inputs.push_back(
            InputMetadata{
                meta.shape_as_dim_vector().vec(),
                c10::typeMetaToScalarType(meta.dtype()),
                meta.device()});
      }
    }
    return inputs;
  }

  /// The leaf that this node accumulates into; undefined for other nodes.
  at::Tensor variable() const {
    const auto* leaf =
        dynamic_cast<const torch::autograd::AccumulateGrad*>(node_.get());
    return leaf ? leaf->variable : at::Tensor();
  }

  /// The node itself, for what is not here.
  const detail::NodePtr& get() const { return node_; }

  friend bool operator==(const Node& a, const Node& b) {
    return a.node_.get() == b.node_.get();
  }

 private:
  detail::NodePtr node_;
};

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

/// The graph behind `tensors`, with all that its nodes saved, as plain data:
/// it keeps nothing alive, runs no hook and changes nothing. The nodes come
/// breadth first, those that made the tensors in front.
///
///     auto g = libgrad::graph({(x * y).sum()}, {.params = {{"x", x}}});
///     g.nodes[1].name;            // "MulBackward0"
///     g.saved_of(g.nodes[1])[0];  // its field "self": the shape, the bytes
///
/// No backward may run on the graph meanwhile. Throws c10::Error when there is
/// no tensor, or one does not require grad.
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
