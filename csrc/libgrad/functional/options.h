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
  automatic,       ///< chosen by shape, and the first below that works
  loop,            ///< one backward for each element of the outputs
  batched,         ///< one backward for many of them
  double_reverse,  ///< one for many elements of the inputs: for tall ones
  forward,         ///< the function itself with dual tensors, for many inputs
};

/// Options of the products with a vector.
struct ProductOptions {
  /// One entry of the right shape for each output (vjp) or input (others);
  /// none where that is one tensor with one element, for a 1.
  variable_list v = {};
  /// Record the results' own graph, so that they can be differentiated.
  bool create_graph = false;
  /// Throw, instead of giving zeros, where something does not depend on an
  /// input.
  bool strict = false;
};

/// Options of `jvp`.
struct JvpOptions {
  variable_list v = {};  ///< as ProductOptions::v
  bool create_graph = false;
  bool strict = false;
  /// `forward` calls the function once with dual tensors, which is fastest in
  /// a program without Python; any other differentiates twice.
  Strategy strategy = Strategy::automatic;
};

/// Options of `value_and_grad`.
struct GradientOptions {
  bool create_graph = false;  ///< as ProductOptions::create_graph
  bool strict = false;        ///< as ProductOptions::strict
};

/// Options of `jacobian` and `hessian`.
struct JacobianOptions {
  /// Record the results' own graph, so that they can be differentiated.
  bool create_graph = false;
  /// Throw, instead of giving zeros, where an output does not depend on an
  /// input. Demands the loop.
  bool strict = false;
  Strategy strategy = Strategy::automatic;
  /// How many rows (columns, for double_reverse and forward) to take at once.
  /// By default as many as stay under detail::kBatchBytes, on other devices
  /// than the CPU detail::kDeviceBatchBytes; at least 1.
  std::optional<int64_t> chunk_size = std::nullopt;
  /// Compare uᵀJ, for one random u, with what a single backward gives, and
  /// throw where they differ: a wrong batching rule is told, not returned.
  bool check = false;
};

}  // namespace libgrad
