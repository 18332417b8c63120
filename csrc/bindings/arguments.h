/// Positional and keyword arguments of a plain CPython function: on a small
/// graph pybind11's reading of nine arguments would show.

#pragma once

#include "bindings.h"

#include <array>

/// The parameters of one function: their names in order, of which the first
/// `required` have no default.
template <size_t N>
class Signature {
 public:
  Signature(
      const char* function,
      size_t required,
      const std::array<const char*, N>& names)
      : function_(function),
        required_(required) {
    for (size_t i = 0; i < N; ++i) {
      names_[i] = PyUnicode_InternFromString(names[i]);  // kept for good
    }
  }

  /// The arguments of one call in the order of the parameters; null where the
  /// default is meant. Throws TypeError as a Python function does.
  std::array<PyObject*, N> parse(
      PyObject* const* args, Py_ssize_t positional, PyObject* keywords) const {
    std::array<PyObject*, N> values{};
    if (positional > static_cast<Py_ssize_t>(N)) {
      PyErr_Format(
          PyExc_TypeError,
          "%s() takes at most %zu positional arguments but %zd were given",
          function_,
          N,
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
  std::array<PyObject*, N> names_;
};
