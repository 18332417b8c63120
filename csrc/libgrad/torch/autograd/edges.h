/// libgrad/torch/autograd/edges.h -- the engine, called with edges of the
/// graph.
///
/// Relies on (each is covered by tests/cpp/torch/test_internals.cpp):
/// - impl::gradient_edge(t) is where the gradient of `t` enters the graph;
/// - Engine::execute(roots, seeds, keep, create, accumulate, targets);
/// - a node's input_metadata(i) describes the gradient it takes as input i;
/// - Node is held by shared_ptr in an older torch, by intrusive_ptr since.

#pragma once

#include <libgrad/base/describe.h>

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>  // Identity
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <type_traits>

namespace libgrad::detail {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::variable_list;

/// The smart pointer that LibTorch holds a node by.
using NodePtr = decltype(Edge::function);

template <class N>
NodePtr make_node() {
  if constexpr (
      std::is_same_v<NodePtr, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<N>();
  } else {
    return c10::make_intrusive<N>();
  }
}

/// Where the gradient of `output` enters the graph; not valid when there is
/// nothing to differentiate.
inline Edge root_edge(const at::Tensor& output) {
  return torch::autograd::impl::gradient_edge(output);
}

/// Throws unless there is a graph behind `tensor`, the argument `i` of
/// `function`.
inline void check_root(
    const at::Tensor& tensor, size_t i, const char* function = "graph") {
  TORCH_CHECK(
      tensor.defined() && tensor.requires_grad(),
      function,
      ": tensor ",
      i,
      " (",
      describe(tensor),
      ") does not require grad, so there is no graph behind it; compute it "
      "from a tensor with requires_grad=True, outside no_grad()");
}

/// Where the gradient of `input` leaves the graph.
inline Edge target_edge(const at::Tensor& input) {
  if (const auto& node = input.grad_fn()) {
    return {node, static_cast<uint32_t>(input.output_nr())};
  }
  // A leaf without an accumulator is in no graph. Its target is a new node that
  // no graph reaches; the empty edge would match other empty edges.
  auto node = torch::autograd::impl::try_get_grad_accumulator(input);
  if (!node) {
    return {make_node<torch::autograd::Identity>(), 0};
  }
  return {std::move(node), 0};
}

/// `edge_of` of each of `tensors`.
inline edge_list edges(
    const variable_list& tensors, Edge (*edge_of)(const at::Tensor&)) {
  edge_list result;
  result.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    result.push_back(edge_of(tensor));
  }
  return result;
}

/// Makes the tensors that are no leaves keep the gradient that reaches them.
inline void retain_grads(const variable_list& tensors) {
  for (const auto& tensor : tensors) {
    if (tensor.defined()) {
      tensor.retain_grad();
    }
  }
}

/// True when `edge` points to an input that its node has.
inline bool in_range(const Edge& edge) {
  return edge.is_valid() && edge.input_nr < edge.function->num_inputs();
}

/// The metadata of the gradient that the node of `edge` expects.
inline const torch::autograd::InputMetadata& metadata(const Edge& edge) {
  return edge.function->input_metadata(edge.input_nr);
}

inline at::ScalarType dtype_of(const Edge& edge) {
  return c10::typeMetaToScalarType(metadata(edge).dtype());
}

inline at::ScalarType dtype_of(const at::Tensor& tensor) {
  return tensor.scalar_type();
}

/// The gradient that `edge` takes, described in one line as a tensor would be.
inline std::string describe(const Edge& edge) {
  const auto& expected = metadata(edge);
  const c10::SymIntArrayRef shape = expected.shape_as_dim_vector();
  return type_words(dtype_of(edge), shape) + " on " + expected.device().str();
}

/// Throws unless the engine can feed `edge`, which is entry `i` of `argument`.
inline void check_edge(
    const char* function, const char* argument, size_t i, const Edge& edge) {
  TORCH_CHECK_INDEX(
      in_range(edge),
      function,
      ": ",
      argument,
      '[',
      i,
      "] is edge ",
      edge.input_nr,
      " of ",
      edge.function->name(),
      ", which has ",
      edge.function->num_inputs());
  TORCH_CHECK(
      !metadata(edge).was_default_constructed(),
      function,
      ": ",
      argument,
      '[',
      i,
      "] is edge ",
      edge.input_nr,
      " of ",
      edge.function->name(),
      ", an output that was never made");
  TORCH_CHECK(
      !metadata(edge).is_cpp_nested_tensor(),
      "C++ NestedTensor are not supported with GradientEdge");
}

/// Runs the engine. Returns the gradients at `targets`, or accumulates into the
/// leaves.
inline variable_list execute(
    const edge_list& roots,
    const variable_list& seeds,
    bool keep_graph,
    bool create_graph,
    bool accumulate,
    const edge_list& targets) {
  return torch::autograd::Engine::get_default_engine().execute(
      roots, seeds, keep_graph, create_graph, accumulate, targets);
}

}  // namespace libgrad::detail
