/// libgrad/functional/verify.h -- checks a Jacobian against one backward.

#pragma once

#include <libgrad/functional/rows.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>

namespace libgrad::detail {

/// Thrown where the option `check` finds a wrong matrix.
class CheckFailed : public c10::Error {
  using c10::Error::Error;
};

/// Random numbers in the shapes of `outputs`, real and on the CPU. The same
/// `seed` gives the same numbers; the program's own generators are not used.
inline variable_list random_vectors(
    const variable_list& outputs, uint64_t seed = 1) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  variable_list vectors;
  vectors.reserve(outputs.size());
  for (const auto& output : outputs) {
    vectors.push_back(at::randn(output.sizes(), generator, at::kDouble));
  }
  return vectors;
}

/// The allowed difference between two numbers of the size `scale` that were
/// computed in the dtype of `tensor`.
inline double allowed_difference(const at::Tensor& tensor, double scale) {
  const auto type = c10::toRealValueType(tensor.scalar_type());
  return scale *
         (type == at::kDouble ? 1e-7 : (type == at::kFloat ? 1e-3 : 5e-2));
}

/// The sum of |a - b| over the entries where a or b is finite.
inline double distance(const at::Tensor& a, const at::Tensor& b) {
  const auto both_lost = a.isfinite().logical_or(b.isfinite()).logical_not();
  return (a - b).masked_fill(both_lost, 0).norm(1).item<double>();
}

/// Throws unless `tensors` have numbers that can be compared.
inline void check_comparable(const Call& call, const variable_list& tensors) {
  for (const auto& tensor : tensors) {
    TORCH_CHECK_NOT_IMPLEMENTED(
        !tensor.is_meta() && !is_subclass(tensor),
        call.name,
        ": check=True compares numbers, but there is a tensor (",
        describe(tensor),
        ") that has none, or is of a subclass that keeps them in its own way; "
        "leave check out");
  }
}

/// Throws CheckFailed unless uᵀJ computed from `matrix` equals the result of
/// one backward, for a random u. A matrix computed `by_columns` is not
/// conjugated, so only real parts are compared, which conjugation leaves alone.
inline void check_product(
    const Call& call,
    const Matrix& matrix,
    const variable_list& outputs,
    const variable_list& inputs,
    bool by_columns) {
  check_comparable(call, outputs);
  check_comparable(call, inputs);
  const auto vectors = random_vectors(outputs);
  variable_list seeds;
  for (size_t i = 0; i < outputs.size(); ++i) {
    seeds.push_back(vectors[i].to(outputs[i].options().requires_grad(false)));
  }
  auto pulled = pull(call, outputs, inputs, seeds, true, false);
  fill_zeros(pulled, inputs);
  at::NoGradGuard no_grad;
  for (size_t j = 0; j < inputs.size(); ++j) {
    auto expected = pulled[j].to_dense().reshape({-1}).to(at::kCPU);
    auto product = at::zeros_like(expected);
    double scale = 0;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const auto block =
          matrix[i][j].detach().reshape({outputs[i].numel(), -1});
      const auto u = vectors[i].reshape({1, -1}).to(block.options());
      const auto finite = block.masked_fill(block.isfinite().logical_not(), 0);
      scale += u.abs().matmul(finite.abs()).sum().item<double>();
      auto part = u.matmul(block).reshape({-1}).to(at::kCPU);
      if (part.is_complex() && (by_columns || !product.is_complex())) {
        part = at::real(part);
      }
      product = product + part;
    }
    if (by_columns && expected.is_complex()) {
      expected = at::real(expected);
      product = product.is_complex() ? at::real(product) : product;
    }
    const auto apart = distance(product, expected);
    if (!(apart <= allowed_difference(inputs[j], scale))) {
      std::ostringstream text;
      text << call.name << ": check=True found a wrong matrix: for input " << j
           << ", uᵀJ of a random u differs by " << apart
           << " from what one backward gives (numbers of the size " << scale
           << " were added). An operator of the function has a wrong batching "
              "rule or derivative; the loop (vectorize=False, in C++ "
              "Strategy::loop) does without batching";
      throw CheckFailed({__func__, __FILE__, __LINE__}, text.str());
    }
  }
}

}  // namespace libgrad::detail
