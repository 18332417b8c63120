#include "bindings.h"

#include <libgrad/detail/outermost.h>
#include <libgrad/graph.h>

#include <pybind11/stl.h>

#include <set>

namespace {

bool has_graph(const at::Tensor& tensor) {
  return tensor.defined() && tensor.grad_fn() != nullptr;
}

/// Those of `tensors` that a node of `graph` made. Nodes go by thread and
/// number, which no two of them share: the graph may be gone.
std::vector<at::Tensor> made_by(
    const libgrad::Graph& graph, const std::vector<at::Tensor>& tensors) {
  std::set<std::pair<uint64_t, uint64_t>> nodes;
  for (const auto& node : graph.nodes) {
    if (node.kind != libgrad::NodeKind::kLeaf) {
      nodes.emplace(node.thread, node.sequence_nr);
    }
  }
  std::vector<at::Tensor> result;
  for (const auto& tensor : tensors) {
    const auto& node = tensor.grad_fn();
    if (node && nodes.count({node->thread_id(), node->sequence_nr()}) != 0) {
      result.push_back(tensor);
    }
  }
  return result;
}

}  // namespace

void bind_alive(py::module_& m) {
  m.def(
      "has_graph",
      wrap_pybind_function(has_graph),
      "tensor"_a,
      "Return True for a tensor that an operator made.");
  m.def(
      "outermost",
      wrap_pybind_function(libgrad::detail::outermost),
      "tensors"_a,
      "Return those whose graph is in no other's, those of one node together.");
  m.def(
      "made_by",
      wrap_pybind_function(made_by),
      "graph"_a,
      "tensors"_a,
      "Return those of `tensors` that a node of `graph` made.");
}
