/// The Python function that gradcheck calls, and the GradcheckHost for Python.
///
/// Relies on (covered by tests/gradcheck/test_gradcheck.py):
/// - torch.autograd.forward_ad keeps the current level of dual tensors in
///   `_current_level`, which its functions read;
/// - the engine throws a Python exception and also leaves it set on the thread.

#pragma once

#include "bindings/bindings.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/gradcheck.h>
#include <libgrad/python/arguments.h>

namespace gradcheck_host {

using libgrad::variable_list;
using libgrad::detail::GradcheckHost;

/// A tuple as it is, a list as a tuple, and any other object in a tuple of one.
inline py::tuple as_tuple(const py::object& object) {
  return py::isinstance<py::tuple>(object) || py::isinstance<py::list>(object)
             ? py::tuple(object)
             : py::make_tuple(object);
}

/// The tensors among `objects`; undefined in the place of other objects.
inline variable_list tensors_of(const py::tuple& objects) {
  variable_list tensors;
  tensors.reserve(objects.size());
  for (const auto object : objects) {
    tensors.push_back(
        THPVariable_Check(object.ptr()) ? THPVariable_Unpack(object.ptr())
                                        : at::Tensor());
  }
  return tensors;
}

[[noreturn]] inline void throw_python_error() {
  python_error error;
  error.persist();
  throw error;
}

/// A Python function and its arguments; takes the GIL for a call. The function
/// gets the original object of each argument whose tensor is unchanged.
class Checked {
 public:
  Checked(py::object function, py::tuple arguments)
      : function_(std::move(function)),
        arguments_(std::move(arguments)),
        tensors_(tensors_of(arguments_)) {}

  const variable_list& tensors() const { return tensors_; }

  variable_list operator()(const variable_list& inputs) const {
    py::gil_scoped_acquire gil;
    const auto result = py::reinterpret_steal<py::object>(PyObject_Call(
        function_.ptr(), arguments_for(inputs).ptr(), /*kwargs=*/nullptr));
    if (!result) {
      throw_python_error();
    }
    const auto outputs = as_tuple(result);
    auto tensors = tensors_of(outputs);
    check_any_tensor(outputs, tensors);
    return tensors;
  }

 private:
  py::tuple arguments_for(const variable_list& inputs) const {
    const auto same = [&](size_t i) { return inputs[i].is_same(tensors_[i]); };
    size_t known = 0;
    while (known < inputs.size() && same(known)) {
      ++known;
    }
    if (known == inputs.size()) {
      return arguments_;
    }
    py::tuple result(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      result[i] = same(i) ? py::object(arguments_[i])
                          : libgrad::detail::to_python(inputs[i]);
    }
    return result;
  }

  static void check_any_tensor(
      const py::tuple& outputs, const variable_list& tensors) {
    for (const auto& tensor : tensors) {
      if (tensor.defined()) {
        return;
      }
    }
    if (!tensors.empty()) {
      PyErr_Format(
          PyExc_AttributeError,
          "gradcheck: func must return a tensor, or tensors in a tuple or a "
          "list, but it returned %s; return what is to be differentiated",
          Py_TYPE(outputs[0].ptr())->tp_name);
      throw_python_error();
    }
  }

  py::object function_;
  py::tuple arguments_;
  variable_list tensors_;
};

/// The meaning of a Python exception of class `type`. Clears the error on the
/// thread, which the engine leaves set: the C++ exception holds it as well.
inline GradcheckHost::Thrown thrown_in_python(PyObject* type) {
  py::gil_scoped_acquire gil;
  PyErr_Clear();
  if (PyErr_GivenExceptionMatches(type, PyExc_RuntimeError) != 0) {
    return GradcheckHost::Thrown::failure;
  }
  return PyErr_GivenExceptionMatches(type, PyExc_Exception) != 0
             ? GradcheckHost::Thrown::other
             : GradcheckHost::Thrown::interrupt;
}

inline GradcheckHost::Thrown classify(const std::exception& error) {
  if (const auto* torchs = dynamic_cast<const python_error*>(&error)) {
    return thrown_in_python(torchs->type);
  }
  if (const auto* pys = dynamic_cast<const py::error_already_set*>(&error)) {
    return thrown_in_python(pys->type().ptr());
  }
  return GradcheckHost::by_cpp(error);
}

/// Tells torch.autograd.forward_ad of a level of dual tensors, as its
/// dual_level does.
inline void tell_forward_mode(bool on) {
  py::gil_scoped_acquire gil;
  py::module_::import("torch.autograd.forward_ad").attr("_current_level") =
      on ? 0 : -1;
}

inline const GradcheckHost& python_host() {
  static const GradcheckHost host{classify, tell_forward_mode};
  return host;
}

}  // namespace gradcheck_host
