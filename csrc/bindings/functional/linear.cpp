#include "bindings/functional/callable.h"

#include <libgrad/linear.h>

#include <torch/csrc/DynamicTypes.h>

namespace {

/// An operator, and how Python groups its inputs and outputs.
struct LinearOperator {
  libgrad::LinearOperator linear;
  Nest inputs;
  Nest outputs;
  const char* maker;
};

/// `nest` without its tensors.
Nest grouping(Nest nest) {
  nest.take();
  return nest;
}

LinearOperator jacobian_operator(py::handle func, py::handle inputs) {
  constexpr const char* kName = "jacobian_operator";
  const auto nest = Nest::read(inputs, kName, "inputs");
  NestFunction f(func, kName, nest);
  auto linear = unlocked([&] {
    return libgrad::jacobian_operator(f.reference(), nest.tensors());
  });
  return {std::move(linear), grouping(nest), grouping(f.outputs()), kName};
}

LinearOperator hessian_operator(py::handle func, py::handle inputs) {
  constexpr const char* kName = "hessian_operator";
  const auto nest = Nest::read(inputs, kName, "inputs");
  NestFunction f(func, kName, nest, single_output(kName));
  auto linear = unlocked(
      [&] { return libgrad::hessian_operator(f.reference(), nest.tensors()); });
  return {std::move(linear), grouping(nest), grouping(nest), kName};
}

LinearOperator transpose(const LinearOperator& self) {
  return {self.linear.transpose(), self.outputs, self.inputs, self.maker};
}

at::Tensor matmul(const LinearOperator& self, const at::Tensor& v) {
  return unlocked([&] { return self.linear.matmul(v); });
}

py::object apply(const LinearOperator& self, py::handle nest) {
  const auto v = self.inputs.read_alike(nest, self.maker, "v");
  return self.outputs.group(unlocked([&] { return self.linear.apply(v); }));
}

py::object linear_dtype(const LinearOperator& self) {
  return py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(torch::getTHPDtype(self.linear.dtype())));
}

}  // namespace

void bind_linear(py::module_& m) {
  auto sub = py::reinterpret_borrow<py::module_>(m.attr("functional"));
  py::class_<LinearOperator>(sub, "_LinearOperator")
      .def_property_readonly(
          "shape",
          [](const LinearOperator& self) {
            const auto [rows, columns] = self.linear.shape();
            return py::make_tuple(rows, columns);
          })
      .def_property_readonly("dtype", linear_dtype)
      .def_property_readonly(
          "device",
          [](const LinearOperator& self) { return self.linear.device(); })
      .def_property_readonly(
          "is_symmetric",
          [](const LinearOperator& self) { return self.linear.is_symmetric(); })
      .def("transpose", transpose)
      .def("matmul", wrap_pybind_function(matmul))
      .def("apply", wrap_pybind_function(apply));
  sub.def("_jacobian_operator", wrap_pybind_function(jacobian_operator));
  sub.def("_hessian_operator", wrap_pybind_function(hessian_operator));
}
