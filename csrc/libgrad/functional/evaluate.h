/// libgrad/functional/evaluate.h -- calls the function whose derivatives are
/// wanted, with fresh tensors, and checks arguments and outputs.
///
/// The checks and their messages are those of torch.autograd.functional.

#pragma once

#include <libgrad/grad/seeds.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/transforms/vmap.h>

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <functional>
#include <string>

namespace libgrad::detail {

using ListFunction = std::function<variable_list(const variable_list&)>;

/// The names of each product or matrix in error messages.
inline constexpr Call kVjp{"vjp", "outputs", "v"};
inline constexpr Call kJvp{"jvp", "outputs", "v"};
inline constexpr Call kVhp{"vhp", "outputs", "v"};
inline constexpr Call kHvp{"hvp", "outputs", "v"};
inline constexpr Call kJacobian{"jacobian", "outputs", "basis"};
inline constexpr Call kHessian{"hessian", "outputs", "basis"};
inline constexpr Call kValueAndGrad{"value_and_grad", "outputs", "v"};
inline constexpr Call kJacobianOperator{"jacobian_operator", "outputs", "v"};
inline constexpr Call kHessianOperator{"hessian_operator", "outputs", "v"};

/// Throws inside a transform of torch.func, which would not see the engine's
/// derivative, and in inference mode, which records nothing.
inline void check_surroundings(const Call& call) {
  TORCH_CHECK(
      !functorch_active() && !in_vmap(),
      call.name,
      ": called inside a transform of torch.func (or torch.vmap), which would "
      "see none of it; take torch.func's own derivatives there, or call ",
      call.name,
      " outside");
  TORCH_CHECK(
      !c10::InferenceMode::is_enabled(),
      call.name,
      ": called under inference_mode, which records nothing to differentiate; "
      "leave it for this call");
}

/// A fresh tensor with the values of `input` that requires grad. With
/// `create_graph` its graph leads back to `input`.
inline at::Tensor tracked(const at::Tensor& input, bool create_graph) {
  if (create_graph && input.requires_grad()) {
    return input.is_sparse() ? input.clone() : input.view_as(input);
  }
  return input.detach().requires_grad_();
}

inline variable_list tracked(
    const Call& call, const variable_list& inputs, bool create_graph) {
  TORCH_CHECK_VALUE(
      !inputs.empty(), call.name, ": inputs is empty; give at least one");
  variable_list result;
  result.reserve(inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    TORCH_CHECK(
        inputs[i].defined(), call.name, ": inputs[", i, "] is undefined");
    TORCH_CHECK(
        torch::autograd::isDifferentiableType(inputs[i].scalar_type()),
        call.name,
        ": only Tensors of floating point and complex dtype can require "
        "gradients, but inputs[",
        i,
        "] is ",
        describe(inputs[i]),
        "; convert it");
    result.push_back(tracked(inputs[i], create_graph));
  }
  return result;
}

/// The outputs of `f`, checked.
inline variable_list evaluate(
    const Call& call, const ListFunction& f, const variable_list& inputs) {
  auto outputs = f(inputs);
  TORCH_CHECK(!outputs.empty(), call.name, ": the function returned no tensor");
  for (size_t i = 0; i < outputs.size(); ++i) {
    TORCH_CHECK(
        outputs[i].defined(),
        call.name,
        ": output ",
        i,
        " of the function is undefined");
  }
  return outputs;
}

/// Throws unless `outputs` is one tensor with one element.
inline void check_scalar(const Call& call, const variable_list& outputs) {
  TORCH_CHECK(
      outputs.size() == 1,
      call.name,
      ": The function given to ",
      call.name,
      " should return a single Tensor, but it returned ",
      outputs.size());
  TORCH_CHECK(
      outputs[0].sym_numel() == 1,
      call.name,
      ": The Tensor returned by the function given to ",
      call.name,
      " should contain a single element, but it is ",
      describe(outputs[0]));
}

inline std::string python_size(const at::Tensor& tensor) {
  std::ostringstream out;
  out << "torch.Size(" << tensor.sym_sizes() << ')';
  return out.str();
}

/// Throws unless `v` has an entry of the right shape for each of `others` (the
/// function's inputs or outputs), or is empty and `others` is one tensor with
/// one element. `absent` ends the message where `v` may not be empty.
inline void check_vector(
    const Call& call,
    const variable_list& v,
    const variable_list& others,
    const char* absent) {
  if (v.empty()) {
    TORCH_CHECK(
        others.size() == 1 && others[0].sym_numel() == 1,
        call.name,
        ": The vector v can only be None if the ",
        absent);
    return;
  }
  const bool single = others.size() == 1;
  TORCH_CHECK(
      v.size() == others.size(),
      call.name,
      single ? ": The given v should contain a single Tensor."
             : ": v is a tuple of invalid length: should be " +
                   std::to_string(others.size()) + " but got " +
                   std::to_string(v.size()) + '.');
  for (size_t i = 0; i < v.size(); ++i) {
    TORCH_CHECK(v[i].defined(), call.name, ": v[", i, "] is undefined");
    TORCH_CHECK(
        same_shape(v[i].sym_sizes(), others[i].sym_sizes()),
        call.name,
        ": ",
        single ? std::string() : "Entry " + std::to_string(i) + " in ",
        "v has invalid size: should be ",
        python_size(others[i]),
        " but got ",
        python_size(v[i]),
        '.');
  }
}

/// Gradients of those `outputs` that have a graph; undefined for inputs that
/// they do not depend on. An undefined seed, or an empty list of seeds, stands
/// for ones.
inline variable_list pull(
    const Call& call,
    const variable_list& outputs,
    const variable_list& inputs,
    const variable_list& seeds,
    bool keep_graph,
    bool create_graph) {
  variable_list differentiable, vectors;
  differentiable.reserve(outputs.size());
  vectors.reserve(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].defined() && outputs[i].requires_grad()) {
      differentiable.push_back(outputs[i]);
      vectors.push_back(seeds.empty() ? at::Tensor() : seeds[i]);
    }
  }
  if (differentiable.empty()) {
    return variable_list(inputs.size());
  }
  vectors = make_seeds(call, differentiable, vectors, /*batched=*/false);
  const auto roots = edges(differentiable, root_edge);  // before the targets
  const auto targets = edges(inputs, target_edge);
  return execute(
      roots, vectors, keep_graph, create_graph, /*accumulate=*/false, targets);
}

