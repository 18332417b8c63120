/// Calls of the engine that Python code wants to run itself.

#pragma once

#include "bindings/bindings.h"

/// Passes the call to the watch that `watch_engine` set, as
/// watch(function, *args). Returns its result, null with an error; nothing if
/// no watch is set, or if the watch itself makes the call.
std::optional<PyObject*> call_watch(
    PyObject* function,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords);

/// Lets `watch` run all calls of `grad` and `backward`; None removes the watch.
void watch_engine(py::object watch);
