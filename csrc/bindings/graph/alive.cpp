#include "bindings/bindings.h"
#include "bindings/graph/holders.h"
#include "bindings/graph/outermost.h"

#include <libgrad/graph.h>

#include <pybind11/stl.h>

#include <set>

namespace {

using Things = std::vector<py::object>;

Things with_graph(const py::list& objects) {
  Things result;
  for (const auto& object : objects) {
    const auto node = libgrad::detail::node_in(object);
    // AccumulateGrad has no outputs; the node of a Function whose forward runs,
    // or has failed, no inputs.
    if (node && node->num_outputs() != 0 && node->num_inputs() != 0) {
      result.push_back(py::reinterpret_borrow<py::object>(object));
    }
  }
  return result;
}

std::vector<Things> outermost(const Things& objects) {
  std::vector<const torch::autograd::Node*> nodes;
  for (const auto& object : objects) {
    nodes.push_back(libgrad::detail::node_in(object).get());
  }
  std::vector<Things> result;
  for (const auto& places : libgrad::detail::outermost(nodes)) {
    auto& same = result.emplace_back();
    for (const auto place : places) {
      same.push_back(objects[place]);
    }
  }
  return result;
}

/// The objects whose nodes are in `graph`. Nodes are compared by thread and
/// sequence number, which identify them: the live graph may be gone.
Things made_by(const libgrad::Graph& graph, const Things& objects) {
  std::set<std::pair<uint64_t, uint64_t>> nodes;
  for (const auto& node : graph.nodes) {
    if (node.kind != libgrad::NodeKind::kLeaf) {
      nodes.emplace(node.thread, node.sequence_nr);
    }
  }
  Things result;
  for (const auto& object : objects) {
    const auto node = libgrad::detail::node_in(object);
    if (node && nodes.count({node->thread_id(), node->sequence_nr()}) != 0) {
      result.push_back(object);
    }
  }
  return result;
}

}  // namespace

void bind_alive(py::module_& m) {
  m.def("with_graph", wrap_pybind_function(with_graph), "objects"_a);
  m.def("outermost", wrap_pybind_function(outermost), "objects"_a);
  m.def("made_by", wrap_pybind_function(made_by), "graph"_a, "objects"_a);
  m.def(
      "references_of_cpp",
      wrap_pybind_function(libgrad::detail::count_references_of_cpp),
      "objects"_a);
}
