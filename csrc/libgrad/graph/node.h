/// libgrad/graph/node.h -- one node of the live graph, as a value.

#pragma once

#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/autograd/node_names.h>

#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// What a node knows of a gradient that it takes: the shape, dtype and device
/// of the forward operation's output that the gradient belongs to.
struct InputMetadata {
  std::vector<c10::SymInt> shape;
  at::ScalarType dtype;
  at::Device device;
};

/// A node of the graph. Copies are cheap and compare equal; each copy keeps the
/// node, and everything behind it, alive.
class Node {
 public:
  using Next = std::pair<std::optional<Node>, uint32_t>;

  explicit Node(detail::NodePtr node) : node_(std::move(node)) {}

  /// Name as in Python: "MulBackward0", "AccumulateGrad", and "CubeBackward"
  /// for a C++ Function called Cube.
  std::string name() const { return detail::node_name(node_->name()); }

  /// Where the gradients that this node computes go: for each input of the
  /// forward operation the next node and the index of its input; no node for an
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

  /// The number of the node on the thread that made it, which counts up; the
  /// engine runs higher numbers first. The largest uint64 for AccumulateGrad.
  uint64_t sequence_nr() const { return node_->sequence_nr(); }

  /// The gradients that this node takes; nullopt for undefined outputs of the
  /// forward operation, and for nested tensors.
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

  /// The LibTorch node, for everything that this class does not offer.
  const detail::NodePtr& get() const { return node_; }

  friend bool operator==(const Node& a, const Node& b) {
    return a.node_.get() == b.node_.get();
  }

 private:
  detail::NodePtr node_;
};

}  // namespace libgrad
