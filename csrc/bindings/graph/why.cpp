#include "bindings/bindings.h"

#include <libgrad/why.h>

#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>

using libgrad::Graph;
using libgrad::GraphWhy;
using libgrad::kNothing;

namespace {

size_t read_max_paths(py::handle number) {
  if (PyBool_Check(number.ptr()) || !PyIndex_Check(number.ptr())) {
    throw py::type_error(
        std::string("why: max_paths must be an int, but is ") +
        Py_TYPE(number.ptr())->tp_name);
  }
  const auto value = PyNumber_AsSsize_t(number.ptr(), nullptr);  // clamped
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
  py::class_<GraphWhy>(m, "GraphWhy")
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
      "max_paths"_a = 10);
}
