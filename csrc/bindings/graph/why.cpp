#include "bindings/bindings.h"

#include <libgrad/why.h>

#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>

using libgrad::Graph;
using libgrad::GraphWhy;
using libgrad::kNothing;

namespace {

constexpr const char* kWhy = R"(why(tensor, *, max_paths=10)
--

Return why the graph needs a tensor: the paths from the roots to it.

They end at the node that made it, or that accumulates into it when it is a leaf; a view counts as
what it is a view of. Where no gradient comes to it, they end at the nodes that saved something in
its memory. Of one length it is any of them first; all are counted, but only `max_paths` are made.

>>> x = torch.ones(2, requires_grad=True)
>>> why = libgrad.graph((x * x).sum(), params={"x": x}).why(x)
>>> print(why)
2 paths to 'x' (node 2), the shortest of 3 nodes:
  0   SumBackward0
  1   MulBackward0
  2   AccumulateGrad (x) ×2
saved by node 1, MulBackward0 (other, self)
>>> why.paths, why.total
([(0, 1, 2)], 2)

Args:
    tensor: Any tensor: a leaf, one that was computed, a view, or one without gradient.
    max_paths: How many paths to make, at most.

Returns:
    GraphWhy: `paths`, ids of nodes, the shortest path first; `total`, how many there are in all,
    by the edges they take; `saved`, the places in `Graph.saved` of what lies in the tensor's
    memory; `node`, that made it. It is false when the graph does not use the tensor, and a text
    as a string, which then says why not.

Raises:
    TypeError: `tensor` is no tensor, or `max_paths` no int.
    ValueError: `max_paths` is less than 1.)";

size_t read_max_paths(py::handle number) {
  if (PyBool_Check(number.ptr()) || !PyIndex_Check(number.ptr())) {
    throw py::type_error(
        std::string("why: max_paths must be an int, but is ") +
        Py_TYPE(number.ptr())->tp_name);
  }
  const auto value = PyNumber_AsSsize_t(number.ptr(), nullptr);  // the nearest
  if (value == -1 && PyErr_Occurred() != nullptr) {
    throw py::error_already_set();
  }
  if (value < 1) {
    throw py::value_error(
        "why: max_paths must be at least 1, but is " +
        py::str(number).cast<std::string>());
  }
  return static_cast<size_t>(value);
}

GraphWhy why(const Graph& graph, py::handle tensor, py::handle max_paths) {
  if (!THPVariable_Check(tensor.ptr())) {
    throw py::type_error(
        std::string("why: tensor must be a tensor, but is ") +
        Py_TYPE(tensor.ptr())->tp_name);
  }
  return libgrad::why(
      graph, THPVariable_Unpack(tensor.ptr()), read_max_paths(max_paths));
}

py::list paths_of(const GraphWhy& why) {
  py::list paths;
  for (const auto& path : why.paths) {
    paths.append(py::tuple(py::cast(path)));
  }
  return paths;
}

py::object total_of(const GraphWhy& why) {
  return py::reinterpret_steal<py::object>(
      PyLong_FromString(why.total.hex().c_str(), nullptr, 16));
}

}  // namespace

void bind_why(py::module_& m) {
  py::class_<GraphWhy>(m, "GraphWhy", "See libgrad.Graph.why.")
      .def_property_readonly("paths", paths_of)
      .def_property_readonly("total", total_of)
      .def_property_readonly(
          "exact", [](const GraphWhy& why) { return why.total.exact(); })
      .def_readonly("saved", &GraphWhy::saved)
      .def_property_readonly(
          "node",
          [](const GraphWhy& why) {
            return why.node == kNothing ? py::none()
                                        : py::object(py::int_(why.node));
          })
      .def("__bool__", [](const GraphWhy& why) { return !why.empty(); })
      .def("__str__", [](const GraphWhy& why) { return why.text; })
      .def("__repr__", [](const GraphWhy& why) {
        return "GraphWhy(" + why.total.words() +
               (why.total == libgrad::PathCount(1) ? " path, " : " paths, ") +
               std::to_string(why.saved.size()) + " saved)";
      });
  m.attr("GraphWhy").attr("__module__") = "libgrad.types";
  py::object graph = m.attr("Graph");
  graph.attr("why") = py::cpp_function(
      wrap_pybind_function(why),
      py::name("why"),
      py::is_method(graph),
      "tensor"_a,
      py::kw_only(),
      "max_paths"_a = 10,
      kWhy);
}
