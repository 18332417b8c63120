/// The precompiled header for builds that compile the extension file by file.
/// It has only headers of torch and pybind11, so that an edit of libgrad's own
/// headers does not rebuild it.

#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include <pybind11/stl.h>
