/// plain.h -- functions to differentiate, and their Jacobians by plain calls of
/// LibTorch.

#pragma once

#include "support/tensors.h"

#include <libgrad/functional.h>

#include <torch/csrc/autograd/autograd.h>

inline Tensor randn(at::IntArrayRef shape) {
  return torch::randn(shape, torch::kDouble);
}

/// Rows by plain calls of the engine, of output i and input j.
inline Tensor plain_rows(
    const libgrad::Callable& f, const variable_list& at, size_t i, size_t j) {
  variable_list xs;
  for (const auto& x : at) {
    xs.push_back(x.detach().requires_grad_());
  }
  const auto y = f(xs)[i];
  variable_list rows;
  for (const auto& element : y.flatten().unbind()) {
    const auto row = torch::autograd::grad(
        {element}, {xs[j]}, {}, /*retain_graph=*/true, false, true)[0];
    rows.push_back(row.defined() ? row : torch::zeros_like(xs[j]));
  }
  auto shape = y.sizes().vec();
  shape.insert(shape.end(), at[j].sizes().begin(), at[j].sizes().end());
  return torch::stack(rows).view(shape);
}

/// Two outputs of two inputs, of several shapes.
inline variable_list two_by_two(const variable_list& xs) {
  return {
      xs[0].matmul(xs[1]).sin(), (xs[0] * xs[0]).sum() + xs[1].exp().prod()};
}

inline Tensor cube_sum(const Tensor& x) {
  return x.pow(3).sum();
}

inline Tensor power_mix(const Tensor& x) {
  return (x.pow(3) * x.sum()).sum();
}

inline variable_list pair_loss(const variable_list& xs) {
  return {(xs[0].matmul(xs[1]).tanh() * xs[0].sum()).sum()};
}

inline bool close(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.sizes() == b.sizes() && a.allclose(b);
}
