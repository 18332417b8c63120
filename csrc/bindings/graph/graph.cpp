#include "bindings/graph/parts.h"
#include "bindings/graph/python_nodes.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/graph.h>

#include <pybind11/stl.h>

using libgrad::Graph;
using libgrad::GraphNode;
using libgrad::Index;

namespace {

/// The graph behind tensors and GradientEdges.
std::shared_ptr<Graph> graph_of(
    const py::tuple& roots,
    std::vector<std::pair<std::string, at::Tensor>> params) {
  const auto [edges, tensors] = roots_of(roots, "graph");
  return std::make_shared<Graph>(
      libgrad::detail::take_graph(edges, tensors, params));
}

/// A property: all entries of a list.
template <auto Member>
auto list() {
  return [](const std::shared_ptr<Graph>& graph) {
    return all(graph, (*graph).*Member);
  };
}

Parts<GraphNode> leaves(const std::shared_ptr<Graph>& graph) {
  return {graph, {0, static_cast<Index>(graph->leaves.size())}, true};
}

}  // namespace

std::pair<torch::autograd::edge_list, torch::autograd::variable_list> roots_of(
    const py::tuple& roots, const char* function) {
  torch::autograd::edge_list edges;
  torch::autograd::variable_list tensors;
  for (const auto& root : roots) {
    if (libgrad::detail::is_gradient_edge(root)) {
      edges.push_back(libgrad::detail::unpack_gradient_edge(root));
      libgrad::detail::check_edge(
          function, "tensors", edges.size() - 1, edges.back());
    } else {
      tensors.push_back(root.cast<at::Tensor>());
      libgrad::detail::check_root(tensors.back(), edges.size(), function);
      edges.push_back(libgrad::detail::root_edge(tensors.back()));
    }
  }
  return {std::move(edges), std::move(tensors)};
}

void bind_graph(py::module_& m) {
  auto& host = libgrad::detail::host();
  host.read_python_node = libgrad::detail::read_py_node;
  host.read_packed = libgrad::detail::read_python_pack;
  bind_graph_parts(m);
  py::class_<Graph, std::shared_ptr<Graph>>(m, "Graph")
      .def("__len__", [](const Graph& graph) { return graph.nodes.size(); })
      .def("__repr__", [](const Graph& graph) { return repr(graph); })
      .def_readonly("nbytes", &Graph::nbytes)
      .def_readonly("exclusive_nbytes", &Graph::exclusive_nbytes)
      .def_property_readonly("nodes", list<&Graph::nodes>())
      .def_property_readonly("edges", list<&Graph::edges>())
      .def_property_readonly("saved", list<&Graph::saved>())
      .def_property_readonly("storages", list<&Graph::storages>())
      .def_property_readonly("roots", list<&Graph::roots>())
      .def_property_readonly("leaves", leaves);
  m.attr("Graph").attr("__module__") = "libgrad";
  m.def("graph", wrap_pybind_function(graph_of), "roots"_a, "params"_a);
}
