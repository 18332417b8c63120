/// libgrad/grad/run.h -- the checks of grad and backward, and the call of the
/// engine.

#pragma once

#include <libgrad/grad/options.h>
#include <libgrad/grad/seeds.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/transforms/vmap.h>

#include <ATen/Functions.h>  // zeros_like

namespace libgrad::detail {

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

/// check_inputs where some inputs are edges: an undefined tensor in `inputs`
/// stands for the edge in `targets`.
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

/// Handles the gradients that the engine left undefined: throws unless they are
/// allowed, and replaces them with zeros where the options say so. `inputs` are
/// the tensors that the zeros are like; an undefined one stands for an edge.
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

/// `grad` after the checks that differ between tensors and edges. `inputs` are
/// the tensors of `targets`, undefined where the caller gave an edge.
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

/// `grad` with edges among its arguments.
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

/// `backward` with edges among its arguments; `inputs` as for grad_edges.
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

}  // namespace libgrad::detail
