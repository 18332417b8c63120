/// unusual.h -- Functions that not every way to a derivative can take, and a
/// collector of warnings.

#pragma once

#include "support/tensors.h"

#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <string>

using torch::autograd::AutogradContext;

/// x², with a backward that asks for numbers, which no batch has.
struct Inspecting : torch::autograd::Function<Inspecting> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0].sum().item<double>() < 1e300 ? grads[0] * 2 * x : x};
  }
};

/// x², with a backward that autograd does not see.
struct Opaque : torch::autograd::Function<Opaque> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0].detach() * 2 * ctx->get_saved_variables()[0].detach()};
  }
};

/// Fails in backward.
struct Failing : torch::autograd::Function<Failing> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 1; }
  static variable_list backward(AutogradContext*, variable_list) {
    throw std::domain_error("in backward");
  }
};

/// x², with a derivative that is wrong by a factor, or in other ways.
struct Wrong : torch::autograd::Function<Wrong> {
  static Tensor forward(
      AutogradContext* ctx, const Tensor& x, double factor, double offset) {
    ctx->save_for_backward({x});
    ctx->saved_data["factor"] = factor;
    ctx->saved_data["offset"] = offset;
    return x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto factor = ctx->saved_data["factor"].toDouble();
    const auto offset = ctx->saved_data["offset"].toDouble();
    return {grads[0] * 2 * x * factor + offset, {}, {}};
  }
};

/// x, with a backward that counts its calls into the gradient.
struct Counting : torch::autograd::Function<Counting> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 1; }
  static variable_list backward(AutogradContext*, variable_list grads) {
    static int calls = 0;
    return {grads[0] * (1 + 1e-9 * ++calls)};
  }
};

/// x, with a backward that cannot do without a gradient.
struct Strict : torch::autograd::Function<Strict> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->set_materialize_grads(false);
    return x * 1;
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    TORCH_CHECK(grads[0].defined(), "no gradient came");
    return {grads[0]};
  }
};

/// Collects warnings in place of the handler of this thread.
class Warnings : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    texts.push_back(warning.msg());
  }
  std::vector<std::string> texts;

 private:
  c10::WarningUtils::WarningHandlerGuard guard_{this};
};
