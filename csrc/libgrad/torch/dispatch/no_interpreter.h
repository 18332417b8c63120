/// libgrad/torch/dispatch/no_interpreter.h -- entries of C++ where LibTorch
/// keeps Python objects for a thread.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp and
/// tests/cpp/memory/test_node_hooks.cpp): a PyInterpreter that was disarmed
/// counts no references, so a SafePyObject of it may hold any number.

#pragma once

#include <c10/core/SafePyObject.h>
#include <c10/core/impl/PyInterpreter.h>

#include <cstdint>

namespace libgrad::detail {

/// The interpreter of entries that are no Python objects.
inline c10::impl::PyInterpreter& no_interpreter() {
  static c10::impl::PyInterpreter* const interpreter = [] {
    auto* made = new c10::impl::PyInterpreter(nullptr);
    made->disarm();
    return made;
  }();
  return *interpreter;
}

/// An entry that stands for `number`.
inline c10::SafePyObject entry_of_number(uintptr_t number) {
  return {reinterpret_cast<PyObject*>(number), &no_interpreter()};
}

/// The number of an entry that `entry_of_number` made; 0 for a Python object
/// and for an entry of another extension.
inline uintptr_t number_of_entry(const c10::SafePyObject& entry) {
  return &entry.pyinterpreter() == &no_interpreter()
             ? reinterpret_cast<uintptr_t>(entry.ptr(&no_interpreter()))
             : 0;
}

}  // namespace libgrad::detail
