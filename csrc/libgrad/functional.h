/// libgrad/functional.h -- derivatives of functions.
///
/// Results, options and errors are those of torch.autograd.functional; a
/// list of one tensor stands for torch's single tensor. The function is called
/// with fresh tensors that require grad. Other tensors that the function uses
/// are constants. No `.grad` is touched, and the thread's modes are restored
/// whether a call returns or throws. Every function throws c10::Error where
/// LibTorch does, where `strict` is violated, and inside a transform of
/// torch.func.

#pragma once

#include <libgrad/functional/matrix.h>
#include <libgrad/functional/options.h>
#include <libgrad/functional/products.h>

namespace libgrad {

using torch::autograd::variable_list;

/// A function of a list of tensors, and a function of a single tensor.
using Callable = detail::ListFunction;
using TensorCallable = std::function<at::Tensor(const at::Tensor&)>;

/// Entry [i][j] is the block of output i and input j. Its shape is the output's
/// shape followed by the input's.
using Matrix = detail::Matrix;

/// The outputs of the function, and the product with the vector.
using Product = detail::OutputsAndProduct;

/// The output of a function of a single tensor, and the product.
struct TensorProduct {
  at::Tensor output;
  at::Tensor product;
};

/// The value of a function that returns one element, and its gradients.
struct ValueAndGrad {
  at::Tensor value;
  variable_list grads;
};

/// The outputs of `f` at `inputs` and vᵀJ: one product for each input, with the
/// input's shape, dtype and device. Costs one forward and one backward. For
/// complex numbers the product is with the conjugate of J, as everywhere in
/// PyTorch.
///
///     auto [outputs, product] = libgrad::vjp(f, {x, y}, {.v = {v}});
inline Product vjp(
    const Callable& f,
    const variable_list& inputs,
    const ProductOptions& options = {}) {
  return detail::reverse_product(
      f, inputs, options.v, options.create_graph, options.strict);
}

/// The outputs of `f` at `inputs` and Jv: one product for each output, with the
/// output's shape, dtype and device. Costs one forward and two backwards, or,
/// with `.strategy = Strategy::forward`, one forward with dual tensors. The
/// forward strategy supports neither `create_graph` (throws
/// c10::NotImplementedError) nor `strict`.
///
///     auto [outputs, product] = libgrad::jvp(f, {x, y}, {.v = {v, w}});
inline Product jvp(
    const Callable& f,
    const variable_list& inputs,
    const JvpOptions& options = {}) {
  if (options.strategy != Strategy::forward) {
    return detail::twice_reverse_product(
        f, inputs, options.v, options.create_graph, options.strict);
  }
  detail::check_surroundings(detail::kJvp);
  detail::check_forward(detail::kJvp, options.create_graph, options.strict);
  detail::check_input_vector(detail::kJvp, options.v, inputs);
  return detail::dual_product(detail::kJvp, f, inputs, options.v);
}

/// The value at `inputs` of `f`, which returns one element, and vᵀH: one
/// product for each input, like the input. Costs one forward and two backwards.
///
///     auto [outputs, product] = libgrad::vhp(f, {x}, {.v = {v}});
inline Product vhp(
    const Callable& f,
    const variable_list& inputs,
    const ProductOptions& options = {}) {
  return detail::hessian_product(
      detail::kVhp, f, inputs, options.v, options.create_graph, options.strict);
}

/// The value at `inputs` of `f`, which returns one element, and Hv. For real
/// inputs and without `strict`, Hv is computed as vᵀH: continuous second
/// derivatives are symmetric. Otherwise Hv costs one more backward.
///
///     auto [outputs, product] = libgrad::hvp(f, {x}, {.v = {v}});
inline Product hvp(
    const Callable& f,
    const variable_list& inputs,
    const ProductOptions& options = {}) {
  const bool symmetric = !options.strict && detail::all_real(inputs);
  const auto product =
      symmetric ? detail::hessian_product : detail::twice_reverse_hessian;
  return product(
      detail::kHvp, f, inputs, options.v, options.create_graph, options.strict);
}

/// The value at `inputs` of `f`, which returns one element, and its gradients,
/// like the inputs. Costs one forward and one backward.
///
///     auto [loss, grads] = libgrad::value_and_grad(f, {w, b});
inline ValueAndGrad value_and_grad(
    const Callable& f,
    const variable_list& inputs,
    const GradientOptions& options = {}) {
  auto [outputs, grads] =
      detail::gradients(f, inputs, options.create_graph, options.strict);
  return {std::move(outputs[0]), std::move(grads)};
}

/// The Jacobian of `f` at `inputs`. Entry [i][j] is the block of output i and
/// input j: its shape is the output's shape followed by the input's, its dtype
/// and device are those of the input (with `forward` and `double_reverse`, of
/// the output). `f` is called once. Then one backward computes a batch of rows,
/// at little more than the cost of one row. Where that fails, because an
/// operator or a custom backward cannot be batched, the rows are computed one
/// by one and a warning says why, once.
///
///     auto j = libgrad::jacobian(f, {x, y});  // j[0][1]: output 0, input y
///     auto k = libgrad::jacobian(f, {x}, {.chunk_size = 64});
///
/// By default a tall Jacobian (eight times more outputs than inputs) is
/// computed by `double_reverse`, whose result is checked against the backward
/// it starts from. For complex numbers rows are conjugated, as by `vjp`;
/// columns (`forward`, `double_reverse`) are not. Throws c10::Error for
/// `strict` with a strategy other than `automatic` and `loop`,
/// c10::NotImplementedError for `create_graph` with `forward`, and
/// c10::ValueError for a `chunk_size` below 1.
inline Matrix jacobian(
    const Callable& f,
    const variable_list& inputs,
    const JacobianOptions& options = {}) {
  const auto& call = detail::kJacobian;
  detail::check_matrix_options(call, options);
  if (options.strategy == Strategy::forward && detail::elements(inputs) > 0) {
    return detail::forward_matrix(
        call,
        f,
        inputs,
        options,
        detail::dual_columns,
        [&](const variable_list& xs) { return detail::evaluate(call, f, xs); });
  }
  at::AutoGradMode grad_mode(true);
  const auto xs = detail::tracked(call, inputs, options.create_graph);
  const auto ys = detail::evaluate(call, f, xs);
  if (options.strict) {
    detail::check_outputs_depend(call, ys);
  }
  return detail::matrix_by(call, ys, xs, options);
}

/// The Hessian at `inputs` of `f`, which returns one element. Entry [i][j] is
/// the block of inputs i and j: its shape is the shape of input i followed by
/// that of input j, its dtype and device are those of input j. Costs one
/// forward, one backward, and another backward for each batch of rows, as
/// `jacobian`.
///
///     auto h = libgrad::hessian(f, {x, y});  // h[0][1]: d²f/dx dy
///
/// `Strategy::forward` calls `f` with a batch of dual tensors and runs one
/// backward through them, which gives a batch of columns of H. Throws as
/// `jacobian`.
inline Matrix hessian(
    const Callable& f,
    const variable_list& inputs,
    const JacobianOptions& options = {}) {
  const auto& call = detail::kHessian;
  detail::check_matrix_options(call, options);
  const auto gradients = [&](const variable_list& xs) {
    auto grads = detail::first_gradients(call, f, xs, options.strict).product;
    detail::fill_zeros(grads, xs);
    return grads;
  };
  if (options.strategy == Strategy::forward && detail::elements(inputs) > 0) {
    return detail::forward_matrix(
        call, f, inputs, options, detail::dual_hessian_columns, gradients);
  }
  at::AutoGradMode grad_mode(true);
  const auto xs = detail::tracked(call, inputs, options.create_graph);
  const auto grads = gradients(xs);
  if (options.strict) {
    detail::check_first_gradients(call, grads, /*jacobian=*/true);
  }
  return detail::matrix_by(call, grads, xs, options);
}

/// Overloads for functions of a single tensor.
///
///     auto f = [](const at::Tensor& x) { return x.sin().sum(); };
///     auto h = libgrad::hessian(f, x);  // one tensor
inline TensorProduct vjp(
    const TensorCallable& f,
    const at::Tensor& input,
    const ProductOptions& options = {}) {
  const auto result = vjp(detail::listed(f), {input}, options);
  return {result.outputs[0], result.product[0]};
}

inline TensorProduct jvp(
    const TensorCallable& f,
    const at::Tensor& input,
    const JvpOptions& options = {}) {
  const auto result = jvp(detail::listed(f), {input}, options);
  return {result.outputs[0], result.product[0]};
}

inline TensorProduct vhp(
    const TensorCallable& f,
    const at::Tensor& input,
    const ProductOptions& options = {}) {
  const auto result = vhp(detail::listed(f), {input}, options);
  return {result.outputs[0], result.product[0]};
}

inline TensorProduct hvp(
    const TensorCallable& f,
    const at::Tensor& input,
    const ProductOptions& options = {}) {
  const auto result = hvp(detail::listed(f), {input}, options);
  return {result.outputs[0], result.product[0]};
}

inline std::pair<at::Tensor, at::Tensor> value_and_grad(
    const TensorCallable& f,
    const at::Tensor& input,
    const GradientOptions& options = {}) {
  auto result = value_and_grad(detail::listed(f), {input}, options);
  return {result.value, result.grads[0]};
}

inline at::Tensor jacobian(
    const TensorCallable& f,
    const at::Tensor& input,
    const JacobianOptions& options = {}) {
  return jacobian(detail::listed(f), {input}, options)[0][0];
}

inline at::Tensor hessian(
    const TensorCallable& f,
    const at::Tensor& input,
    const JacobianOptions& options = {}) {
  return hessian(detail::listed(f), {input}, options)[0][0];
}

}  // namespace libgrad
