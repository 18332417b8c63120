/// libgrad/gradient_hooks.h -- hooks on the gradients of tensors, nodes and
/// leaves.

#pragma once

#include <libgrad/hooks/hubs.h>
#include <libgrad/hooks/multi.h>

#include <torch/csrc/autograd/functions/accumulate_grad.h>

namespace libgrad {

/// Calls `hook` with the gradient of `tensor` in each backward that computes
/// it. If `hook` returns a defined tensor, that replaces the gradient.
///
///     auto handle = libgrad::register_hook(
///         x, [](const at::Tensor& gradient) { return gradient * 2; });
///     handle.remove();
///
/// The hooks of a tensor run in the order in which they were registered. Throws
/// c10::Error when `tensor` does not require grad.
///
/// Source: at::Tensor::register_hook.
template <class Hook>
RemovableHandle register_hook(const at::Tensor& tensor, Hook hook) {
  TORCH_CHECK(
      tensor.defined() && tensor.requires_grad(),
      "register_hook: cannot register a hook on a tensor that ",
      tensor.defined() ? "doesn't require gradient" : "is not defined");
  const auto list = detail::hooks_on_tensor(tensor);
  return {
      list,
      list->add(detail::with_result<at::Tensor, at::Tensor>(std::move(hook)))};
}

/// Calls `hook` with the gradients that `node` takes, before `node` runs. If
/// `hook` returns a list that is not empty, that replaces them.
///
/// Source: torch.autograd.graph.Node.register_prehook.
template <class Hook>
RemovableHandle register_prehook(torch::autograd::Node& node, Hook hook) {
  using torch::autograd::variable_list;
  const auto list = detail::hub_in<detail::PreHub>(
      node.pre_hooks(), [&](auto hub) { node.add_pre_hook(std::move(hub)); });
  return {
      list,
      list->add(
          detail::with_result<variable_list, variable_list>(std::move(hook)))};
}

/// Calls `hook` with the gradients that `node` computed and those that it took.
/// If `hook` returns a list that is not empty, that replaces the computed ones.
///
/// Source: torch.autograd.graph.Node.register_hook.
template <class Hook>
RemovableHandle register_hook(torch::autograd::Node& node, Hook hook) {
  using torch::autograd::variable_list;
  const auto list = detail::hub_in<detail::PostHub>(
      node.post_hooks(), [&](auto hub) { node.add_post_hook(std::move(hub)); });
  return {
      list,
      list->add(
          detail::with_result<variable_list, variable_list, variable_list>(
              std::move(hook)))};
}

/// Calls `hook` with `leaf` after a backward has added to the leaf's `.grad`,
/// which the hook may use and reset.
///
/// Torch has one place for these hooks. Those that torch's Python registered
/// before run first. When Python registers its first one afterwards, that
/// replaces these. Throws c10::Error when `leaf` does not require grad or is no
/// leaf.
///
/// Source: torch.Tensor.register_post_accumulate_grad_hook.
template <class Hook>
RemovableHandle register_post_accumulate_grad_hook(
    const at::Tensor& leaf, Hook hook) {
  TORCH_CHECK(
      leaf.defined() && leaf.requires_grad() && leaf.is_leaf(),
      "register_post_accumulate_grad_hook: post accumulate grad hooks cannot "
      "be registered on a tensor that ",
      !leaf.defined()         ? "is not defined"
      : !leaf.requires_grad() ? "doesn't require gradient"
                              : "is no leaf");
  const auto list = detail::hooks_of_leaf(leaf);
  return {list, list->add(std::move(hook))};
}

/// When a hook on several tensors runs.
enum class MultiGradMode {
  kAll,  // when all gradients that this backward computes have arrived
  kAny,  // when the first one has arrived
};

/// Calls `hook` once in each backward, with a list of the gradients of
/// `tensors`. Those that have not arrived (yet) are undefined.
///
/// Throws c10::Error when there is no tensor, or one does not require grad.
///
/// Source: torch.autograd.graph.register_multi_grad_hook, which gives the
/// gradient alone for `kAny`.
template <class Hook>
RemovableHandle register_multi_grad_hook(
    const std::vector<at::Tensor>& tensors,
    Hook hook,
    MultiGradMode mode = MultiGradMode::kAll) {
  TORCH_CHECK(
      !tensors.empty(),
      "register_multi_grad_hook: expected at least one tensor");
  for (size_t i = 0; i < tensors.size(); ++i) {
    TORCH_CHECK(
        tensors[i].defined() && tensors[i].requires_grad(),
        "register_multi_grad_hook: tensor ",
        i,
        " does not require grad");
  }
  const auto together = std::make_shared<detail::GradientsTogether>(
      tensors, mode == MultiGradMode::kAny, std::move(hook));
  RemovableHandle handle;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto part = std::make_shared<detail::PartOfTogether>(together, i);
    handle.add(register_hook(tensors[i], [part](const at::Tensor& gradient) {
      part->arrive(gradient);
    }));
  }
  return handle;
}

}  // namespace libgrad
