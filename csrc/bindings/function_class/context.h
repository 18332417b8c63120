/// The type of ctx: derived from torch's, but its saved tensors are in the C++
/// AutogradContext.

#pragma once

#include "bindings/bindings.h"
#include "bindings/function_class/calls.h"

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION
py::object make_function_context();
#endif
