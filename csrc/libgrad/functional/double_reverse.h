/// libgrad/functional/double_reverse.h -- a Jacobian by columns, from
/// differentiating twice: the cheaper way for a tall one.

#pragma once

#include <libgrad/functional/fallback.h>
#include <libgrad/functional/rows.h>

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <numeric>

namespace libgrad::detail {

/// The ratio of rows to columns from which differentiating twice is cheaper
/// than batches of rows.
inline constexpr int64_t kTall = 8;

/// The transpose of `matrix`, whose row blocks belong to `outputs`.
inline Matrix transposed(const Matrix& matrix, const variable_list& outputs) {
  Matrix result(matrix[0].size());
  for (size_t i = 0; i < matrix.size(); ++i) {
    for (size_t j = 0; j < matrix[i].size(); ++j) {
      result[j].push_back(swapped(matrix[i][j], outputs[i].dim()));
    }
  }
  return result;
}

/// The real part of `tensor`, detached and flattened.
inline at::Tensor real_elements(const at::Tensor& tensor) {
  const auto part = tensor.detach();
  return (part.is_complex() ? at::real(part) : part).view({-1});
}

/// Throws unless Jᵀu computed from the columns of J equals `pulled`, the Jᵀu of
/// the first backward. A backward that autograd does not record gives columns
/// of zeros. Only real parts are compared: those agree for any complex
/// function.
inline void check_columns(
    const Matrix& columns,
    const variable_list& pulled,
    const variable_list& vectors) {
  for (size_t i = 0; i < pulled.size(); ++i) {
    auto apart = real_elements(pulled[i].contiguous());
    const auto count = apart.numel();
    double scale = 0;
    bool precise = apart.element_size() >= 4;
    for (size_t k = 0; k < vectors.size(); ++k) {
      if (vectors[k].requires_grad() && count > 0) {
        const auto u = real_elements(vectors[k]);
        const auto block = real_elements(columns[i][k].contiguous());
        precise &= block.element_size() >= 4;
        scale += block.norm(1).item<double>();
        const auto product = at::mv(block.view({count, u.numel()}), u);
        apart = apart - product.to(apart.device());
      }
    }
    TORCH_CHECK(
        apart.norm(1).item<double>() <= scale * (precise ? 1e-4 : 5e-2),
        "the gradient cannot be differentiated again, or is not finite");
  }
}

/// Seeds u of the first backward. The derivative of Jᵀu in u does not depend on
/// u; numbers that differ let check_columns find a backward that is not linear.
inline variable_list sample_vectors(const variable_list& outputs) {
  variable_list vectors;
  vectors.reserve(outputs.size());
  for (const auto& output : outputs) {
    if (output.requires_grad()) {
      const auto u = at::linspace(1, 2, output.numel(), output.options());
      vectors.push_back(u.view(output.sizes()).requires_grad_());
    } else {
      vectors.push_back(at::zeros_like(output));
    }
  }
  return vectors;
}

/// The Jacobian by columns: Jᵀu is linear in u, and its derivative in u has one
/// row for each element of the inputs, a column of J. Those rows are computed
/// in batches.
inline Matrix double_reverse(
    const Call& call,
    const variable_list& outputs,
    const variable_list& inputs,
    const RowOptions& options) {
  const auto vectors = sample_vectors(outputs);
  auto pulled = pull(call, outputs, inputs, vectors, true, true);
  fill_zeros(pulled, inputs);
  const Rows rows(call, pulled, vectors, options);
  const auto columns = rows.by_output(rows.batched(0, rows.count()));
  check_columns(columns, pulled, vectors);
  return transposed(columns, inputs);
}

/// True when `double_reverse` gives the same matrix as rows do, and is faster.
inline bool is_tall(const variable_list& outputs, const variable_list& inputs) {
  const auto alike = [&](const at::Tensor& tensor) {
    return tensor.scalar_type() == inputs[0].scalar_type() &&
           tensor.device() == inputs[0].device() &&
           tensor.layout() == at::kStrided && !is_subclass(tensor);
  };
  return elements(outputs) > kTall * elements(inputs) &&
         (inputs[0].scalar_type() == at::kFloat ||
          inputs[0].scalar_type() == at::kDouble) &&
         std::all_of(outputs.begin(), outputs.end(), alike) &&
         std::all_of(inputs.begin(), inputs.end(), alike);
}

}  // namespace libgrad::detail
