/// libgrad/functional/products.h -- products of Jacobians and Hessians with
/// vectors.

#pragma once

#include <libgrad/functional/strict.h>

#include <algorithm>

namespace libgrad::detail {

struct OutputsAndProduct {
  variable_list outputs;
  variable_list product;
};

/// Throws unless `v` has the shapes of the function's inputs.
inline void check_input_vector(
    const Call& call, const variable_list& v, const variable_list& inputs) {
  check_vector(
      call,
      v,
      inputs,
      "input to the user-provided function is a single Tensor with a single "
      "element.");
}

/// The result as it is returned: checked if `strict`, with zeros for undefined
/// gradients, and detached unless `create_graph`.
inline OutputsAndProduct finished(
    const Call& call,
    OutputsAndProduct result,
    const variable_list& like,
    Stage stage,
    bool create_graph,
    bool strict) {
  if (strict) {
    check_strict_gradients(call, result.product, stage, create_graph);
  }
  fill_zeros(result.product, like);
  return {
      released(std::move(result.outputs), create_graph),
      released(std::move(result.product), create_graph)};
}

inline OutputsAndProduct reverse_product(
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& v,
    bool create_graph,
    bool strict) {
  check_surroundings(kVjp);
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(kVjp, inputs, create_graph);
  auto ys = evaluate(kVjp, f, xs);
  if (strict) {
    check_outputs_depend(kVjp, ys);
  }
  check_vector(
      kVjp,
      v,
      ys,
      "user-provided function returns a single Tensor with a single element.");
  auto grads = pull(kVjp, ys, xs, v, create_graph, create_graph);
  return finished(
      kVjp,
      {std::move(ys), std::move(grads)},
      xs,
      Stage::back,
      create_graph,
      strict);
}

/// Jv of `outputs`, which have the shapes of `like`, computed as the derivative
/// of Jᵀu with respect to u. `check` is called with Jᵀu.
template <class Check>
variable_list push(
    const Call& call,
    const variable_list& outputs,
    const variable_list& like,
    const variable_list& inputs,
    const variable_list& v,
    bool create_graph,
    const Check& check) {
  const auto us = zero_vectors(like);
  const auto pulled = pull(call, outputs, inputs, us, true, true);
  check(pulled);
  return pull(call, pulled, us, v, create_graph, create_graph);
}

/// The outputs and Jv, by two backwards.
inline OutputsAndProduct twice_reverse_product(
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& v,
    bool create_graph,
    bool strict) {
  check_surroundings(kJvp);
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(kJvp, inputs, create_graph);
  check_input_vector(kJvp, v, xs);
  auto ys = evaluate(kJvp, f, xs);
  if (strict) {
    check_outputs_depend(kJvp, ys);
  }
  const auto check = [&](const variable_list& grads) {
    if (strict) {
      check_first_gradients(kJvp, grads, /*jacobian=*/false);
    }
  };
  auto product = push(kJvp, ys, ys, xs, v, create_graph, check);
  return finished(
      kJvp,
      {ys, std::move(product)},
      ys,
      Stage::back_trick,
      create_graph,
      strict);
}

/// The value of `f` at `xs`, which require grad, and its gradients with their
/// graph; undefined for inputs that the value does not depend on.
inline OutputsAndProduct first_gradients(
    const Call& call,
    const ListFunction& f,
    const variable_list& xs,
    bool strict) {
  auto ys = evaluate(call, f, xs);
  if (strict) {
    check_outputs_depend(call, ys);
  }
  check_scalar(call, ys);
  auto grads = pull(call, ys, xs, {}, true, true);
  return {std::move(ys), std::move(grads)};
}

/// The value and vᵀH: the derivative of the gradient times v.
inline OutputsAndProduct hessian_product(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& v,
    bool create_graph,
    bool strict) {
  check_surroundings(call);
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(call, inputs, create_graph);
  check_input_vector(call, v, xs);
  auto [ys, grads] = first_gradients(call, f, xs, strict);
  if (strict) {
    check_first_gradients(call, grads, /*jacobian=*/true);
  }
  auto product = pull(call, grads, xs, v, create_graph, create_graph);
  return finished(
      call,
      {std::move(ys), std::move(product)},
      xs,
      Stage::double_back,
      create_graph,
      strict);
}

/// The value and Hv by three backwards, which do not rely on a symmetric H.
inline OutputsAndProduct twice_reverse_hessian(
    const Call& call,
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& v,
    bool create_graph,
    bool strict) {
  check_surroundings(call);
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(call, inputs, create_graph);
  check_input_vector(call, v, xs);
  auto [ys, grads] = first_gradients(call, f, xs, strict);
  if (strict) {
    check_first_gradients(call, grads, /*jacobian=*/true);
  }
  const auto anything = [](const variable_list&) {};
  auto product = push(call, grads, xs, xs, v, create_graph, anything);
  return finished(
      call,
      {std::move(ys), std::move(product)},
      xs,
      Stage::double_back_trick,
      create_graph,
      strict);
}

/// The value of `f` and its gradients.
inline OutputsAndProduct gradients(
    const ListFunction& f,
    const variable_list& inputs,
    bool create_graph,
    bool strict) {
  const auto& call = kValueAndGrad;
  check_surroundings(call);
  at::AutoGradMode grad_mode(true);
  const auto xs = tracked(call, inputs, create_graph);
  auto ys = evaluate(call, f, xs);
  if (strict) {
    check_outputs_depend(call, ys);
  }
  check_scalar(call, ys);
  auto grads = pull(call, ys, xs, {}, create_graph, create_graph);
  return finished(
      call,
      {std::move(ys), std::move(grads)},
      xs,
      Stage::back,
      create_graph,
      strict);
}

}  // namespace libgrad::detail
