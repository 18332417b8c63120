/// libgrad/grad.h -- gradients by LibTorch's engine, with PyTorch's options.

#pragma once

#include <libgrad/grad/options.h>
#include <libgrad/grad/run.h>

#include <torch/csrc/autograd/autograd.h>

namespace libgrad {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::variable_list;

/// Gradients of `outputs` with respect to `inputs`: for each input the sum of
/// vᵀJ over the outputs, with the input's shape, dtype and device. Nothing is
/// accumulated: `.grad` stays as it is.
///
///     auto x = torch::tensor({1.0, 2.0}, torch::requires_grad());
///     auto g = libgrad::grad({(x * x).sum()}, {x});       // {[2, 4]}
///     auto h = libgrad::grad({x * x}, {x}, {.grad_outputs = {v}});
///
/// Throws c10::Error where torch::autograd::grad does, naming the argument, and
/// c10::ValueError for options that contradict each other. The engine is
/// called as torch::autograd::grad calls it, but the lists are not copied.
inline variable_list grad(
    const variable_list& outputs,
    const variable_list& inputs,
    const GradOptions& options = {}) {
  detail::check_grad_options(options, inputs.size());
  if (detail::in_vmap()) {
    detail::check_not_batched(outputs, "outputs");
    detail::check_not_batched(inputs, "inputs");
  }
  const auto seeds = detail::make_seeds(
      detail::kGrad, outputs, options.grad_outputs, options.is_grads_batched);
  detail::check_inputs(detail::kGrad, inputs);
  // Roots first: root_edge creates the gradient accumulator of a leaf, and
  // target_edge looks that accumulator up.
  const auto roots = detail::edges(outputs, detail::root_edge);
  const auto targets = detail::edges(inputs, detail::target_edge);
  return detail::run_grad(roots, seeds, targets, inputs, options);
}

/// Gradients between edges of the graph (Edge{node, input number}): for places
/// in the graph whose tensor was not kept.
inline variable_list grad(
    const edge_list& outputs,
    const edge_list& inputs,
    const GradOptions& options = {}) {
  return detail::grad_edges(
      outputs, inputs, variable_list(inputs.size()), options);
}

/// Adds the gradients of `tensors` to `.grad` of the graph's leaves, or of
/// `options.inputs`. A second call adds to the first: zeroing `.grad` is up to
/// the caller.
///
///     libgrad::backward({loss});
///     libgrad::backward({loss}, {.retain_graph = true, .inputs = {w}});
///
/// Throws as torch::autograd::backward, which it calls, and names the argument.
/// An error before the engine starts leaves every `.grad` untouched.
inline void backward(
    const variable_list& tensors, const BackwardOptions& options = {}) {
  detail::check_no_transform();
  detail::check_inputs(detail::kBackward, options.inputs);
  const auto seeds = detail::make_seeds(
      detail::kBackward, tensors, options.grad_tensors, /*batched=*/false);
  torch::autograd::backward(
      tensors,
      seeds,
      options.retain_graph,
      options.create_graph,
      options.inputs);
}

/// `backward` that starts at edges of the graph and accumulates at edges.
inline void backward(
    const edge_list& tensors, const EdgeBackwardOptions& options = {}) {
  detail::backward_edges(
      tensors,
      options.inputs,
      variable_list(options.inputs.size()),
      {options.grad_tensors, options.retain_graph, options.create_graph, {}});
}

}  // namespace libgrad
