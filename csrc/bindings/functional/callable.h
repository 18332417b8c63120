/// A Python function as a function of the C++ library.

#pragma once

#include "bindings/python/nest.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/functional.h>

#include <functional>
#include <optional>

/// Calls a Python function with tensors that are grouped like the caller's
/// inputs, and remembers how the function grouped its outputs. The object lives
/// on the stack of the call; the C++ library takes a `reference` to it.
class NestFunction {
 public:
  /// Called with the outputs before C++ sees their tensors.
  using Inspect = std::function<void(const Nest& outputs)>;

  NestFunction(
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

/// True for an argument that was passed and is not None.
inline bool is_given(PyObject* argument) {
  return argument != nullptr && argument != Py_None;
}

/// Runs `work` without the GIL, as the engine requires.
template <class Work>
auto unlocked(const Work& work) {
  libgrad::detail::ContextStash<> context;
  py::gil_scoped_release no_gil;
  return work();
}

/// Refuses a tuple, even of one tensor, where a single tensor is required.
inline auto single_output(const char* function) {
  return [function](const Nest& outputs) {
    TORCH_CHECK(
        outputs.is_single(),
        function,
        ": The function given to ",
        function,
        " should return a single Tensor, but it returned a tuple or another "
        "nest of them");
  };
}

/// `matrix` in Python's grouping of the outputs (`outer`), with the grouping of
/// the inputs (`inner`) inside each.
inline py::object grouped(
    const Nest& outer, const Nest& inner, const libgrad::Matrix& matrix) {
  std::vector<py::object> rows;
  rows.reserve(matrix.size());
  for (const auto& row : matrix) {
    rows.push_back(inner.group(row));
  }
  return outer.group(std::move(rows));
}
