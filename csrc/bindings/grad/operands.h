/// What Python calls "a tensor, a GradientEdge, or a sequence of them".

#pragma once

#include "bindings/bindings.h"
#include "bindings/python/torch_objects.h"

#include <libgrad/grad.h>

/// One argument, read in two steps: the constructor borrows the objects,
/// `tensors` and `edges` turn them into what LibTorch takes.
class Operands {
 public:
  /// Reads `object`, the argument called `argument` of `function`.
  static Operands outputs(
      py::handle object, const char* function, const char* argument);

  /// The same for `inputs`, which may also be the values of a dict.
  static Operands inputs(py::handle object, const char* function);

  /// No operands.
  static Operands none(const char* function) { return {function, "inputs"}; }

  const libgrad::detail::Objects& items() const { return items_; }

  bool has_edges() const { return has_edges_; }

  /// True when all operands are tensors, and none is of a subclass.
  bool plain() const { return plain_; }

  /// The operands as tensors; undefined where an operand is an edge.
  libgrad::variable_list tensors() const;

  /// The operands as edges: those of `tensors` by `edge_of`.
  libgrad::edge_list edges(
      const libgrad::variable_list& tensors,
      libgrad::Edge (*edge_of)(const at::Tensor&)) const;

  /// `grads` as the caller wants them: a tuple, or a dict with the same keys.
  py::object like_argument(libgrad::variable_list grads) const;

 private:
  Operands(const char* function, const char* argument)
      : function_(function),
        argument_(argument) {}
  void read(py::handle object);
  void add(PyObject* item);

  libgrad::detail::Objects items_;
  py::object owner_;  // of the items, unless the argument is the only one
  py::object keys_;   // of the argument, if it is a dict
  bool has_edges_ = false;
  bool plain_ = true;
  const char* function_;
  const char* argument_;
};

/// True when __torch_function__ wants the call with these operands.
bool overridden(const Operands& outputs, const Operands& inputs);

/// The vectors of a vector-Jacobian product: None, a tensor, or a sequence of
/// tensors and None, one for each of the `outputs`. Empty for null and None.
libgrad::variable_list read_seeds(
    py::handle object, const libgrad::detail::Call& call, size_t outputs);

/// bool(object); `otherwise` when it is null.
bool read_truth(py::handle object, bool otherwise);

/// A bool, or what counts as one (an int); `otherwise` when it is null.
bool read_flag(
    py::handle object,
    const char* function,
    const char* argument,
    bool otherwise);

/// The same; nothing for null and None.
std::optional<bool> read_optional_flag(
    py::handle object, const char* function, const char* argument);
