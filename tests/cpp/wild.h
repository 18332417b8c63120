/// Functions with the habits of structs that were written for LibTorch alone.

#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace wild {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// x * sum(offsets): one undefined gradient for the whole of a std::vector.
struct OneForTheList : Function<OneForTheList> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const std::vector<Tensor>& offsets,
      const Tensor& w) {
    auto sum = at::zeros_like(x);
    for (const auto& offset : offsets) {
      sum = sum + offset;
    }
    ctx->save_for_backward({sum * w, sum * x});
    return x * sum * w;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {grads[0] * saved[0], Tensor(), grads[0] * saved[1]};
  }
};

/// x * by + plus + sum(more): numbers of any kind.
struct Numbers : Function<Numbers> {
  static Tensor forward(
      AutogradContext* ctx,
      const Tensor& x,
      const at::Scalar& by,
      std::optional<at::Scalar> plus,
      std::vector<at::Scalar> more) {
    ctx->saved_data["by"] = by;
    auto y = x * by;
    y = plus ? y + *plus : y;
    for (const auto& number : more) {
      y = y + number;
    }
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto grad = grads[0] * ctx->saved_data["by"].toScalar();
    return {grad, Tensor(), Tensor(), Tensor()};
  }
};

/// x * w, or x + w: arguments by reference, and of rare types.
struct Rare : Function<Rare> {
  static Tensor forward(
      AutogradContext* ctx,
      Tensor& x,
      Tensor&& w,
      std::optional<std::string_view> mode,
      at::MemoryFormat format,
      c10::complex<double> factor,
      std::optional<at::IntArrayRef> shape) {
    ctx->save_for_backward({x, w});
    ctx->saved_data["sum"] = mode == "sum";
    ctx->saved_data["factor"] = factor.real();
    auto y = (mode == "sum" ? x + w : x * w) * factor.real();
    y = shape ? y.view(*shape) : y;
    return y.contiguous(format);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const bool sum = ctx->saved_data["sum"].toBool();
    const auto grad =
        grads[0].view_as(saved[0]) * ctx->saved_data["factor"].toDouble();
    variable_list result{
        sum ? grad : grad * saved[1], sum ? grad : grad * saved[0]};
    result.resize(6);
    return result;
  }
};

/// (2x, 2x): one tensor returned twice.
struct Twice : Function<Twice> {
  static variable_list forward(AutogradContext*, const Tensor& x) {
    auto y = x * 2;
    return {y, y};
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {(grads[0] + grads[1]) * 2};
  }
};

/// (x, x w): an input returned as it is, and saved.
struct AsItIs : Function<AsItIs> {
  static variable_list forward(
      AutogradContext* ctx, const Tensor& x, const Tensor& w) {
    ctx->save_for_backward({x, w});
    return {x, x * w};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    return {grads[0] + grads[1] * saved[1], grads[1] * saved[0]};
  }
};

/// (3x, 2x): the first one, float as it is, not differentiable. Backward uses
/// the zeros that are promised for it.
struct Part : Function<Part> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x) {
    auto y = x * 3;
    ctx->mark_non_differentiable({y});
    return {y, x * 2};
  }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0] * 3 + grads[1] * 2};
  }
};

}  // namespace wild
