#include "bindings/functional/split.h"
#include "bindings/functional/callable.h"

#include <pybind11/stl.h>

py::object split_matrix(
    py::handle group,
    const char* function,
    const std::function<GroupedRows()>& make) {
  return py::module_::import("libgrad._functional.split")
      .attr("matrix")(
          py::cpp_function(wrap_pybind_function([&] { return make(); })),
          function,
          group);
}

void bind_split(py::module_& functional) {
  py::class_<GroupedRows>(functional, "_Rows")
      .def(
          "part",
          wrap_pybind_function(
              [](const GroupedRows& self, int64_t index, int64_t parts) {
                return unlocked([&] { return self.rows.part(index, parts); });
              }))
      .def(
          "whole",
          wrap_pybind_function(
              [](const GroupedRows& self, const libgrad::variable_list& parts) {
                const auto matrix =
                    unlocked([&] { return self.rows.whole(parts); });
                return grouped(self.outputs, self.inputs, matrix);
              }));
}
