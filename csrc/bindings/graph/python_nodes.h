/// bindings/graph/python_nodes.h -- what the nodes of Python Functions saved.
/// Needs Python.
///
/// Relies on (covered by tests/graph/test_graph.py):
/// - a PyNode's Python object is the ctx: a THPFunction, whose SavedVariables
///   are `saved_variables` until `has_freed_buffers`;
/// - what forward put on ctx is in that object's dict;
/// - hooks from Python are PySavedVariableHooks;
/// - the unpack hook of torch.utils.checkpoint has its `frame` in its closure;
///   `saved_args` of the frame (in an older torch, what the node of its
///   `input_saver` saved) has the inputs of the recomputation, as SavedTensors,
///   and the closure of its `recompute_fn` has the state of
///   random numbers.

#pragma once

#include "bindings/graph/python_hooks.h"

#include <libgrad/torch/saved/of_node.h>

#include <torch/csrc/PyInterpreter.h>
#include <torch/csrc/autograd/python_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>

#include <string>
#include <string_view>

namespace libgrad::detail {

/// The Python object of a PyNode, borrowed.
template <class N>
PyObject* object_of(N& node) {
  if constexpr (requires { node.obj; }) {  // an older torch
    return node.obj;
  } else {
    return node.pyobj();
  }
}

/// Passes the tensors among the attributes of `object` to `sink`.
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
    sink(saved_place(
        ctx.saved_variables[i], "saved_tensors", static_cast<Index>(i)));
  }
  read_attributes(object, sink);
  return ctx.has_freed_buffers ? "a backward freed its saved tensors" : "";
}

/// Passes `object`, if it is a tensor, or the tensors in a tuple or list to
/// `sink`.
inline void read_object(
    PyObject* object, std::string_view field, SavedSink sink) {
  if (THPVariable_Check(object)) {
    const auto& tensor = THPVariable_Unpack(object);
    sink(
        {.field = field,
         .state = field.empty() ? SavedState::kPacked : SavedState::kHeld,
         .hooks = field.empty(),
         .tensor = &tensor,
         .by_python = true});
  } else if (PyTuple_Check(object) || PyList_Check(object)) {
    const auto size = PySequence_Fast_GET_SIZE(object);
    for (Py_ssize_t i = 0; i < size; ++i) {
      auto* item = PySequence_Fast_GET_ITEM(object, i);
      if (THPVariable_Check(item)) {
        read_object(item, field, sink);
      }
    }
  }
}

/// Calls `visit(name, object)` for each variable in the closure of `function`.
template <class Visit>
void each_variable_around(py::handle function, const Visit& visit) {
  if (!function || !PyFunction_Check(function.ptr()) ||
      function.attr("__closure__").is_none()) {
    return;
  }
  const py::tuple names = function.attr("__code__").attr("co_freevars");
  const py::tuple cells = function.attr("__closure__");
  for (size_t i = 0; i < names.size(); ++i) {
    if (auto* object = PyCell_GET(cells[i].ptr())) {
      visit(names[i].cast<std::string_view>(), py::handle(object));
    }
  }
}

/// The inputs of the recomputation of a checkpoint, a list that has its tensors
/// as SavedTensors; None where `frame` has none. An older torch keeps them in
/// the node of a Function, behind one without elements.
inline py::object saved_args(py::handle frame) {
  if (!frame || py::hasattr(frame, "saved_args")) {
    return frame ? py::getattr(frame, "saved_args") : py::none();
  }
  const auto saver = py::getattr(frame, "input_saver", py::none());
  const auto node = py::getattr(saver, "grad_fn", py::none());
  if (node.is_none()) {
    return py::none();
  }
  py::list saved(node.attr("_raw_saved_tensors"));
  saved.attr("pop")(0);
  return saved;
}

/// Passes what torch.utils.checkpoint keeps for its recomputation to `sink`.
inline void read_checkpoint(py::handle unpack, SavedSink sink) {
  py::object frame;
  each_variable_around(unpack, [&](std::string_view name, py::handle object) {
    if (name == "frame" && py::hasattr(object, "recompute_fn")) {
      frame = py::reinterpret_borrow<py::object>(object);
    }
  });
  const auto args = saved_args(frame);
  if (!PyList_Check(args.ptr())) {
    return;
  }
  Index i = 0;
  for (const auto& arg : args) {
    if (py::isinstance<SavedVariable>(arg)) {
      sink(saved_place(arg.cast<const SavedVariable&>(), "checkpoint.args", i));
    }
    ++i;
  }
  const py::object recompute = frame.attr("recompute_fn");
  each_variable_around(
      recompute, [&](std::string_view name, py::handle object) {
        read_object(object.ptr(), "checkpoint." + std::string(name), sink);
      });
}

inline void read_python_pack(
    const SavedVariable& packed, PointerIndex& hooks, SavedSink sink) {
  const auto& made_by = *(packed.*member(SavedHooks()));
  if (std::string_view(typeid(made_by).name()) !=
      "N5torch8autograd20PySavedVariableHooksE") {
    return;
  }
  py::gil_scoped_acquire gil;
  const auto data = data_of(
      static_cast<const torch::autograd::PySavedVariableHooks&>(made_by));
  if (!data) {
    return;  // the pack hook raised
  }
  read_object(data.ptr(), "", sink);
  const auto unpack = unpack_hook_of(packed);
  if (hooks.emplace(unpack.ptr(), 0).second) {
    read_checkpoint(unpack, sink);
  }
}

}  // namespace libgrad::detail
