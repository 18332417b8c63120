/// What Python calls "a tensor, a tuple of them, or a nest of dicts".

#pragma once

#include "bindings/bindings.h"

#include <torch/csrc/autograd/variable.h>

#include <vector>

/// Tensors as Python groups them: one alone, a tuple, or a pytree of torch's
/// (dicts, lists and tuples in one another). Needs the GIL.
class Nest {
 public:
  /// Reads `object`, the `what` of `function`. Throws TypeError if it is no
  /// nest.
  static Nest read(py::handle object, const char* function, const char* what);

  const torch::autograd::variable_list& tensors() const { return tensors_; }

  /// Moves the tensors out; the grouping stays.
  torch::autograd::variable_list take() { return std::move(tensors_); }

  /// True for a tensor that stands alone.
  bool is_single() const { return kind_ == Kind::single; }

  /// Reads `object`, the `what` of `function`, which must be grouped in the
  /// same way. Returns its tensors in the order of these. One tensor may stand
  /// for a tuple of one, and the other way round.
  torch::autograd::variable_list read_alike(
      py::handle object, const char* function, const char* what) const;

  /// `items`, one for each tensor, grouped in the same way.
  py::object group(std::vector<py::object> items) const;
  py::object group(const torch::autograd::variable_list& tensors) const;

  /// function(tensor), function(*tuple), function(nest).
  py::object pass(
      py::handle function, const torch::autograd::variable_list& tensors) const;

 private:
  enum class Kind { single, tuple, tree, tuple_of_trees };
  void read_tree(py::handle object, const char* function, const char* what);

  torch::autograd::variable_list tensors_;
  Kind kind_ = Kind::single;
  py::object spec_;  // of a tree
};
