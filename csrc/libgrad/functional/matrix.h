/// libgrad/functional/matrix.h -- the choice among the ways to compute a
/// Jacobian, and what follows when one fails.

#pragma once

#include <libgrad/functional/double_reverse.h>
#include <libgrad/functional/dual.h>
#include <libgrad/functional/options.h>
#include <libgrad/functional/verify.h>

namespace libgrad {

namespace detail {

/// Rows `first` to `last`: in batches if `batched` and where that works, else
/// one by one.
inline variable_list rows_between(
    const Call& call,
    const Rows& rows,
    bool batched,
    int64_t first,
    int64_t last) {
  if (batched) {
    try {
      return rows.batched(first, last);
    } catch (const std::exception& error) {
      warn_of_fallback(
          call,
          "the batched backward",
          error,
          "the engine is called for each row instead, which is right but "
          "slower");
    }
  }
  return rows.looped(first, last);
}

/// The methods to try before the loop.
struct Attempts {
  bool double_reverse = false;
  bool batched = false;
};

/// The Jacobian of `outputs`, which have a graph, by the first method of
/// `attempts` that works, else row by row.
inline Matrix matrix(
    const Call& call,
    const variable_list& outputs,
    const variable_list& inputs,
    const RowOptions& options,
    Attempts attempts) {
  if (attempts.double_reverse) {
    try {
      return double_reverse(call, outputs, inputs, options);
    } catch (const std::exception& error) {
      attempts.batched = true;
      warn_of_fallback(
          call,
          "differentiating twice",
          error,
          "its rows are taken instead, which is right but slower");
    }
  }
  const Rows rows(call, outputs, inputs, options);
  return rows.by_output(
      rows_between(call, rows, attempts.batched, 0, rows.count()));
}

/// Throws for options that forward mode does not support.
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

/// Throws for options that rows in parts do not support.
inline void check_split_options(
    const Call& call, const JacobianOptions& options) {
  check_matrix_options(call, options);
  TORCH_CHECK_NOT_IMPLEMENTED(
      !options.create_graph,
      call.name,
      ": `create_graph=True` and `group` (rows in parts) are not supported "
      "together, as rows from elsewhere have no graph here. Please either set "
      "`create_graph=False` or leave `group` out.");
  TORCH_CHECK_NOT_IMPLEMENTED(
      options.strategy != Strategy::forward &&
          options.strategy != Strategy::double_reverse,
      call.name,
      ": `group` (rows in parts) is only implemented for "
      "`strategy=\"reverse-mode\"`, as the others compute columns.");
  TORCH_CHECK(
      !options.strict,
      call.name,
      ": `strict=True` and `group` (rows in parts) are not supported together. "
      "Please either set `strict=False` or leave `group` out.");
}

/// The Jacobian of `outputs`, which have a graph, by the strategy in `options`.
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
  auto result = matrix(
      call,
      outputs,
      inputs,
      {options.create_graph, options.strict, options.chunk_size},
      attempts);
  if (options.check) {
    check_product(call, result, outputs, inputs, attempts.double_reverse);
  }
  return result;
}

/// Computes the outputs whose derivatives a matrix holds, with their graph,
/// from inputs that require grad.
using Outputs = std::function<variable_list(const variable_list&)>;

/// A matrix by dual tensors, whose columns `columns` computes. Where dual
/// tensors fail and the inputs are real, the matrix is computed from the graph
/// of `outputs_of`.
template <class Columns>
Matrix forward_matrix(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const JacobianOptions& options,
    const Columns& columns,
    const Outputs& outputs_of) {
  const auto evaluated = [&] {
    at::AutoGradMode grad_mode(true);
    auto xs = tracked(call, inputs, /*create_graph=*/false);
    auto ys = outputs_of(xs);
    return std::pair{std::move(xs), std::move(ys)};
  };
  try {
    auto result = dual_matrix(call, f, inputs, options.chunk_size, columns);
    if (options.check) {
      const auto [xs, ys] = evaluated();
      check_product(call, result, ys, xs, /*by_columns=*/true);
    }
    return result;
  } catch (const CheckFailed&) {
    throw;
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
  const auto [xs, ys] = evaluated();
  auto result = matrix_by(
      call, ys, xs, {.chunk_size = options.chunk_size, .check = options.check});
  for (size_t i = 0; i < ys.size(); ++i) {
    for (auto& block : result[i]) {
      block = block.to(ys[i].options());
    }
  }
  return result;
}

}  // namespace detail

}  // namespace libgrad
