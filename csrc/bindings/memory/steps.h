/// Python functions that checkpoints run.

#pragma once

#include "bindings/memory/eagerly.h"
#include "bindings/python/keep.h"

#include <torch/csrc/autograd/python_variable.h>

#include <functional>
#include <string>
#include <vector>

/// Throws torch.utils.checkpoint.CheckpointError.
inline void refuse_checkpoint(const std::string& text) {
  const py::gil_scoped_acquire gil;
  const auto error =
      py::module_::import("torch.utils.checkpoint").attr("CheckpointError");
  PyErr_SetString(error.ptr(), text.c_str());
  throw py::error_already_set();
}

using Steps = std::vector<std::function<at::Tensor(const at::Tensor&)>>;

/// Each of `functions` as a C++ function; `caller` is named in its error.
inline Steps steps_of(
    const std::vector<py::object>& functions, const char* caller) {
  Steps steps;
  for (const auto& function : functions) {
    steps.push_back(
        [function = keep(function), caller](const at::Tensor& input) {
          const py::gil_scoped_acquire gil;
          const Eagerly eagerly;
          const auto output = (*function)(input);
          TORCH_CHECK_TYPE(
              THPVariable_Check(output.ptr()),
              caller,
              ": each function must return a tensor, but one returned ",
              Py_TYPE(output.ptr())->tp_name);
          return THPVariable_Unpack(output.ptr());
        });
  }
  return steps;
}
