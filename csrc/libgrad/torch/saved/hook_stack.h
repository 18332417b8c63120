/// libgrad/torch/saved/hook_stack.h -- hooks of C++ on torch's own stack of
/// saved-tensor hooks.
///
/// The innermost hooks are used, whether C++ or Python pushed them. Threads
/// that work for this one have the same hooks. Hooks are refused where torch
/// refuses its own.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp and
/// tests/memory/test_hooks.py):
/// - at::SavedTensorDefaultHooks keeps pairs of SafePyObjects, and does not
///   look into them;
/// - torch's Python expects Python objects on the stack, and asks only that
///   they are callable;
/// - an engine's get_default_saved_variable_hooks is called for each tensor
///   that is saved.

#pragma once

#include <libgrad/torch/dispatch/no_interpreter.h>
#include <libgrad/torch/dispatch/record_function.h>
#include <libgrad/torch/host.h>
#include <libgrad/torch/saved/packed.h>

#include <ATen/SavedTensorHooks.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// Selects tensors to pack, by the name of the operator that saves and the
/// tensor.
using Selection = std::function<bool(std::string_view, const at::Tensor&)>;

/// A pack hook with its options.
struct Hooks {
  Pack pack;
  Selection only = {};         // all tensors when empty
  bool compose = false;        // the outer hooks pack what it returns
  bool of_checkpoint = false;  // a checkpoint's own, not the program's
};
using HooksPtr = Host::HooksPtr;

/// Holds hooks while they are on the stack. An entry of the stack, which other
/// threads may have copied, refers to a slot by its address and number. A slot
/// is never freed; its number changes when it is reused.
class HookSlot {
 public:
  /// Puts `hooks` on this thread's stack.
  static HookSlot& push(HooksPtr hooks) {
    HookSlot& slot = take();
    {
      const std::lock_guard<std::mutex> lock(slot.mutex_);
      slot.hooks_ = std::move(hooks);
      slot.number_ += 2;  // never null
    }
    at::SavedTensorDefaultHooks::lazy_initialize();
    try {
      at::SavedTensorDefaultHooks::push_hooks(
          {reinterpret_cast<PyObject*>(&slot), &no_interpreter()},
          {reinterpret_cast<PyObject*>(slot.number_), &no_interpreter()});
    } catch (...) {  // hooks are refused here
      slot.free();
      throw;
    }
    return slot;
  }

  /// Takes the hooks off the stack.
  void pop() {
    at::SavedTensorDefaultHooks::pop_hooks();
    free();
  }

  /// The hooks of an entry that `is_ours`; null when they are gone.
  using Entry = Host::StackEntry;
  static HooksPtr find(const Entry& entry) {
    auto& slot =
        *reinterpret_cast<HookSlot*>(entry.first.ptr(&no_interpreter()));
    const auto number =
        reinterpret_cast<uintptr_t>(entry.second.ptr(&no_interpreter()));
    const std::lock_guard<std::mutex> lock(slot.mutex_);
    return slot.number_ == number ? slot.hooks_ : nullptr;
  }
  static bool is_ours(const Entry& entry) {
    return &entry.first.pyinterpreter() == &no_interpreter();
  }

 private:
  static HookSlot& take() {
    auto& [mutex, all, unused] = pool();
    const std::lock_guard<std::mutex> lock(mutex);
    if (unused.empty()) {
      return all.emplace_back();
    }
    HookSlot& slot = *unused.back();
    unused.pop_back();
    return slot;
  }

  void free() {
    HooksPtr hooks;  // destroyed without the lock: runs any code
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      hooks = std::move(hooks_);
      number_ += 2;
    }
    auto& [mutex, all, unused] = pool();
    const std::lock_guard<std::mutex> lock(mutex);
    unused.push_back(this);
  }

  struct Pool {
    std::mutex mutex;
    std::deque<HookSlot> all;
    std::vector<HookSlot*> unused;
  };
  static Pool& pool() {
    static auto* const pool = new Pool;  // outlives the interpreter
    return *pool;
  }

  std::mutex mutex_;
  uintptr_t number_ = 0;
  HooksPtr hooks_;
};

/// Puts hooks on this thread's stack. To be destroyed by the thread that made
/// it, the innermost first.
class PushedHooks {
 public:
  explicit PushedHooks(HooksPtr hooks) {
    const auto make = host().entry_of_hooks;
    if (make == nullptr) {
      slot_ = &HookSlot::push(std::move(hooks));
      return;
    }
    // Torch's Python expects Python objects on the stack, for example when it
    // runs code that torch.compile made.
    auto [pack, unpack] = make(std::move(hooks));
    at::SavedTensorDefaultHooks::lazy_initialize();
    at::SavedTensorDefaultHooks::push_hooks(std::move(pack), std::move(unpack));
  }
  PushedHooks(const PushedHooks&) = delete;
  PushedHooks& operator=(const PushedHooks&) = delete;
  ~PushedHooks() {
    if (slot_ != nullptr) {
      slot_->pop();
    } else {
      at::SavedTensorDefaultHooks::pop_hooks();
    }
  }

 private:
  HookSlot* slot_ = nullptr;  // null for a Python object
};

/// While it lives, the innermost hooks on this thread's stack that `is` accepts
/// are the innermost of all. Changes nothing where there are none.
class HooksUpTo {
 public:
  template <class Is>
  explicit HooksUpTo(const Is& is) {
    const auto& all = at::SavedTensorDefaultHooks::get_tls_state();
    if (all.stack.empty() || is(all.stack.top())) {
      return;
    }
    auto left = all;
    while (!left.stack.empty() && !is(left.stack.top())) {
      left.stack.pop();
    }
    if (!left.stack.empty()) {
      all_ = all;
      at::SavedTensorDefaultHooks::set_tls_state(left);
    }
  }
  HooksUpTo(const HooksUpTo&) = delete;
  HooksUpTo& operator=(const HooksUpTo&) = delete;
  ~HooksUpTo() {
    if (all_) {
      at::SavedTensorDefaultHooks::set_tls_state(*all_);
    }
  }

 private:
  std::optional<at::impl::SavedTensorDefaultHooksTLS> all_;  // if changed
};

/// While it lives, the innermost hooks are off this thread's stack.
class OuterHooks {
 public:
  OuterHooks() : all_(at::SavedTensorDefaultHooks::get_tls_state()) {
    auto outer = all_;
    if (!outer.stack.empty()) {
      outer.stack.pop();
    }
    any_ = !outer.stack.empty();
    at::SavedTensorDefaultHooks::set_tls_state(outer);
  }
  bool any() const { return any_; }
  OuterHooks(const OuterHooks&) = delete;
  OuterHooks& operator=(const OuterHooks&) = delete;
  ~OuterHooks() { at::SavedTensorDefaultHooks::set_tls_state(all_); }

 private:
  at::impl::SavedTensorDefaultHooksTLS all_;
  bool any_ = false;
};

}  // namespace libgrad::detail
