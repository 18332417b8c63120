/// Positional and keyword arguments of a plain CPython function: on a small
/// graph pybind11's reading of nine arguments would show.

#pragma once

#include "bindings/bindings.h"

#include <array>

/// The parameters of one function: their names in order, of which the first
/// `required` have no default, and only the first `positional` may be given
/// without their name.
template <size_t N>
class ArgumentSpec {
 public:
  ArgumentSpec(
      const char* function,
      size_t required,
      const std::array<const char*, N>& names,
      size_t positional = N)
      : function_(function),
        required_(required),
        positional_(positional) {
    for (size_t i = 0; i < N; ++i) {
      names_[i] = PyUnicode_InternFromString(names[i]);  // kept for good
    }
  }

  /// The arguments of one call in the order of the parameters; null where the
  /// default is meant. Throws TypeError as a Python function does.
  std::array<PyObject*, N> parse(
      PyObject* const* args, Py_ssize_t positional, PyObject* keywords) const {
    std::array<PyObject*, N> values{};
    if (positional > static_cast<Py_ssize_t>(positional_)) {
      PyErr_Format(
          PyExc_TypeError,
          "%s() takes at most %zu positional arguments but %zd were given",
          function_,
          positional_,
          positional);
      throw py::error_already_set();
    }
    std::copy_n(args, positional, values.begin());
    const auto count = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t i = 0; i < count; ++i) {
      set(values, PyTuple_GET_ITEM(keywords, i), args[positional + i]);
    }
    for (size_t i = 0; i < required_; ++i) {
      if (!values[i]) {
        fail("%s() missing required argument: '%U'", names_[i]);
      }
    }
    return values;
  }

 private:
  void set(
      std::array<PyObject*, N>& values, PyObject* name, PyObject* value) const {
    size_t i = 0;
    while (i < N && names_[i] != name) {
      ++i;
    }
    for (size_t j = 0; i == N && j < N; ++j) {  // a name that is not interned
      i = PyUnicode_Compare(names_[j], name) == 0 ? j : N;
    }
    if (i == N) {
      fail("%s() got an unexpected keyword argument '%U'", name);
    }
    if (values[i]) {
      fail("%s() got multiple values for argument '%U'", name);
    }
    values[i] = value;
  }

  [[noreturn]] void fail(const char* format, PyObject* name) const {
    PyErr_Format(PyExc_TypeError, format, function_, name);
    throw py::error_already_set();
  }

  const char* function_;
  size_t required_;
  size_t positional_;
  std::array<PyObject*, N> names_;
};

/// The definition of a function that takes its arguments as `ArgumentSpec`
/// does.
inline PyMethodDef fast_method(
    const char* name,
    PyObject* (*function)(PyObject*, PyObject* const*, Py_ssize_t, PyObject*)) {
  return {
      name,
      reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(function)),
      METH_FASTCALL | METH_KEYWORDS,
      nullptr};
}

/// Puts the function `def` into `m`, with `module` as its `__module__`. `def`
/// must outlive Python.
inline void define(
    py::module_& m,
    const char* name,
    PyMethodDef* def,
    PyObject* self,
    const char* module = "libgrad") {
  m.attr(name) = py::reinterpret_steal<py::object>(
      PyCFunction_NewEx(def, self, py::str(module).ptr()));
}
