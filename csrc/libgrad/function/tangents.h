/// libgrad/function/tangents.h -- the tangents of a Function's outputs, by
/// F::jvp or from F::backward. backward(u) is linear in the vector u, so the
/// derivative of <backward(u), t> with respect to u is the Jacobian times t (J.
/// Townsend, "A new trick for calculating Jacobian vector products").

#pragma once

#include <libgrad/function/members.h>

#include <libgrad/grad/adjoint.h>

#include <torch/csrc/autograd/autograd.h>

namespace libgrad::detail {

inline constexpr const char* kCannotPush =
    ": forward mode needs a backward that is itself differentiable, or a jvp; "
    "give the struct `static variable_list jvp(AutogradContext*, variable_list "
    "tangents)`, or write backward in LibTorch's operators";

/// The tangents of `outputs`, which F::apply returned; `context` is the context
/// of their node. Undefined where an output has no tangent. Must be called with
/// forward mode off.
class OutputTangents {
 public:
  OutputTangents(
      const Erased& function,
      AutogradContext& context,
      Arguments values,
      const variable_list& inputs,
      const variable_list& tangents,
      const variable_list& outputs)
      : function_(function),
        context_(context),
        values_(values),
        inputs_(inputs),
        tangents_(tangents),
        outputs_(outputs),
        name_(function_name(*function.function)) {}

  variable_list operator()() const {
    return function_.jvp != nullptr ? of_jvp() : of_backward();
  }

 private:
  /// The tangents from F::jvp. As for a torch.autograd.Function, a
  /// differentiable input without a tangent counts as one with zeros, unless
  /// set_materialize_grads(false) was called.
  variable_list of_jvp() const {
    auto tangents = tangents_;
    for (size_t i = 0; i < tangents.size(); ++i) {
      if (!tangents[i].defined() && Context::materialize(context_) &&
          torch::autograd::isDifferentiableType(inputs_[i].scalar_type())) {
        tangents[i] = at::zeros_like(inputs_[i]);
      }
    }
    auto result =
        jvp(function_, context_, values_, std::move(tangents), outputs_.size());
    for (size_t i = 0; i < result.size(); ++i) {
      TORCH_CHECK(
          !result[i].defined() || result[i].sizes() == outputs_[i].sizes(),
          name_,
          ": jvp returned a tangent (",
          describe(result[i]),
          ") for output ",
          i,
          " (",
          describe(outputs_[i]),
          "); the two must have the same shape");
    }
    return result;
  }

  variable_list of_backward() const {
    at::AutoGradMode grad_mode(true);
    variable_list result(outputs_.size());
    variable_list vectors;
    std::vector<size_t> places;
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i].defined() && outputs_[i].requires_grad()) {
        places.push_back(i);
        vectors.push_back(probe(outputs_[i]).requires_grad_());
        result[i] = at::zeros_like(outputs_[i]);
      }
    }
    const auto [gradients, tangents] = pulled_back(places, vectors);
    if (gradients.empty()) {
      return result;
    }
    auto columns = torch::autograd::grad(
        gradients, vectors, tangents, /*retain=*/true, grad_mode_, true);
    for (size_t i = 0; i < places.size(); ++i) {
      if (columns[i].defined()) {
        result[places[i]] = columns[i];
      } else {
        columns[i] = result[places[i]];
      }
    }
    const auto wrong = mismatch(gradients, tangents, vectors, columns);
    TORCH_CHECK_NOT_IMPLEMENTED(
        !wrong || !wrong->item<bool>(), name_, kCannotPush);
    return result;
  }

  /// The gradients of the inputs that have a tangent, and those tangents.
  /// F::backward computes the gradients from `vectors`, the gradients of the
  /// outputs at `places`.
  std::pair<variable_list, variable_list> pulled_back(
      const std::vector<size_t>& places, const variable_list& vectors) const {
    variable_list sources;  // copies: backward may change them in place
    for (const auto& vector : vectors) {
      sources.push_back(vector.clone());
    }
    variable_list grads(outputs_.size());
    for (size_t i = 0, next = 0; i < grads.size(); ++i) {
      if (next < places.size() && places[next] == i) {
        grads[i] = sources[next++];
      } else if (Context::materialize(context_)) {
        grads[i] = at::zeros_like(outputs_[i]);
      }
    }
    std::vector<bool> needs;
    for (const auto& tangent : tangents_) {
      needs.push_back(tangent.defined());
    }
    Context::needs_input_grad(context_) = needs;
    auto gradients = backward(function_, context_, values_, std::move(grads));
    Context::needs_input_grad(context_).reset();
    std::pair<variable_list, variable_list> result;
    for (size_t i = 0; i < gradients.size(); ++i) {
      if (tangents_[i].defined() && varies(gradients[i], sources)) {
        result.first.push_back(
            at::sum_to(gradients[i], inputs_[i].sizes())
                .to(inputs_[i].scalar_type()));
        result.second.push_back(tangents_[i]);
      }
    }
    return result;
  }

  /// False for a gradient that is always zero. Throws for a nonzero gradient
  /// that does not depend on `sources`: autograd did not record how it was
  /// computed.
  bool varies(const at::Tensor& product, const variable_list& sources) const {
    if (!product.defined() || depends_on(product, sources)) {
      return product.defined();
    }
    TORCH_CHECK_NOT_IMPLEMENTED(reads_zero(product), name_, kCannotPush);
    return false;
  }

  const Erased& function_;
  AutogradContext& context_;
  Arguments values_;
  const variable_list& inputs_;
  const variable_list& tangents_;
  const variable_list& outputs_;
  std::string name_;
  bool grad_mode_ = at::GradMode::is_enabled();
};

}  // namespace libgrad::detail
