/// Functions with the habits of structs that were written for LibTorch alone.

#pragma once

#include <libgrad/function.h>

#include <ATen/ATen.h>

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

/// x^3, whose backward calls another Function, x^2: as LibTorch has it, or
/// through libgrad.
template <bool raw>
struct Calls : Function<Calls<raw>> {
  struct Squared : Function<Squared> {
    static Tensor forward(AutogradContext* ctx, const Tensor& x) {
      ctx->save_for_backward({x});
      return x * x;
    }
    static variable_list backward(AutogradContext* ctx, variable_list grads) {
      return {grads[0] * 2 * ctx->get_saved_variables()[0]};
    }
  };

  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto square = raw ? Squared::apply(x) : libgrad::apply<Squared>(x);
    return {grads[0] * 3 * square};
  }
};

/// 2x, by a backward that changes the gradient which it is given.
struct Doubles : Function<Doubles> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 2; }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0].contiguous().mul_(2)};
  }
};

/// x^4: tensors deep in saved_data.
struct Deep : Function<Deep> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    c10::Dict<std::string, Tensor> dict;
    dict.insert("x", x);
    ctx->saved_data["dict"] = dict;
    ctx->saved_data["tuple"] = std::make_tuple(x, int64_t{3});
    ctx->saved_data["lists"] = c10::List<c10::List<Tensor>>(
        {c10::List<Tensor>({x, x * 1}), c10::List<Tensor>({x})});
    ctx->saved_data["maybe"] =
        c10::List<std::optional<Tensor>>({std::optional(x), std::nullopt});
    return x.pow(4);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    auto& data = ctx->saved_data;
    const auto tuple = data["tuple"].toTupleRef().elements();
    const auto a = data["dict"].toGenericDict().at("x").toTensor();
    const auto b = tuple[0].toTensor();
    const auto c =
        at::IValue(data["lists"].toListRef()[0]).toTensorVector().at(0);
    const auto maybe = data["maybe"].toListRef();
    TORCH_CHECK(maybe[1].isNone() && tuple[1].toInt() == 3);
    return {grads[0] * (a * b * c + maybe[0].toTensor().pow(3) * 3)};
  }
};

}  // namespace wild
