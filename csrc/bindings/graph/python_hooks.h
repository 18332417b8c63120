/// bindings/graph/python_hooks.h -- the unpack hook and the data of a tensor
/// that hooks of Python packed. Needs Python.
///
/// Relies on (covered by tests/graph/test_graph_hooks.py): PySavedVariableHooks
/// keeps what the pack hook returned in `data_`, which is empty if that raised.

#pragma once

#include <torch/csrc/PyInterpreter.h>
#include <torch/csrc/autograd/python_saved_variable_hooks.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/utils/pybind.h>

namespace libgrad::detail {

struct PackedByPython {};
auto member(PackedByPython);
/// As Reveal, for a member whose type depends on the version of torch.
template <auto Member>
struct RevealPacked {
  friend auto member(PackedByPython) { return Member; }
};
template struct RevealPacked<&torch::autograd::PySavedVariableHooks::data_>;

inline py::object object_in(PyObject* object) {
  return py::reinterpret_borrow<py::object>(object);
}
inline py::object object_in(const std::optional<c10::SafePyObject>& object) {
  return object_in(object ? object->ptr(getPyInterpreter()) : nullptr);
}

/// What the pack hook returned; null if it raised.
inline py::object data_of(const torch::autograd::PySavedVariableHooks& hooks) {
  return object_in(hooks.*member(PackedByPython()));
}

/// The unpack hook of a tensor that has data.
template <class Saved>
py::object unpack_hook_of(const Saved& packed) {
  if constexpr (requires { packed.retrieve_unpack_hook(); }) {
    return object_in(packed.retrieve_unpack_hook());
  } else {
    return object_in(
        packed.retrieve_unpack_hook_data()->first.ptr(getPyInterpreter()));
  }
}

}  // namespace libgrad::detail
