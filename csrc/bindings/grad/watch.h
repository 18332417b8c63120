/// Calls of the engine that somebody in Python wants to run himself.

#pragma once

#include "bindings/bindings.h"

/// Offers the call to what `watch_engine` set, as watch(function, *args);
/// nothing when there is nothing set, or that is who calls. Otherwise what it
/// returned; null with an error.
std::optional<PyObject*> call_watch(
    PyObject* function,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords);

/// Lets `watch` run all calls of `grad` and `backward`; None for nobody.
void watch_engine(py::object watch);
