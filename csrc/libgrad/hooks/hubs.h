/// libgrad/hooks/hubs.h -- lists of hooks on gradients: one hook of libgrad's
/// in each of LibTorch's places for them runs a list of callables, which can be
/// removed again.
///
/// Relies on (covered by tests/cpp/memory/test_gradient_hooks.cpp):
/// - _register_hook keeps its argument as it is, in cpp_hooks_list_ of the
///   tensor's AutogradMeta;
/// - a node keeps its hooks in pre_hooks() and post_hooks();
/// - AccumulateGrad calls the one hook in post_acc_grad_hooks(). Torch's Python
///   puts its own hook there when its first one is registered.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace libgrad {

namespace detail {

/// A list of hooks. Threads may add, remove and run them at the same time.
template <class Signature>
class HookList {
 public:
  using Hook = std::function<Signature>;

  uint64_t add(Hook hook) {
    const std::lock_guard<std::mutex> lock(mutex_);
    hooks_.emplace_back(++last_, std::make_shared<const Hook>(std::move(hook)));
    return last_;
  }

  void remove(uint64_t number) {
    std::shared_ptr<const Hook> hook;  // destroyed without the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = hooks_.begin(); it != hooks_.end(); ++it) {
      if (it->first == number) {
        hook = std::move(it->second);
        hooks_.erase(it);
        return;
      }
    }
  }

  /// The current hooks, in the order in which they were added.
  std::vector<std::shared_ptr<const Hook>> now() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::shared_ptr<const Hook>> result;
    result.reserve(hooks_.size());
    for (const auto& [number, hook] : hooks_) {
      result.push_back(hook);
    }
    return result;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t last_ = 0;
  std::vector<std::pair<uint64_t, std::shared_ptr<const Hook>>> hooks_;
};

}  // namespace detail

/// Removes hooks. They stay when the handle is destroyed.
class RemovableHandle {
 public:
  RemovableHandle() = default;

  template <class Signature>
  RemovableHandle(
      const std::shared_ptr<detail::HookList<Signature>>& list,
      uint64_t number) {
    removes_.push_back([list = std::weak_ptr(list), number] {
      if (const auto hooks = list.lock()) {
        hooks->remove(number);
      }
    });
  }

  /// May be called more than once, and when the tensor or node is gone.
  void remove() {
    for (const auto& remove : std::exchange(removes_, {})) {
      remove();
    }
  }

  /// Takes over the hooks that `other` removes.
  void add(RemovableHandle other) {
    for (auto& remove : other.removes_) {
      removes_.push_back(std::move(remove));
    }
  }

 private:
  std::vector<std::function<void()>> removes_;
};

}  // namespace libgrad

namespace libgrad::detail {

using torch::autograd::variable_list;

using TensorHooks = HookList<at::Tensor(const at::Tensor&)>;
using PreHooks = HookList<variable_list(const variable_list&)>;
using PostHooks =
    HookList<variable_list(const variable_list&, const variable_list&)>;
using LeafHooks = HookList<void(const at::Tensor&)>;

/// `hook` as a callable that returns a Result; an empty one if `hook` returns
/// nothing.
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

/// Runs the hooks of a tensor. Each takes the gradient that the ones before it
/// left.
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

/// Runs the hooks of a leaf, after the hook that was there before.
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
