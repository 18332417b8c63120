/// A Python object that C++ keeps.

#pragma once

#include "bindings/bindings.h"

#include <memory>

/// A Python object that any thread may release.
using Object = std::shared_ptr<py::object>;

inline Object keep(py::object object) {
  return Object(new py::object(std::move(object)), [](py::object* kept) {
    if (Py_IsInitialized() != 0) {  // a thread may outlive the interpreter
      const py::gil_scoped_acquire gil;
      delete kept;
    }
  });
}
