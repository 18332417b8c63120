/// libgrad/grad/options.h -- options of grad and backward.

#pragma once

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/variable.h>

#include <optional>

namespace libgrad {

using torch::autograd::edge_list;
using torch::autograd::variable_list;

/// Options of `grad`, by the names and with the defaults of
/// torch.autograd.grad.
struct GradOptions {
  /// The vectors v of vᵀJ: one for each output, with its shape, dtype and
  /// device. For an output with one element the vector may be undefined; where
  /// all outputs have one element the list may be empty.
  variable_list grad_outputs = {};
  /// Keep the graph's saved tensors, so that it can be differentiated again.
  /// Defaults to `create_graph`.
  std::optional<bool> retain_graph = std::nullopt;
  /// Record a graph of the gradients, so that they can be differentiated.
  bool create_graph = false;
  /// Give an undefined gradient for inputs that the outputs do not depend on,
  /// instead of an error. Defaults to `materialize_grads`.
  std::optional<bool> allow_unused = std::nullopt;
  /// The first dimension of every seed is a batch of vectors.
  bool is_grads_batched = false;
  /// Give zeros, instead of an undefined gradient, for unused inputs.
  bool materialize_grads = false;
};

/// Options of `backward`, by the names and with the defaults of
/// torch.autograd.backward.
struct BackwardOptions {
  variable_list grad_tensors = {};  ///< as GradOptions::grad_outputs
  std::optional<bool> retain_graph = std::nullopt;
  bool create_graph = false;
  /// Accumulate into these tensors alone; an empty list means every leaf of the
  /// graph.
  variable_list inputs = {};
};

/// BackwardOptions for edges of the graph.
struct EdgeBackwardOptions {
  variable_list grad_tensors = {};
  std::optional<bool> retain_graph = std::nullopt;
  bool create_graph = false;
  edge_list inputs = {};
};

}  // namespace libgrad
