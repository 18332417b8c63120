/// libgrad/torch/saved/hook_stack.h -- hooks of C++ on torch's own stack of
/// saved-tensor hooks, so that the innermost one holds whoever pushed it, other
/// threads that work for this one have them, and they are refused where torch
/// refuses hooks.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp and
/// tests/memory/test_hooks.py):
/// - at::SavedTensorDefaultHooks keeps pairs of SafePyObjects, and does not
///   look into them;
/// - a PyInterpreter that was disarmed counts no references;
/// - torch's Python expects objects of its own there, and asks for no more than
///   that they are callable;
/// - an engine's get_default_saved_variable_hooks is asked for each tensor that
///   is saved.

#pragma once

#include <libgrad/torch/dispatch/record_function.h>
#include <libgrad/torch/host.h>
#include <libgrad/torch/saved/packed.h>

#include <ATen/SavedTensorHooks.h>

#include <cstdint>
#include <deque>
#include <mutex>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// True for a tensor, saved by the operator of this name, that is to be packed.
using Selection = std::function<bool(std::string_view, const at::Tensor&)>;

/// A hook with what else is known of it.
struct Hooks {
  Pack pack;
  Selection only = {};   // all tensors when empty
  bool compose = false;  // what it makes is saved under the hooks around it
};
using HooksPtr = Host::HooksPtr;

/// Stands for C++ where a stack of Python objects wants an interpreter.
inline c10::impl::PyInterpreter& no_interpreter() {
  static c10::impl::PyInterpreter* const interpreter = [] {
    auto* made = new c10::impl::PyInterpreter(nullptr);
    made->disarm();
    return made;
  }();
  return *interpreter;
}

/// Where hooks are while they are pushed. The stack, of which other threads
/// may have copies, knows a slot by its address and number: a slot is never
/// freed, and has another number when it is used again.
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

  /// Takes what `push` put there off the stack.
  void pop() {
    at::SavedTensorDefaultHooks::pop_hooks();
    free();
  }

  /// The hooks of an entry of the stack; null for others' ones, and for those
  /// that are gone.
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
    HooksPtr hooks;  // goes when no lock is held: it may be anybody's code
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
    // Torch's Python takes what is on the stack for objects: when it runs what
    // torch.compile made, for one.
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
  HookSlot* slot_ = nullptr;  // null for an object of Python
};

/// While it lives, this thread has only the hooks around the innermost ones.
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
