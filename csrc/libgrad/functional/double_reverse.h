/// libgrad/functional/double_reverse.h -- a Jacobian by the strategy that suits
/// its shape.

#pragma once

#include <libgrad/functional/rows.h>

#include <libgrad/functional/fallback.h>

#include <ATen/TensorOperators.h>

#include <algorithm>
#include <numeric>

namespace libgrad::detail {

/// How many times taller than wide a Jacobian is when differentiating twice
/// becomes cheaper than a batch of as many rows.
inline constexpr int64_t kTall = 8;

/// `block` with its first `dim` dimensions behind the others: a view.
inline at::Tensor swapped(const at::Tensor& block, int64_t dim) {
  if (dim == 0 || dim == block.dim()) {
    return block;
  }
  if (block.dim() == 2) {
    return block.t();
  }
  std::vector<int64_t> order(block.dim());
  std::iota(order.begin(), order.end(), 0);
  std::rotate(order.begin(), order.begin() + dim, order.end());
  return block.permute(order);
}

/// The transposed `matrix`, whose rows are those of `outputs`.
inline Matrix transposed(const Matrix& matrix, const variable_list& outputs) {
  Matrix result(matrix[0].size());
  for (size_t i = 0; i < matrix.size(); ++i) {
    for (size_t j = 0; j < matrix[i].size(); ++j) {
      result[j].push_back(swapped(matrix[i][j], outputs[i].dim()));
    }
  }
  return result;
}

/// The real part of `tensor`, off the graph and in one dimension.
inline at::Tensor real_elements(const at::Tensor& tensor) {
  const auto part = tensor.detach();
  return (part.is_complex() ? at::real(part) : part).view({-1});
}

/// Throws unless Jᵀu by the columns of J is `pulled`, the Jᵀu that the first
/// backward made: a backward that is no graph of its own gives columns of
/// zeros. Real parts are compared: they agree for any complex function.
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

/// Vectors to start the first backward with: any numbers will do for the
/// derivative, but these show what is not linear in them.
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

/// The Jacobian by columns: Jᵀu is linear in u, and its derivative in u is J,
/// of which n rows (one for each element of the inputs) are taken at once.
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

/// True when `double_reverse` gives what rows would, and sooner.
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

/// Rows `first` to `last`: `batched` where that works, else one by one.
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

/// What is to be tried before the loop.
struct Attempts {
  bool double_reverse = false;
  bool batched = false;
};

/// The Jacobian of `outputs`, which have a graph, by the first of `attempts`
/// that works, else row by row.
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

}  // namespace libgrad::detail
