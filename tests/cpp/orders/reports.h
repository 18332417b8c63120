/// reports.h -- what three programs print, which differ in the headers that
/// they include before it, and in their order. test_cpp.py compares it.

#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <cstdio>
#include <exception>

namespace orders {

/// x * x, with a derivative that is off by a fifth and by a constant.
struct Off : torch::autograd::Function<Off> {
  static at::Tensor forward(
      torch::autograd::AutogradContext* ctx, const at::Tensor& x) {
    ctx->save_for_backward({x});
    return x * x;
  }
  static torch::autograd::variable_list backward(
      torch::autograd::AutogradContext* ctx,
      torch::autograd::variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * (x * 2.4 + 1.25)};
  }
};

inline at::Tensor points(at::ScalarType type) {
  const auto numbers = at::arange(1, 7, at::kDouble).div(8).reshape({2, 3});
  return numbers.to(type).requires_grad_();
}

/// What gradcheck says of Off, for real and for complex numbers.
inline void print_gradcheck() {
  for (const auto type : {at::kDouble, at::kComplexDouble}) {
    for (const bool fast : {false, true}) {
      at::manual_seed(0);
      try {
        libgrad::gradcheck(
            [](const at::Tensor& x) { return Off::apply(x); },
            points(type),
            {.fast_mode = fast});
      } catch (const std::exception& error) {
        std::puts(error.what());
      }
    }
  }
}

}  // namespace orders
