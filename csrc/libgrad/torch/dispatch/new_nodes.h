/// libgrad/torch/dispatch/new_nodes.h -- finds new nodes in what operators
/// return, where the engine tells nobody of them.
///
/// Relies on (covered by tests/cpp/memory/test_node_hooks.cpp and
/// tests/memory/test_node_hooks.py):
/// - no kernels but libgrad's are registered for the dispatch key
///   TESTING_ONLY_GenericWrapper, which comes before all keys of autograd and
///   is off until a thread includes it;
/// - threads that work for this one have its included keys and its
///   ThreadLocalPythonObjects, which nobody looks into but by key;
/// - operators of Python's own, such as torch.cond, look for a kernel of each
///   included key; libgrad/_memory/node_hooks.py has them pass this one;
/// - a node's sequence number is above those of all nodes that its thread made
///   before; AccumulateGrad has none of its own.

#pragma once

#include <libgrad/torch/autograd/node_hooks.h>

#ifndef LIBGRAD_TORCH_HAS_NODE_HOOKS

#include <libgrad/base/number_ranges.h>
#include <libgrad/torch/dispatch/shared.h>
#include <libgrad/torch/transforms/wrapped.h>

#include <ATen/SequenceNumber.h>
#include <ATen/ThreadLocalPythonObjects.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <iterator>
#include <unordered_set>

namespace libgrad::detail {

inline constexpr auto kNewNodesKey =
    c10::DispatchKey::TESTING_ONLY_GenericWrapper;
inline constexpr const char* kNewNodesEntry = "libgrad::node_hooks";

/// A hook, and the nodes that it was called with.
class NewNodeHook {
 public:
  NewNodeHook(NodeHook hook, std::shared_ptr<NewNodeHook> outer)
      : outer(std::move(outer)),
        hook_(std::move(hook)) {}

  /// Called before this thread runs an operator whose nodes it shall see.
  void begin(uint64_t thread, uint64_t next_number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.try_emplace(thread, Seen{next_number, {}});
  }

  /// True once for each node that `thread` made since `begin`.
  bool is_new(uint64_t thread, uint64_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& [first, seen] = threads_[thread];
    return number >= first && seen.insert(number);
  }

  void call(const NodePtr& node) const { hook_(node); }

  const std::shared_ptr<NewNodeHook> outer;  // the next outer one, or null
  uintptr_t number = 0;                      // of its entry
  std::atomic<bool> has_ended = false;  // those further in hold it, even so

 private:
  struct Seen {
    uint64_t first = 0;
    NumberRanges numbers;
  };

  NodeHook hook_;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Seen> threads_;
};

/// The hooks of all threads and extensions, by what their threads' entries
/// hold.
struct NewNodeHooks : Numbered<NewNodeHook> {
  std::mutex is_ready_mutex;
  bool is_ready = false;  // the kernel is registered

  static NewNodeHooks* make() { return new NewNodeHooks; }
  static NewNodeHooks& shared() {
    static NewNodeHooks& instance =
        shared_by_extensions<NewNodeHooks, &NewNodeHooks::make>(
            "_new_node_hooks_1");
    return instance;
  }
};

/// The number of this thread's entry; 0 without one.
inline uintptr_t new_nodes_entry() {
  using Entries = at::impl::ThreadLocalPythonObjects;
  if (!Entries::contains(kNewNodesEntry)) {
    return 0;
  }
  // Whatever extension made it: this key is libgrad's alone.
  const auto& entry = Entries::get(kNewNodesEntry);
  return reinterpret_cast<uintptr_t>(entry->ptr(&entry->pyinterpreter()));
}

inline void set_new_nodes_entry(uintptr_t number) {
  at::impl::ThreadLocalPythonObjects::set(
      kNewNodesEntry,
      std::make_shared<c10::SafePyObject>(entry_of_number(number)));
}

/// The nodes that one operator made.
class NodesOfCall {
 public:
  using Stack = torch::jit::Stack;

