/// A Python function where the C++ library wants one.

#pragma once

#include "nest.h"

#include <libgrad/functional.h>

#include <functional>
#include <optional>

/// Calls a Python function with tensors grouped as the caller's inputs, and
/// remembers how it grouped what it returned. Lives on the stack of the call:
/// `reference` gives what the C++ library takes.
class PythonFunction {
 public:
  /// What is done with the outputs before C++ sees their tensors.
  using Inspect = std::function<void(const Nest& outputs)>;

  PythonFunction(
      py::handle function,
      const char* caller,
      const Nest& inputs,
      Inspect inspect = {})
      : function_(function),
        caller_(caller),
        inputs_(inputs),
        inspect_(std::move(inspect)) {}

  /// Takes the GIL; Python's exceptions pass through as they are.
  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& inputs) {
    py::gil_scoped_acquire gil;
    outputs_ = Nest::read(
        inputs_.pass(function_, inputs),
        caller_,
        "outputs of the user-provided function");
    if (inspect_) {
      inspect_(*outputs_);
    }
    return outputs_->take();
  }

  libgrad::Callable reference() { return std::ref(*this); }

  /// How the outputs of the last call were grouped.
  const Nest& outputs() const { return *outputs_; }

 private:
  py::handle function_;
  const char* caller_;
  const Nest& inputs_;
  Inspect inspect_;
  std::optional<Nest> outputs_;
};
