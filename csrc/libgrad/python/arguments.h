/// libgrad/python/arguments.h -- converts a Function's tensors and numbers
/// between Python and C++. Needs Python; every function must be called with the
/// GIL held.

#pragma once

#include <libgrad/function/erased.h>

#include <ATen/PythonTorchFunctionTLS.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

namespace libgrad::detail {

/// The names of the capsules in which an extension module passes an Erased, an
/// ErasedKernel and arguments to libgrad. The number in a name changes with the
/// layout of the content.
inline constexpr const char* kErasedCapsule = "libgrad.Erased/2";
inline constexpr const char* kKernelCapsule = "libgrad.ErasedKernel/1";
inline constexpr const char* kValuesCapsule = "libgrad.Values/1";

/// A tensor argument, with its Python object.
struct TensorArgument {
  at::Tensor tensor;
  PyObject* object = nullptr;  // borrowed for the call
};

/// A number argument, with its Python object.
struct ScalarArgument {
  at::Scalar scalar;
  PyObject* object = nullptr;  // borrowed for the call
};

/// The results of def_function's functions: types of their own, for the names
/// that docstrings show.
struct TensorResult : py::object {
  explicit TensorResult(py::object result) : py::object(std::move(result)) {}
};
struct TupleResult : py::object {
  explicit TupleResult(py::object result) : py::object(std::move(result)) {}
};

inline py::object to_python(const at::Tensor& tensor) {
  return tensor.defined()
             ? py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor))
             : py::none();
}

inline py::tuple to_python(const variable_list& tensors) {
  py::tuple result(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    result[i] = to_python(tensors[i]);
  }
  return result;
}

}  // namespace libgrad::detail

namespace pybind11::detail {

template <>
struct handle_type_name<libgrad::detail::TensorResult> {
  static constexpr auto name = const_name("torch.Tensor");
};
template <>
struct handle_type_name<libgrad::detail::TupleResult> {
  static constexpr auto name = const_name("tuple[torch.Tensor, ...]");
};

template <>
struct type_caster<libgrad::detail::ScalarArgument> {
  PYBIND11_TYPE_CASTER(
      libgrad::detail::ScalarArgument,
      const_name("bool | int | float | complex"));

  bool load(handle source, bool) {
    PyObject* object = source.ptr();
    if (THPVariable_Check(object) || !PyNumber_Check(object)) {
      return false;
    }
    value.object = object;
    if (PyBool_Check(object)) {
      value.scalar = object == Py_True;
    } else if (PyIndex_Check(object)) {
      const auto number = PyNumber_AsSsize_t(object, PyExc_OverflowError);
      value.scalar = static_cast<int64_t>(number);
    } else if (PyComplex_Check(object) || is_imaginary(source)) {
      const auto number = PyComplex_AsCComplex(object);
      value.scalar = c10::complex<double>(number.real, number.imag);
    } else {
      value.scalar = PyFloat_AsDouble(object);
    }
    if (PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      return false;
    }
    return true;
  }

  static bool is_imaginary(handle number) {  // for numpy.complex64
    return PyObject_HasAttrString(number.ptr(), "imag") != 0 &&
           PyObject_IsTrue(number.attr("imag").ptr()) == 1;
  }

  static handle cast(
      const libgrad::detail::ScalarArgument& argument,
      return_value_policy,
      handle) {
    return handle(argument.object).inc_ref();
  }
};

template <>
struct type_caster<libgrad::detail::TensorArgument> {
  PYBIND11_TYPE_CASTER(
      libgrad::detail::TensorArgument, const_name("torch.Tensor"));

  bool load(handle source, bool) {
    if (!THPVariable_Check(source.ptr())) {
      return false;
    }
    value.tensor = THPVariable_Unpack(source.ptr());
    value.object = source.ptr();
    return true;
  }

  static handle cast(
      const libgrad::detail::TensorArgument& argument,
      return_value_policy,
      handle) {
    return handle(argument.object).inc_ref();
  }
};

}  // namespace pybind11::detail
