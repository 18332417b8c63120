/// libgrad/grad/adjoint.h -- tests whether a Jacobian-vector product that was
/// derived from a vector-Jacobian product is right. It is wrong where the
/// vector-Jacobian product computes something that autograd does not record.

#pragma once

#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/autograd/walk.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>

#include <algorithm>
#include <optional>

namespace libgrad::detail {

/// A vector to pull back, with the shape of `output`. Its numbers vary, because
/// ones can be a special case: they pull back to zero through a normalization.
inline at::Tensor probe(const at::Tensor& output) {
  const auto ones = at::ones_like(output);
  return ones.layout() == at::kStrided
             ? ones.reshape(-1).cumsum(0).cos().view_as(output)
             : ones;
}

/// The sum of all products of an entry of `a` with the same entry of `b`, and
/// the square root of the sum of their squares. A complex number counts as a
/// pair of real numbers.
inline std::pair<at::Tensor, at::Tensor> inner(
    const variable_list& a, const variable_list& b) {
  at::Tensor sum;
  at::Tensor squares;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto product =
        at::real(a[i].conj() * b[i]).to(at::kDouble).reshape(-1);
    sum = sum.defined() ? sum + product.sum() : product.sum();
    const auto square = (product * product).sum();
    squares = squares.defined() ? squares + square : square;
  }
  return {sum, squares.sqrt()};
}

/// True when every entry of `tensor` is zero or its entries cannot be read. A
/// tracer does not see the comparison.
inline bool reads_zero(const at::Tensor& tensor) {
  if (tensor.is_meta() || tensor.unsafeGetTensorImpl()->is_python_dispatch()) {
    return true;
  }
  const c10::impl::ExcludeDispatchKeyGuard no_modes(
      c10::DispatchKeySet{
          c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot});
  return tensor.detach().eq(0).all().item<bool>();
}

/// True when all tensors are ordinary ones in the CPU's memory: reading a
/// number from another device would synchronize with it.
inline bool is_readable(const variable_list& tensors) {
  return !c10::impl::TorchDispatchModeTLS::any_modes_set() &&
         std::all_of(
             tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
               return tensor.device().is_cpu() &&
                      tensor.layout() == at::kStrided &&
                      !tensor.unsafeGetTensorImpl()->is_python_dispatch();
             });
}

/// The relative difference that `mismatch` allows between its two sides: larger
/// than rounding errors, also those of an ill-conditioned gradient, and smaller
/// than the effect of a missing part of J. None where the dtype is too coarse
/// to tell the two apart.
inline std::optional<double> tolerance(const variable_list& tensors) {
  double result = 1e-6;
  for (const auto& tensor : tensors) {
    const auto type = c10::toRealValueType(tensor.scalar_type());
    if (at::autocast::is_autocast_enabled(tensor.device().type()) ||
        (type != at::kDouble && type != at::kFloat)) {
      return std::nullopt;
    }
    result = type == at::kFloat ? 1e-2 : result;
  }
  return result;
}

/// True where `columns` cannot be J t: <J^T u, t> = <u, J t> holds for every
/// vector u, where `gradients` are J^T u. The result is a tensor, under vmap
/// with an entry for each element of the batch; none where the test is not
/// possible.
inline std::optional<at::Tensor> mismatch(
    const variable_list& gradients,
    const variable_list& tangents,
    const variable_list& vectors,
    const variable_list& columns) {
  at::AutoGradMode no_grad(false);
  if (!is_readable(gradients) || !is_readable(columns)) {
    return std::nullopt;
  }
  const auto left_tolerance = tolerance(gradients);
  const auto right_tolerance = tolerance(columns);
  if (!left_tolerance || !right_tolerance) {
    return std::nullopt;
  }
  const auto [left, left_size] = inner(gradients, tangents);
  const auto [right, right_size] = inner(vectors, columns);
  return (left - right).abs() >
         std::max(*left_tolerance, *right_tolerance) * (left_size + right_size);
}

}  // namespace libgrad::detail
