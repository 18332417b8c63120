/// Guards of C++ as context managers of Python.

#pragma once

#include "bindings/bindings.h"

#include <torch/csrc/utils/python_raii.h>  // which may be included once
