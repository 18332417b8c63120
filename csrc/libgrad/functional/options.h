/// libgrad/functional/options.h -- options of the functions of
/// <libgrad/functional.h>.

#pragma once

#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <optional>

namespace libgrad {

using torch::autograd::variable_list;

/// How a Jacobian is computed.
enum class Strategy {
  automatic,       ///< chosen by shape; falls back to the loop
  loop,            ///< one backward for each element of the outputs
  batched,         ///< one backward for many elements of the outputs
  double_reverse,  ///< differentiates twice, by columns: for tall matrices
  forward,         ///< calls the function with dual tensors, by columns
};

/// Options of the products with a vector.
struct ProductOptions {
  /// One entry of the right shape for each output (vjp) or input (the others).
  /// An empty list stands for a 1 where there is one tensor with one element.
  variable_list v = {};
  /// Record a graph of the results, so that they can be differentiated.
  bool create_graph = false;
  /// Throw, instead of giving zeros, where an output or a gradient does not
  /// depend on an input.
  bool strict = false;
};

/// Options of `jvp`.
struct JvpOptions {
  variable_list v = {};  ///< as ProductOptions::v
  bool create_graph = false;
  bool strict = false;
  /// `forward` calls the function once with dual tensors, which is fastest in
  /// a program without Python; any other strategy differentiates twice.
  Strategy strategy = Strategy::automatic;
};

/// Options of `value_and_grad`.
struct GradientOptions {
  bool create_graph = false;  ///< as ProductOptions::create_graph
  bool strict = false;        ///< as ProductOptions::strict
};

/// Options of `jacobian` and `hessian`.
struct JacobianOptions {
  /// Record a graph of the results, so that they can be differentiated.
  bool create_graph = false;
  /// Throw, instead of giving zeros, where an output does not depend on an
  /// input. Requires the loop.
  bool strict = false;
  Strategy strategy = Strategy::automatic;
  /// The number of rows (columns, for double_reverse and forward) in a batch,
  /// at least 1. By default as many as fit into detail::kBatchBytes, on devices
  /// other than the CPU into detail::kDeviceBatchBytes.
  std::optional<int64_t> chunk_size = std::nullopt;
  /// Compare uᵀJ, for one random u, with the result of a single backward, and
  /// throw where they differ, as with a wrong batching rule.
  bool check = false;
};

}  // namespace libgrad