  /// `arguments` are those of the operator.
  NodesOfCall(
      std::vector<std::shared_ptr<NewNodeHook>> hooks,
      at::ArrayRef<c10::IValue> arguments)
      : hooks_(std::move(hooks)) {
    const auto first = at::sequence_number::peek();
    for (const auto& hook : hooks_) {
      hook->begin(thread_, first);
    }
    if (c10::GradMode::is_enabled()) {
      each_tensor(arguments, [this](const at::Tensor& tensor) {
        if (tensor.is_leaf() && tensor.requires_grad() &&
            !torch::autograd::impl::try_get_grad_accumulator(tensor)) {
          fresh_leaves_.insert(tensor.unsafeGetTensorImpl());
        }
      });
    }
  }

  /// Calls the hooks with the nodes behind `results`.
  void report(at::ArrayRef<c10::IValue> results) {
    each_tensor(results, [this](const at::Tensor& tensor) {
      using namespace torch::autograd::impl;
      const auto* meta = get_autograd_meta(tensor);
      if (meta == nullptr) {
        return;
      }
      if (const auto* view = get_view_autograd_meta(tensor);
          view != nullptr && view->has_bw_view()) {
        visit(tensor_node(view->get_backward_view().base_));
      }
      visit(meta->grad_fn_);
    });
    if (nodes_.empty()) {
      return;
    }
    const auto next = at::sequence_number::peek();
    for (const auto& [node, is_new] : nodes_) {
      for (size_t i = 0; i < hooks_.size(); ++i) {
        if (is_new[i]) {
          hooks_[i]->call(node);
        }
      }
    }
    TORCH_CHECK(
        next == at::sequence_number::peek(),
        "Creating a new autograd node from inside a node creation hook is not "
        "supported. Node creation hooks should only observe the node (e.g. "
        "record it, stash metadata, or register hooks on it)");
  }

 private:
  template <class Use>
  static void each_tensor(at::ArrayRef<c10::IValue> values, const Use& use) {
    for (const auto& value : values) {
      if (value.isTensor()) {
        each_level(value.toTensor(), use);
      } else if (value.isTensorList()) {
        for (const at::Tensor& tensor : value.toTensorList()) {
          each_level(tensor, use);
        }
      }
    }
  }

  /// Uses `tensor`, and what has a graph of its own: its tangent, and the
  /// tensor within one of torch.func.
  template <class Use>
  static void each_level(const at::Tensor& tensor, const Use& use) {
    if (!tensor.defined()) {
      return;
    }
    use(tensor);
    const auto* meta = torch::autograd::impl::get_autograd_meta(tensor);
    if (meta != nullptr && meta->fw_grad_) {
      each_level(meta->fw_grad_->value(/*level=*/0), use);
    }
    each_level(tensor_within(tensor), use);
  }

  /// The node as it is: Tensor::grad_fn may make one for a view.
  static NodePtr tensor_node(const at::Tensor& tensor) {
    const auto* meta = torch::autograd::impl::get_autograd_meta(tensor);
    return meta != nullptr ? meta->grad_fn_ : NodePtr();
  }

  /// Appends the new nodes of the graph behind `root`, inputs first.
  void visit(const NodePtr& root) {
    struct Frame {
      NodePtr node;
      std::vector<bool> is_new;
      size_t next = 0;
    };
    std::vector<Frame> stack;
    const auto enter = [&](const NodePtr& node) {
      if (node == nullptr) {
        return;
      }
      auto is_new = new_to(*node);
      if (std::find(is_new.begin(), is_new.end(), true) != is_new.end()) {
        stack.push_back({node, std::move(is_new)});
      }
    };
    enter(root);
    while (!stack.empty()) {
      auto& top = stack.back();
      if (top.next < top.node->num_outputs()) {
        const auto input = top.node->next_edge(top.next++).function;
        enter(input);
      } else {
        nodes_.emplace_back(std::move(top.node), std::move(top.is_new));
        stack.pop_back();
      }
    }
  }

  /// For each hook, whether it has not been called with `node`.
  std::vector<bool> new_to(const torch::autograd::Node& node) {
    std::vector<bool> result(hooks_.size());
    if (const auto* leaf =
            dynamic_cast<const torch::autograd::AccumulateGrad*>(&node)) {
      const auto fresh =
          fresh_leaves_.erase(leaf->variable.unsafeGetTensorImpl()) != 0;
      result.assign(hooks_.size(), fresh);
    } else if (node.thread_id() == thread_) {
      for (size_t i = 0; i < hooks_.size(); ++i) {
        result[i] = hooks_[i]->is_new(thread_, node.sequence_nr());
      }
    }
    return result;
  }

