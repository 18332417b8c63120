/// libgrad/torch/dispatch/op_watcher.h -- sees every operator of a thread below
/// autograd, and may supply its results.
///
/// Relies on (covered by tests/cpp/memory/test_names.cpp):
/// - no kernels but ours are registered for the key Fake, which comes behind
///   those of autograd and is off until a thread includes it;
/// - an operator of one extension can be called by another one: so they find
///   the same watchers.

#pragma once

#include <libgrad/torch/dispatch/shared.h>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/graph_task.h>

#include <mutex>
#include <string_view>
#include <utility>

namespace libgrad::detail {

inline constexpr auto kWatchKey = c10::DispatchKey::Fake;

/// Sees the operators of this thread while it is pushed.
class OpWatcher {
 public:
  using Stack = torch::jit::Stack;

  OpWatcher() = default;
  OpWatcher(const OpWatcher&) = delete;
  OpWatcher& operator=(const OpWatcher&) = delete;
  virtual ~OpWatcher() = default;

  /// In front of an operator, whose arguments are the last ones of `stack`.
  virtual void before(const c10::OperatorHandle& op, const Stack& stack) = 0;
  /// Puts results in the place of the arguments, or returns false.
  virtual bool supply(const c10::OperatorHandle& op, Stack& stack) = 0;
  /// Behind it: its results are there.
  virtual void after(const c10::OperatorHandle& op, const Stack& stack) = 0;
  /// The program calls `tensor` by a name.
  virtual void named(const at::Tensor& tensor, std::string_view name) = 0;

  /// The one around this one.
  OpWatcher* outer() const { return outer_; }

  /// False in a backward that the program runs while this is pushed: what it
  /// does, and in which order, is not the program's.
  bool is_here() const {
    return task_ == torch::autograd::get_current_graph_task_id();
  }

  /// The innermost one of this thread, or null.
  static OpWatcher* top() { return shared().top(); }

 private:
  friend class OpWatcherScope;
  friend class NoWatchers;

  struct Shared {
    OpWatcher*& (*top)();
    std::mutex* mutex;  // of `is_ready`
    bool is_ready;      // the key has its kernel
  };

  static OpWatcher*& top_here() {
    thread_local OpWatcher* top = nullptr;
    return top;
  }

  /// What all extensions share: that of the first one.
  static Shared& shared() {
    static Shared& instance =
        shared_by_extensions<Shared, &make_shared>("_op_watchers_1");
    return instance;
  }

  static Shared* make_shared() {
    return new Shared{&top_here, new std::mutex, false};
  }

  /// Stands in front of every kernel.
  static void kernel(
      const c10::OperatorHandle& op, c10::DispatchKeySet keys, Stack* stack) {
    const c10::impl::ExcludeDispatchKeyGuard inside(kWatchKey);
    OpWatcher* const top = OpWatcher::top();
    bool supplied = false;
    each(top, [&](OpWatcher& watcher) { watcher.before(op, *stack); });
    each(top, [&](OpWatcher& watcher) {
      supplied = supplied || watcher.supply(op, *stack);
    });
    if (!supplied) {
      op.redispatchBoxed(
          keys &
              c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kWatchKey),
          stack);
    }
    each(top, [&](OpWatcher& watcher) { watcher.after(op, *stack); });
  }

  template <class Use>
  static void each(OpWatcher* top, const Use& use) {
    for (auto* watcher = top; watcher != nullptr; watcher = watcher->outer_) {
      if (watcher->is_here()) {
        use(*watcher);
      }
    }
  }

  static void get_ready() {
    auto& shared = OpWatcher::shared();
    const std::lock_guard<std::mutex> lock(*shared.mutex);
    if (shared.is_ready) {
      return;
    }
    auto& dispatcher = c10::Dispatcher::singleton();
    TORCH_CHECK(
        !dispatcher.hasBackendFallbackForDispatchKey(kWatchKey),
        "checkpoint: save and offload need the dispatch key ",
        kWatchKey,
        ", which another extension uses; leave them out");
    static auto& handle =
        *new c10::RegistrationHandleRAII(dispatcher.registerFallback(
            kWatchKey,
            c10::KernelFunction::makeFromBoxedFunction<&kernel>(),
            "libgrad"));
    (void)handle;
    shared.is_ready = true;
  }

  OpWatcher* outer_ = nullptr;
  int task_ = -1;
};

/// While it lives, nobody watches this thread but who comes later.
class NoWatchers {
 public:
  NoWatchers()
      : top_(std::exchange(OpWatcher::shared().top(), nullptr)),
        was_included_(c10::impl::tls_is_dispatch_key_included(kWatchKey)) {
    c10::impl::tls_set_dispatch_key_included(kWatchKey, false);
  }
  NoWatchers(const NoWatchers&) = delete;
  NoWatchers& operator=(const NoWatchers&) = delete;
  ~NoWatchers() {
    OpWatcher::shared().top() = top_;
    c10::impl::tls_set_dispatch_key_included(kWatchKey, was_included_);
  }

 private:
  OpWatcher* top_;
  bool was_included_;
};

/// Pushes a watcher. To be destroyed by the thread that made it, the innermost
/// first.
class OpWatcherScope {
 public:
  explicit OpWatcherScope(OpWatcher& watcher)
      : was_included_(
            (OpWatcher::get_ready(),
             c10::impl::tls_is_dispatch_key_included(kWatchKey))) {
    auto& top = OpWatcher::shared().top();
    watcher.outer_ = top;
    watcher.task_ = torch::autograd::get_current_graph_task_id();
    top = &watcher;
    c10::impl::tls_set_dispatch_key_included(kWatchKey, true);
  }
  OpWatcherScope(const OpWatcherScope&) = delete;
  OpWatcherScope& operator=(const OpWatcherScope&) = delete;
  ~OpWatcherScope() {
    auto& top = OpWatcher::shared().top();
    top = top->outer_;
    c10::impl::tls_set_dispatch_key_included(kWatchKey, was_included_);
  }

 private:
  bool was_included_;
};

}  // namespace libgrad::detail
