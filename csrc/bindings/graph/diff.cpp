#include "bindings/bindings.h"

#include <libgrad/diff.h>

#include <pybind11/stl.h>

using libgrad::ChangedNode;
using libgrad::Graph;
using libgrad::GraphDiff;

void bind_diff(py::module_& m) {
  py::class_<ChangedNode>(m, "ChangedNode")
      .def_readonly("before", &ChangedNode::before)
      .def_readonly("after", &ChangedNode::after)
      .def_readonly("what", &ChangedNode::what)
      .def("__repr__", [](const ChangedNode& node) {
        return "ChangedNode(" + std::to_string(node.before) + ", " +
               std::to_string(node.after) + ", " + node.what + ")";
      });
  py::class_<GraphDiff>(m, "GraphDiff")
      .def_readonly("removed", &GraphDiff::removed)
      .def_readonly("added", &GraphDiff::added)
      .def_readonly("changed", &GraphDiff::changed)
      .def_readonly("nbytes", &GraphDiff::nbytes)
      .def("__bool__", [](const GraphDiff& diff) { return !diff.empty(); })
      .def("__str__", [](const GraphDiff& diff) { return diff.text; })
      .def("__repr__", [](const GraphDiff& diff) {
        return "GraphDiff(" + std::to_string(diff.removed.size()) +
               " removed, " + std::to_string(diff.added.size()) + " added, " +
               std::to_string(diff.changed.size()) + " changed)";
      });
  for (const char* type : {"ChangedNode", "GraphDiff"}) {
    m.attr(type).attr("__module__") = "libgrad.types";
  }
  py::object graph = m.attr("Graph");
  graph.attr("diff") = py::cpp_function(
      wrap_pybind_function(libgrad::diff),
      py::name("diff"),
      py::is_method(graph),
      "other"_a);
}