  const std::vector<std::shared_ptr<NewNodeHook>> hooks_;  // outermost first
  const uint64_t thread_ = at::RecordFunction::currentThreadId();
  std::unordered_set<const c10::TensorImpl*> fresh_leaves_;
  std::vector<std::pair<NodePtr, std::vector<bool>>> nodes_;
};

/// The fallback of kNewNodesKey, which runs before every other kernel.
inline void report_new_nodes(
    const c10::OperatorHandle& op,
    c10::DispatchKeySet keys,
    torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard inside(kNewNodesKey);
  const auto below =
      keys & c10::DispatchKeySet(c10::DispatchKeySet::FULL_AFTER, kNewNodesKey);
  std::vector<std::shared_ptr<NewNodeHook>> hooks;
  for (auto hook = NewNodeHooks::shared().find(new_nodes_entry()); hook;
       hook = hook->outer) {
    if (!hook->has_ended) {
      hooks.insert(hooks.begin(), hook);
    }
  }
  if (hooks.empty()) {
    op.redispatchBoxed(below, stack);
    return;
  }
  const auto last = [&](size_t count) {
    return at::ArrayRef<c10::IValue>(*stack).slice(stack->size() - count);
  };
  const auto arguments = last(op.schema().arguments().size());
  NodesOfCall call(std::move(hooks), arguments);
  if (op.schema().returns().empty()) {  // such as _foreach_mul_
    const auto changed = arguments.vec();
    op.redispatchBoxed(below, stack);
    call.report(changed);
    return;
  }
  op.redispatchBoxed(below, stack);
  call.report(last(op.schema().returns().size()));
}

inline void watch_new_nodes() {
  auto& shared = NewNodeHooks::shared();
  const std::lock_guard<std::mutex> lock(shared.is_ready_mutex);
  if (shared.is_ready) {
    return;
  }
  auto& dispatcher = c10::Dispatcher::singleton();
  TORCH_CHECK(
      !dispatcher.hasBackendFallbackForDispatchKey(kNewNodesKey),
      "NodeCreationHook: before " LIBGRAD_TORCH_WITH_NODE_HOOKS
      " it needs the dispatch key ",
      kNewNodesKey,
      ", which another extension uses");
  static auto& handle =
      *new c10::RegistrationHandleRAII(dispatcher.registerFallback(
          kNewNodesKey,
          c10::KernelFunction::makeFromBoxedFunction<&report_new_nodes>(),
          "libgrad"));
  (void)handle;
  shared.is_ready = true;
}

/// Adds a hook to this thread's. To be destroyed by the thread that made it;
/// hooks that are further in stay.
class NewNodeHookScope {
 public:
  explicit NewNodeHookScope(NodeHook hook) {
    watch_new_nodes();
    auto& hooks = NewNodeHooks::shared();
    hook_ = std::make_shared<NewNodeHook>(
        std::move(hook), hooks.find(new_nodes_entry()));
    hook_->begin(
        at::RecordFunction::currentThreadId(), at::sequence_number::peek());
    hook_->number = hooks.add(hook_);
    set_new_nodes_entry(hook_->number);
    c10::impl::tls_set_dispatch_key_included(kNewNodesKey, true);
  }
  NewNodeHookScope(const NewNodeHookScope&) = delete;
  NewNodeHookScope& operator=(const NewNodeHookScope&) = delete;
  ~NewNodeHookScope() {
    auto& hooks = NewNodeHooks::shared();
    hook_->has_ended = true;
    auto innermost = hooks.find(new_nodes_entry());
    while (innermost && innermost->has_ended) {
      innermost = innermost->outer;
    }
    set_new_nodes_entry(innermost ? innermost->number : 0);
    c10::impl::tls_set_dispatch_key_included(
        kNewNodesKey, innermost != nullptr);
    hooks.remove(hook_->number);
  }

 private:
  std::shared_ptr<NewNodeHook> hook_;
};

using NodeHookScope = NewNodeHookScope;

}  // namespace libgrad::detail

#else

namespace libgrad::detail {
using NodeHookScope = PushedNodeHook;
}

#endif
