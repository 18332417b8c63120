/// libgrad/functional.h -- derivatives of functions.
///
/// Results, options and errors are those of torch.autograd.functional 2.13; a
/// list of one tensor stands for its single tensors. The function is called
/// with tensors of its own that require grad, and may use others: those are
/// constants. No `.grad` is touched, and the modes of the thread are as before
/// on every way out. All of it throws c10::Error where LibTorch does, where
/// `strict` is not met, and inside a transform of torch.func.

#pragma once

#include <libgrad/functional/matrix.h>
#include <libgrad/functional/options.h>
#include <libgrad/functional/products.h>

namespace libgrad {

using torch::autograd::variable_list;

/// A function of many tensors, and one of a single tensor.
using Callable = detail::ListFunction;
using TensorCallable = std::function<at::Tensor(const at::Tensor&)>;

/// Entry [i][j] is of output i and input j, its shape that of the output
/// followed by that of the input.
using Matrix = detail::Matrix;

/// What the function returned, and the product with the vector.
using Product = detail::OutputsAndProduct;

/// The same for a function of a single tensor.
struct TensorProduct {
  at::Tensor output;
  at::Tensor product;
};

/// What a function of one element returned, and its gradients.
struct ValueAndGrad {
  at::Tensor value;
  variable_list grads;
};

/// The outputs of `f` at `inputs` and vᵀJ: for each input the product, of its
/// shape, dtype and device. Costs one forward and one backward. For complex
/// numbers the product is with the conjugate of J, as everywhere in PyTorch.
///
///     auto [outputs, product] = libgrad::vjp(f, {x, y}, {.v = {v}});
inline Product vjp(
    const Callable& f,
    const variable_list& inputs,
    const ProductOptions& options = {}) {
  return detail::reverse_product(
      f, inputs, options.v, options.create_graph, options.strict);
}

/// The outputs of `f` at `inputs` and Jv: for each output the product, of its
/// shape, dtype and device. Costs one forward and two backwards, or with
/// `.strategy = Strategy::forward` one forward with dual tensors; that takes
/// neither `create_graph` (c10::NotImplementedError) nor `strict`.
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

/// The value of `f`, a function of one element, at `inputs` and vᵀH: for each
/// input the product, like the input. Costs one forward and two backwards.
///
///     auto [outputs, product] = libgrad::vhp(f, {x}, {.v = {v}});
inline Product vhp(
    const Callable& f,
    const variable_list& inputs,
    const ProductOptions& options = {}) {
  return detail::hessian_product(
      detail::kVhp, f, inputs, options.v, options.create_graph, options.strict);
}

/// The value of `f`, a function of one element, at `inputs` and Hv. For real
/// numbers and without `strict` it is had as vᵀH, by the symmetry of second
/// derivatives that are continuous; else by one more backward.
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

/// The value of `f`, a function of one element, at `inputs` and its gradients,
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

/// The Jacobian of `f` at `inputs`: entry [i][j] is of output i and input j, of
/// their shapes in a row, dtype and device of the input (with `forward` and
/// `double_reverse`, of the output). `f` is called once; then comes one
/// backward for a batch of rows, which costs little more than one for a row.
/// Where that fails, because an operator or a backward of yours cannot be
/// batched, the rows are taken one by one and a warning says why, once.
///
///     auto j = libgrad::jacobian(f, {x, y});  // j[0][1]: output 0, input y
///     auto k = libgrad::jacobian(f, {x}, {.chunk_size = 64});
///
/// By default a tall Jacobian (eight times more outputs than inputs) is had
/// by `double_reverse`, checked against the backward it starts from. For
/// complex numbers the rows are conjugated as by vjp, columns (`forward`,
/// `double_reverse`) are not. Throws c10::Error where `strict` is asked of
/// anything but the loop, c10::NotImplementedError for `create_graph` with
/// `forward`, c10::ValueError for a `chunk_size` under 1.
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

/// The Hessian of `f`, a function of one element, at `inputs`: entry [i][j] is
/// of inputs i and j, of their shapes in a row and like input j. Costs one
/// forward, one backward, and one more for each batch of rows, as `jacobian`.
///
///     auto h = libgrad::hessian(f, {x, y});  // h[0][1]: d²f/dx dy
///
/// `Strategy::forward` calls `f` with many dual tensors and takes one backward
/// through these: H by columns. Throws as `jacobian`.
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

/// The same of functions of a single tensor.
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
