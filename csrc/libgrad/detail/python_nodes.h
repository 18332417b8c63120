/// libgrad/detail/python_nodes.h -- what the nodes of Python Functions saved.
/// Needs Python.
///
/// Relies on (covered by tests/test_lens.py):
/// - a PyNode's Python object is the ctx: a THPFunction, whose SavedVariables
///   are `saved_variables` until `has_freed_buffers`;
/// - what forward put on ctx is in that object's dict.

#pragma once

#include <libgrad/detail/saved_nodes.h>

#include <torch/csrc/autograd/python_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <string>

namespace libgrad::detail {

/// The Python object of a PyNode, borrowed.
template <class N>
PyObject* object_of(N& node) {
  if constexpr (requires { node.obj; }) {  // up to torch 2.12
    return node.obj;
  } else {
    return node.pyobj();
  }
}

/// Tells `sink` of the tensors among the attributes of `object`.
inline void read_attributes(PyObject* object, SavedSink sink) {
  PyObject** dict = _PyObject_GetDictPtr(object);
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  Py_ssize_t place = 0;
  while (dict && *dict && PyDict_Next(*dict, &place, &key, &value)) {
    if (PyUnicode_Check(key) && THPVariable_Check(value)) {
      const std::string field =
          "ctx." + py::reinterpret_borrow<py::str>(key).cast<std::string>();
      const auto& tensor = THPVariable_Unpack(value);
      sink(
          {.field = field,
           .state = SavedState::kHeld,
           .tensor = &tensor,
           .by_python = true});
    }
  }
}

inline std::string read_py_node(RawNode& node, SavedSink sink) {
  py::gil_scoped_acquire gil;
  auto* object = object_of(static_cast<torch::autograd::PyNode&>(node));
  if (object == nullptr) {
    return "its ctx is gone";
  }
  const auto& ctx = *reinterpret_cast<THPFunction*>(object);
  for (size_t i = 0; i < ctx.saved_variables.size(); ++i) {
    sink(place_of(
        ctx.saved_variables[i], "saved_tensors", static_cast<Index>(i)));
  }
  read_attributes(object, sink);
  return ctx.has_freed_buffers ? "a backward freed its saved tensors" : "";
}

inline const bool kReadsPythonNodes = [] {
  read_python_node = read_py_node;
  return true;
}();

}  // namespace libgrad::detail
