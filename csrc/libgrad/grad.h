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
/// vᵀJ over the outputs, of the input's shape, dtype and device. Nothing is
/// accumulated: `.grad` stays as it is.
///
///     auto x = torch::tensor({1.0, 2.0}, torch::requires_grad());
///     auto g = libgrad::grad({(x * x).sum()}, {x});       // {[2, 4]}
///     auto h = libgrad::grad({x * x}, {x}, {.grad_outputs = {v}});
///
/// Throws c10::Error as torch::autograd::grad does, naming the argument;
/// c10::ValueError for options that contradict each other. The engine is
/// called as torch::autograd::grad calls it, without its copies of the lists.
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
  // Roots first: they make the accumulator of a leaf, which targets look for.
  const auto roots = detail::edges(outputs, detail::root_edge);
  const auto targets = detail::edges(inputs, detail::target_edge);
  return detail::run_grad(roots, seeds, targets, inputs, options);
}

/// The same from edge to edge of the graph (Edge{node, input number}), for
/// gradients at places that no tensor is kept for.
inline variable_list grad(
    const edge_list& outputs,
    const edge_list& inputs,
    const GradOptions& options = {}) {
  return detail::grad_edges(
      outputs, inputs, variable_list(inputs.size()), options);
}

/// Adds the gradients of `tensors` to `.grad` of the graph's leaves, or of
/// `options.inputs`. Call it twice and they are summed: zeroing is yours.
///
///     libgrad::backward({loss});
///     libgrad::backward({loss}, {.retain_graph = true, .inputs = {w}});
///
/// Throws as torch::autograd::backward does (which it calls), naming the
/// argument; then no `.grad` has been touched unless the engine had started.
inline void backward(
    const variable_list& tensors, const BackwardOptions& options = {}) {
  detail::check_no_transform();
  detail::check_inputs(detail::kBackward, options.inputs);
  const auto seeds = detail::make_seeds(
      detail::kBackward, tensors, options.grad_tensors, /*batched=*/false);
  detail::explained(
      [&] {
        torch::autograd::backward(
            tensors,
            seeds,
            options.retain_graph,
            options.create_graph,
            options.inputs);
      },
      [&] { return detail::edges(tensors, detail::root_edge); });
}

/// The same from edges of the graph, and into edges of it.
inline void backward(
    const edge_list& tensors, const EdgeBackwardOptions& options = {}) {
  detail::backward_edges(
      tensors,
      options.inputs,
      variable_list(options.inputs.size()),
      {options.grad_tensors, options.retain_graph, options.create_graph, {}});
}

}  // namespace libgrad
