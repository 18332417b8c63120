/// libgrad/grad.h -- gradients by LibTorch's engine, with PyTorch's options.

#pragma once

#include <libgrad/grad/seeds.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/transforms/vmap.h>

#include <ATen/Functions.h>  // zeros_like
#include <torch/csrc/autograd/autograd.h>

#include <optional>

namespace libgrad {

using torch::autograd::Edge;
using torch::autograd::edge_list;
using torch::autograd::variable_list;

/// Options of `grad`, by the names and with the defaults of
/// torch.autograd.grad.
struct GradOptions {
  /// The vectors v of vᵀJ, one for each output and of its shape, dtype and
  /// device; undefined (or none at all) for outputs with one element.
  variable_list grad_outputs = {};
  /// Keep what the graph saved, so that it can be differentiated again.
  /// Defaults to `create_graph`.
  std::optional<bool> retain_graph = std::nullopt;
  /// Record the gradients' own graph, so that they can be differentiated.
  bool create_graph = false;
  /// Give an undefined gradient for inputs that the outputs do not depend on,
  /// instead of an error. Defaults to `materialize_grads`.
  std::optional<bool> allow_unused = std::nullopt;
  /// The first dimension of every seed is a batch of vectors.
  bool is_grads_batched = false;
  /// Give zeros, instead of an undefined gradient, for unused inputs.
  bool materialize_grads = false;
};

/// Options of `backward`, by the names and with the defaults of
/// torch.autograd.backward.
struct BackwardOptions {
  variable_list grad_tensors = {};  ///< as GradOptions::grad_outputs
  std::optional<bool> retain_graph = std::nullopt;
  bool create_graph = false;
  /// Accumulate into these alone; none means every leaf of the graph.
  variable_list inputs = {};
};

/// BackwardOptions for edges of the graph.
struct EdgeBackwardOptions {
  variable_list grad_tensors = {};
  std::optional<bool> retain_graph = std::nullopt;
  bool create_graph = false;
  edge_list inputs = {};
};

namespace detail {

inline void check_grad_options(const GradOptions& options, size_t inputs) {
  TORCH_CHECK_VALUE(
      !options.materialize_grads || options.allow_unused.value_or(true),
      "grad: Expected allow_unused to be True or not passed when "
      "materialize_grads=True, but got: allow_unused=False.");
  TORCH_CHECK(inputs > 0, "`inputs` argument to `grad()` cannot be empty.");
}

inline void check_input(const Call& call, size_t i, const at::Tensor& input) {
  TORCH_CHECK(
      input.defined() && input.requires_grad(),
      call.name,
      ": One of the differentiated Tensors does not require grad: inputs[",
      i,
      "] (",
      describe(input),
      "); call requires_grad_() on it before it is used");
}

inline void check_inputs(const Call& call, const variable_list& inputs) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    check_input(call, i, inputs[i]);
  }
}

/// The same where some inputs are edges, those with an undefined tensor.
inline void check_inputs(
    const Call& call, const variable_list& inputs, const edge_list& targets) {
  for (size_t i = 0; i < targets.size(); ++i) {
    if (inputs[i].defined()) {
      check_input(call, i, inputs[i]);
      continue;
    }
    TORCH_CHECK(
        targets[i].is_valid(),
        call.name,
        ": inputs[",
        i,
        "] is an edge to nowhere");
    check_edge(call.name, "inputs", i, targets[i]);
  }
}

inline void check_no_transform() {
  TORCH_CHECK(
      !functorch_active(),
      "backward() called inside a functorch transform. This is not supported, "
      "please use torch.func.grad or torch.func.vjp instead or call backward() "
      "outside of functorch transforms.");
  TORCH_CHECK(
      !in_vmap(),
      "backward() called inside torch.vmap. This is not supported, please call "
      "backward() outside torch.vmap or instead use grad() inside torch.vmap");
}

/// Fills or refuses what the engine left undefined. `inputs` are the tensors
/// to take zeros after; an undefined one stands for an edge.
inline void finish(
    variable_list& grads,
    const variable_list& inputs,
    const GradOptions& options) {
  const bool allowed = options.allow_unused.value_or(options.materialize_grads);
  for (size_t i = 0; i < grads.size(); ++i) {
    if (grads[i].defined()) {
      continue;
    }
    TORCH_CHECK(
        allowed,
        "grad: The differentiated Tensor at index ",
        i,
        " appears to not have been used in the graph. Set allow_unused=True "
        "if this is the desired behavior. (inputs[",
        i,
        "] is ",
        inputs[i].defined() ? describe(inputs[i]) : "a GradientEdge",
        ')');
    if (options.materialize_grads) {
      TORCH_CHECK(
          inputs[i].defined(),
          "grad: materialize_grads cannot be used when the given input is a "
          "GradientEdge: inputs[",
          i,
          "] was not used in the graph");
      grads[i] = at::zeros_like(inputs[i]).requires_grad_(options.create_graph);
    }
  }
}

/// `grad` after the checks of what is special to tensors or edges. `inputs`
/// are the tensors behind `targets`, undefined where the caller gave an edge.
inline variable_list run_grad(
    const edge_list& roots,
    const variable_list& seeds,
    const edge_list& targets,
    const variable_list& inputs,
    const GradOptions& options) {
  const bool keep = options.retain_graph.value_or(options.create_graph);
  auto run = [&](const variable_list& vectors) {
    return execute(roots, vectors, keep, options.create_graph, false, targets);
  };
  auto grads = options.is_grads_batched ? run_batched(seeds, run) : run(seeds);
  finish(grads, inputs, options);
  return grads;
}

/// `grad` of edges, or of edges and tensors.
inline variable_list grad_edges(
    const edge_list& roots,
    const edge_list& targets,
    const variable_list& inputs,
    const GradOptions& options) {
  check_grad_options(options, targets.size());
  check_not_batched(inputs, "inputs");
  check_inputs(kGrad, inputs, targets);
  const auto seeds =
      make_seeds(kGrad, roots, options.grad_outputs, options.is_grads_batched);
  return run_grad(roots, seeds, targets, inputs, options);
}

/// `backward` of edges, or of edges and tensors; `inputs` as for grad_edges.
inline void backward_edges(
    const edge_list& roots,
    const edge_list& targets,
    const variable_list& inputs,
    const BackwardOptions& options) {
  check_no_transform();
  check_inputs(kBackward, inputs, targets);
  const auto seeds =
      make_seeds(kBackward, roots, options.grad_tensors, /*batched=*/false);
  retain_grads(inputs);
  execute(
      roots,
      seeds,
      options.retain_graph.value_or(options.create_graph),
      options.create_graph,
      /*accumulate=*/true,
      targets);
}

}  // namespace detail

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
