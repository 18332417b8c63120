#include "bindings/bindings.h"

#include <libgrad/diff.h>

#include <pybind11/stl.h>

using libgrad::ChangedNode;
using libgrad::Graph;
using libgrad::GraphDiff;

namespace {

constexpr const char* kDiff = R"(diff(other)
--

Return what changed from this graph to `other`, such as from one step to the next.

Nodes go together by their names, modules and leaves' names, in the order of backward, so that as
few as can be went or came. Of those that go together it is told which take or saved something
else.

>>> x = torch.ones(2, requires_grad=True)
>>> before = libgrad.graph(x.exp().sum(), params={"x": x})
>>> after = libgrad.graph((x.exp() + 1).sum(), params={"x": x})
>>> print(before.diff(after))
before: 3 nodes, 1 saved tensor, 8 B (8 B exclusive)
after:  4 nodes, 1 saved tensor, 8 B (8 B exclusive)
+ AddBackward0  float32 [2]
>>> before.diff(after).added
[1]

Returns:
    GraphDiff: `removed` and `added`, ids of nodes of this graph and of `other`; `changed`, with
    `before`, `after` (ids) and `what`; `nbytes`, what `other` saved more. It is false when nothing
    changed.

Source: E. W. Myers, "An O(ND) difference algorithm and its variations", Algorithmica 1 (1986).)";

}  // namespace

void bind_diff(py::module_& m) {
  py::class_<ChangedNode>(m, "ChangedNode", "A node of both graphs.")
      .def_readonly("before", &ChangedNode::before)
      .def_readonly("after", &ChangedNode::after)
      .def_readonly("what", &ChangedNode::what)
      .def("__repr__", [](const ChangedNode& node) {
        return "ChangedNode(" + std::to_string(node.before) + ", " +
               std::to_string(node.after) + ", " + node.what + ")";
      });
  py::class_<GraphDiff>(m, "GraphDiff", "See libgrad.Graph.diff.")
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
      "other"_a,
      kDiff);
}
