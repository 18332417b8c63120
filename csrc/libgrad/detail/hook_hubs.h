/// libgrad/detail/hook_hubs.h -- LibTorch's places for hooks on gradients, each
/// with one list of ours.
///
/// Relies on (covered by tests/cpp/memory/test_gradient_hooks.cpp):
/// - _register_hook keeps what it is given in cpp_hooks_list_ of the tensor's
///   AutogradMeta, as it is;
/// - a node keeps its hooks in pre_hooks() and post_hooks();
/// - AccumulateGrad calls the one hook in post_acc_grad_hooks(), which torch's
///   Python puts its own in when the first of them is registered.

#pragma once

#include <libgrad/detail/edges.h>
#include <libgrad/detail/hook_list.h>

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <type_traits>

namespace libgrad::detail {

using torch::autograd::variable_list;

using TensorHooks = HookList<at::Tensor(const at::Tensor&)>;
using PreHooks = HookList<variable_list(const variable_list&)>;
using PostHooks =
    HookList<variable_list(const variable_list&, const variable_list&)>;
using LeafHooks = HookList<void(const at::Tensor&)>;

/// `hook` with a result: where it returns none, nothing.
template <class Result, class... Args, class F>
auto with_result(F hook) {
  return [hook = std::move(hook)](const Args&... args) -> Result {
    if constexpr (std::is_void_v<std::invoke_result_t<F&, const Args&...>>) {
      hook(args...);
      return {};
    } else {
      return hook(args...);
    }
  };
}

/// The hooks of a tensor: each gets what the ones before it made.
struct TensorHub {
  std::shared_ptr<TensorHooks> list = std::make_shared<TensorHooks>();

  at::TensorBase operator()(const at::TensorBase& gradient) const {
    at::Tensor current(gradient);
    for (const auto& hook : list->now()) {
      if (auto result = (*hook)(current); result.defined()) {
        current = std::move(result);
      }
    }
    return current;
  }
};

inline std::shared_ptr<TensorHooks> hooks_on_tensor(const at::Tensor& tensor) {
  auto& meta = *torch::autograd::impl::get_autograd_meta(tensor);
  if (meta.cpp_hooks_list_) {
    for (const auto& hook : *meta.cpp_hooks_list_) {
      if (const auto* hub = hook.target<TensorHub>()) {
        return hub->list;
      }
    }
  }
  TensorHub hub;
  at::impl::GetVariableHooks()->_register_hook(tensor, hub);
  return hub.list;
}

/// Finds the `Hub` among `hooks`, or adds one.
template <class Hub, class Hooks, class Add>
auto hub_in(const Hooks& hooks, const Add& add) {
  for (const auto& hook : hooks) {
    if (const auto* hub = dynamic_cast<const Hub*>(hook.get())) {
      return hub->list;
    }
  }
  auto hub = std::make_unique<Hub>();
  auto list = hub->list;
  add(std::move(hub));
  return list;
}

struct PreHub : torch::autograd::FunctionPreHook {
  std::shared_ptr<PreHooks> list = std::make_shared<PreHooks>();

  variable_list operator()(const variable_list& gradients) override {
    auto current = gradients;
    for (const auto& hook : list->now()) {
      if (auto result = (*hook)(current); !result.empty()) {
        TORCH_CHECK(
            result.size() == current.size(),
            "register_prehook: the hook returned ",
            result.size(),
            " gradients but the node takes ",
            current.size());
        current = std::move(result);
      }
    }
    return current;
  }
};

struct PostHub : torch::autograd::FunctionPostHook {
  std::shared_ptr<PostHooks> list = std::make_shared<PostHooks>();

  variable_list operator()(
      const variable_list& results, const variable_list& gradients) override {
    auto current = results;
    for (const auto& hook : list->now()) {
      if (auto result = (*hook)(current, gradients); !result.empty()) {
        TORCH_CHECK(
            result.size() == current.size(),
            "register_hook: the hook returned ",
            result.size(),
            " gradients but the node computed ",
            current.size());
        current = std::move(result);
      }
    }
    return current;
  }
};

/// The hooks of a leaf, behind the one that was there.
struct LeafHub : torch::autograd::PostAccumulateGradHook {
  std::shared_ptr<LeafHooks> list = std::make_shared<LeafHooks>();
  std::unique_ptr<torch::autograd::PostAccumulateGradHook> before;

  void operator()(const torch::autograd::Variable& leaf) override {
    if (before) {
      (*before)(leaf);
    }
    for (const auto& hook : list->now()) {
      (*hook)(leaf);
    }
  }
};

inline std::shared_ptr<LeafHooks> hooks_of_leaf(const at::Tensor& leaf) {
  auto& place = torch::autograd::impl::post_acc_grad_hooks(leaf);
  if (const auto* hub = dynamic_cast<const LeafHub*>(place.get())) {
    return hub->list;
  }
  auto hub = std::make_unique<LeafHub>();
  hub->before = std::move(place);
  auto list = hub->list;
  torch::autograd::impl::set_post_acc_grad_hooks(leaf, std::move(hub));
  return list;
}

}  // namespace libgrad::detail
