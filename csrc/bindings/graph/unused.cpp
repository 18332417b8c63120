#include "bindings/bindings.h"

#include <libgrad/unused.h>

#include <pybind11/stl.h>

using libgrad::GraphEnd;
using libgrad::kNothing;
using libgrad::UnusedParam;
using libgrad::UnusedParams;

namespace {

/// The parameter at an index, or a list of parameters for a slice.
py::object item_of(const UnusedParams& unused, py::handle key) {
  const py::list list = py::cast(unused.params);
  return list[key];
}

}  // namespace

void bind_unused(py::module_& m) {
  py::class_<UnusedParam>(m, "UnusedParam")
      .def_readonly("name", &UnusedParam::name)
      .def_readonly("reason", &UnusedParam::reason)
      .def_property_readonly(
          "node",
          [](const UnusedParam& param) {
            return param.node == kNothing ? py::none()
                                          : py::object(py::int_(param.node));
          })
      .def_readonly("text", &UnusedParam::text)
      .def("__repr__", [](const UnusedParam& param) {
        return "UnusedParam(" + param.name + ", " + std::string(param.reason) +
               ")";
      });
  py::class_<GraphEnd>(m, "GraphEnd")
      .def_readonly("node", &GraphEnd::node)
      .def_readonly("saved", &GraphEnd::saved)
      .def_readonly("text", &GraphEnd::text)
      .def("__repr__", [](const GraphEnd& end) {
        return "GraphEnd(" + end.text + ")";
      });
  py::class_<UnusedParams>(m, "UnusedParams")
      .def_readonly("ends", &UnusedParams::ends)
      .def(
          "__len__",
          [](const UnusedParams& self) { return self.params.size(); })
      .def("__getitem__", item_of)
      .def(
          "__iter__",
          [](const UnusedParams& self) {
            const py::list list = py::cast(self.params);
            return py::iter(list);
          })
      .def("__str__", [](const UnusedParams& self) { return self.text; })
      .def("__repr__", [](const UnusedParams& self) {
        return "UnusedParams(" + std::to_string(self.params.size()) +
               " unused, " + std::to_string(self.ends.size()) + " ends)";
      });
  for (const char* type : {"UnusedParam", "GraphEnd", "UnusedParams"}) {
    m.attr(type).attr("__module__") = "libgrad.types";
  }
  m.def("unused", wrap_pybind_function(libgrad::unused), "graph"_a, "params"_a);
}
