/// libgrad/torch/dispatch/op_watcher.h -- sees every operator of a thread below
/// autograd, and may supply its results.
///
/// Relies on (covered by tests/cpp/memory/test_names.cpp):
/// - no kernels but libgrad's are registered for the dispatch key Fake, which
///   comes after the autograd keys and is off until a thread includes it;
/// - one extension can call an operator that another one defines, so all
///   extensions find the same watchers.

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

  /// Called before an operator. The operator's arguments are the last entries
  /// of `stack`.
  virtual void before(const c10::OperatorHandle& op, const Stack& stack) = 0;
  /// Replaces the arguments on `stack` by results, or returns false.
  virtual bool supply(const c10::OperatorHandle& op, Stack& stack) = 0;
  /// Called after the operator. Its results are the last entries of `stack`.
  virtual void after(const c10::OperatorHandle& op, const Stack& stack) = 0;
  /// Called when the program names `tensor`.
  virtual void named(const at::Tensor& tensor, std::string_view name) = 0;

  /// The next outer watcher of this thread, or null.
  OpWatcher* outer() const { return outer_; }

  /// False in a backward that the program runs while this watcher is pushed:
  /// the engine, not the program, decides which operators run there and in
  /// which order.
  bool is_here() const {
    return task_ == torch::autograd::get_current_graph_task_id();
  }

  /// The innermost watcher of this thread, or null.
  static OpWatcher* top() { return shared().top(); }

 private:
  friend class OpWatcherScope;
  friend class NoWatchers;

  struct Shared {
    OpWatcher*& (*top)();
    std::mutex* mutex;  // guards `is_ready`
    bool is_ready;      // the kernel is registered
  };

  static OpWatcher*& top_here() {
    thread_local OpWatcher* top = nullptr;
    return top;
  }

  /// The state that all extensions share, made by the first one.
  static Shared& shared() {
    static Shared& instance =
        shared_by_extensions<Shared, &make_shared>("_op_watchers_1");
    return instance;
  }

  static Shared* make_shared() {
    return new Shared{&top_here, new std::mutex, false};
  }

  /// The fallback of kWatchKey, which runs before the kernel of every operator.
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

/// While it lives, only watchers that are pushed later see this thread.
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
