/// libgrad/torch/autograd/context.h -- the private members of AutogradContext.
///
/// Relies on (covered by tests/function/test_function_transforms.py):
/// - CppNode<> is a friend of AutogradContext, so that a specialisation for a
///   type of ours reaches its private members;
/// - get_saved_variables() and needs_input_grad() answer with the overrides
///   that compiled autograd sets, where there are any.

#pragma once

#include <torch/csrc/autograd/custom_function.h>

namespace libgrad::detail {
struct ContextAccess {};
}  // namespace libgrad::detail

template <>
struct torch::autograd::CppNode<libgrad::detail::ContextAccess> {
  static variable_list& to_save(AutogradContext& ctx) { return ctx.to_save_; }
  static auto& dirty(AutogradContext& ctx) { return ctx.dirty_inputs_; }
  static bool& materialize(AutogradContext& ctx) {
    return ctx.materialize_grads_;
  }
  static auto& saved(AutogradContext& ctx) {
    return ctx.saved_variables_override_;
  }
  static auto& needs_input_grad(AutogradContext& ctx) {
    return ctx.needs_input_grad_override_;
  }
  static bool freed(const AutogradContext& ctx) {
    return ctx.has_freed_buffers_;
  }
  static auto& variables(AutogradContext& ctx) { return ctx.saved_variables_; }
};

namespace libgrad::detail {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Context = torch::autograd::CppNode<ContextAccess>;

}  // namespace libgrad::detail
