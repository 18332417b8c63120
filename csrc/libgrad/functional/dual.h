/// libgrad/functional/dual.h -- derivatives by dual tensors (forward mode).
///
/// Relies on (covered by tests/cpp/torch/test_functorch.cpp): a batch of dual
/// tensors keeps its tangents while functorch maps over it.

#pragma once

#include <libgrad/functional/double_reverse.h>
#include <libgrad/functional/products.h>
#include <libgrad/torch/transforms/dual_level.h>

namespace libgrad::detail {

/// The outputs of `f` and Jv, by one call of it.
inline OutputsAndProduct dual_product(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& v) {
  at::AutoGradMode grad_mode(false);
  const DualLevel level;
  variable_list duals;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const auto tangent = v.empty() ? at::ones_like(inputs[i]) : v[i].detach();
    duals.push_back(level.dual(inputs[i].detach(), tangent));
  }
  OutputsAndProduct result;
  for (const auto& output : evaluate(call, f, duals)) {
    result.outputs.push_back(level.primal(output));
    result.product.push_back(level.tangent(output));
  }
  return result;
}

/// For each input a batch of copies, whose tangents are the unit vectors
/// `first` to `last`.
inline variable_list unit_duals(
    const DualLevel& level,
    const variable_list& inputs,
    int64_t first,
    int64_t last) {
  variable_list duals;
  int64_t offset = 0;
  for (const auto& input : inputs) {
    const auto shape = joined({last - first}, input.sizes());
    auto points = input.detach().expand(shape).contiguous();
    points.requires_grad_(at::GradMode::is_enabled());
    duals.push_back(level.dual(points, unit_rows(input, offset, first, last)));
    offset += input.numel();
  }
  return duals;
}

/// Columns `first` to `last` of the Jacobian of `f`: a batch for each output.
inline variable_list dual_columns(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    int64_t first,
    int64_t last) {
  at::AutoGradMode grad_mode(false);
  const DualLevel level;
  const auto duals = unit_duals(level, inputs, first, last);
  auto columns = run_mapped(last - first, duals, [&](const variable_list& xs) {
    return evaluate(call, f, xs);
  });
  for (auto& column : columns) {
    column = level.tangent(column);
  }
  return columns;
}

/// Columns `first` to `last` of the Hessian of `f`, which returns one element:
/// the tangents of its gradients, by one backward through the batch of dual
/// tensors.
inline variable_list dual_hessian_columns(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    int64_t first,
    int64_t last) {
  at::AutoGradMode grad_mode(true);
  const DualLevel level;
  const auto duals = unit_duals(level, inputs, first, last);
  const auto ys = run_mapped(last - first, duals, [&](const variable_list& xs) {
    auto outputs = evaluate(call, f, xs);
    check_scalar(call, outputs);
    return outputs;
  });
  auto grads =
      pull(call, ys, duals, {at::ones_like(level.primal(ys[0]))}, false, false);
  fill_zeros(grads, duals);
  for (auto& grad : grads) {
    grad = level.tangent(grad).detach();
  }
  return grads;
}

/// A Jacobian or Hessian from the columns that `columns_of` computes
/// (dual_columns, dual_hessian_columns), with the dtype and device of the
/// outputs.
template <class Columns>
Matrix dual_matrix(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const std::optional<int64_t>& chunk_size,
    const Columns& columns_of) {
  const auto count = elements(inputs);
  const auto step = rows_at_once(chunk_size, inputs, inputs);
  Matrix parts;  // of each output
  for (int64_t a = 0; a < count; a += step) {
    const auto columns =
        columns_of(call, f, inputs, a, std::min(a + step, count));
    parts.resize(columns.size());
    for (size_t k = 0; k < columns.size(); ++k) {
      parts[k].push_back(columns[k]);
    }
  }
  Matrix result;
  for (const auto& part : parts) {
    const auto whole = part.size() == 1 ? part[0] : at::cat(part);
    result.emplace_back();
    int64_t offset = 0;
    for (const auto& input : inputs) {
      const auto mine = whole.narrow(0, offset, input.numel());
      offset += input.numel();
      const auto shape = joined(input.sizes(), whole.sizes().slice(1));
      result.back().push_back(swapped(mine.reshape(shape), input.dim()));
    }
  }
  return result;
}

}  // namespace libgrad::detail
