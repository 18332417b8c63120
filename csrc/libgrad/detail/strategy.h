/// libgrad/detail/strategy.h -- which way to a Jacobian is taken.

#pragma once

#include <libgrad/detail/dual.h>
#include <libgrad/detail/matrix.h>

namespace libgrad {

/// How a Jacobian is computed.
enum class Strategy {
  automatic,       ///< chosen by shape, and the first below that works
  loop,            ///< one backward for each element of the outputs
  batched,         ///< one backward for many of them
  double_reverse,  ///< one for many elements of the inputs: for tall ones
  forward,         ///< the function itself with dual tensors, for many inputs
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
};

namespace detail {

/// Throws for options that forward mode does not go with.
inline void check_forward(const Call& call, bool create_graph, bool strict) {
  TORCH_CHECK_NOT_IMPLEMENTED(
      !create_graph,
      call.name,
      ": `create_graph=True` and `strategy=\"forward-mode\"` are not supported "
      "together (yet). Please either set `create_graph=False` or "
      "`strategy=\"reverse-mode\"`.");
  TORCH_CHECK(
      !strict,
      call.name,
      ": `strict=True` and `strategy=\"forward-mode\"` are not supported "
      "together (yet). Please either set `strict=False` or "
      "`strategy=\"reverse-mode\"`.");
}

inline void check_matrix_options(
    const Call& call, const JacobianOptions& options) {
  check_surroundings(call);
  TORCH_CHECK_VALUE(
      !options.chunk_size || *options.chunk_size > 0,
      call.name,
      ": chunk_size is ",
      *options.chunk_size,
      ", but must be at least 1");
  if (options.strategy == Strategy::forward) {
    check_forward(call, options.create_graph, options.strict);
  }
  TORCH_CHECK(
      !options.strict || options.strategy == Strategy::automatic ||
          options.strategy == Strategy::loop,
      call.name,
      ": `strict=True` and `vectorized=True` are not supported together. "
      "Please either set `strict=False` or `vectorize=False`.");
}

/// The Jacobian of `outputs`, which have a graph, by what `options` say.
inline Matrix matrix_by(
    const Call& call,
    const variable_list& outputs,
    const variable_list& inputs,
    const JacobianOptions& options) {
  Attempts attempts;
  switch (options.strategy) {
    case Strategy::double_reverse:
      attempts.double_reverse = true;
      break;
    case Strategy::batched:
      attempts.batched = true;
      break;
    case Strategy::loop:
      break;
    default:
      attempts.double_reverse = !options.strict && is_tall(outputs, inputs);
      attempts.batched = !options.strict && elements(outputs) > 1;
  }
  return matrix(
      call,
      outputs,
      inputs,
      {options.create_graph, options.strict, options.chunk_size},
      attempts);
}

/// The Jacobian of `f` by dual tensors; where these fail and the numbers are
/// real, from a graph.
inline Matrix forward_matrix(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const JacobianOptions& options) {
  try {
    return dual_matrix(call, f, inputs, options.chunk_size);
  } catch (const std::exception& error) {
    if (!all_real(inputs)) {
      throw;
    }
    warn_of_fallback(
        call,
        "forward mode",
        error,
        "the function is called again and its rows are taken by backward");
  }
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(call, inputs, /*create_graph=*/false);
  const auto ys = evaluate(call, f, xs);
  auto result = matrix_by(call, ys, xs, {.chunk_size = options.chunk_size});
  for (size_t i = 0; i < ys.size(); ++i) {
    for (auto& block : result[i]) {
      block = block.to(ys[i].options());
    }
  }
  return result;
}

}  // namespace detail

}  // namespace libgrad