/// Replaces undefined gradients with zeros.
inline void fill_zeros(variable_list& grads, const variable_list& like) {
  for (size_t i = 0; i < grads.size(); ++i) {
    if (!grads[i].defined()) {
      grads[i] = at::zeros_like(like[i]);
    }
  }
}

/// The results as they are returned: detached unless `create_graph`.
inline variable_list released(variable_list tensors, bool create_graph) {
  for (auto& tensor : tensors) {
    if (!create_graph && tensor.requires_grad()) {
      tensor = tensor.detach();
    }
  }
  return tensors;
}

/// Zeros like `tensors` that require grad.
inline variable_list zero_vectors(const variable_list& tensors) {
  variable_list zeros;
  zeros.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    zeros.push_back(at::zeros_like(tensor.detach()));
    if (tensor.requires_grad()) {
      zeros.back().requires_grad_();
    }
  }
  return zeros;
}

inline bool all_real(const variable_list& tensors) {
  return std::none_of(tensors.begin(), tensors.end(), [](const auto& tensor) {
    return tensor.defined() && tensor.is_complex();
  });
}

/// `f` as a function of a list of one tensor. `f` must outlive the result.
inline auto listed(const std::function<at::Tensor(const at::Tensor&)>& f) {
  return [&f](const variable_list& inputs) -> variable_list {
    return {f(inputs[0])};
  };
}

}  // namespace libgrad::detail
