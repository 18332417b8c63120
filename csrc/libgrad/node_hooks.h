/// libgrad/node_hooks.h -- functions that are called with each node when it is
/// made, and when a backward pass is done.

#pragma once

#include <libgrad/torch/dispatch/new_nodes.h>
#include <libgrad/torch/saved/hook_engine.h>

#include <concepts>
#include <functional>
#include <utility>

namespace libgrad {

/// Calls `hook` with each node that this thread makes while the object lives,
/// and with those of threads that work for it, such as the engine's in a
/// backward that records.
///
///     libgrad::NodeCreationHook guard{[](const auto& node) {
///       std::cout << node->name() << '\n';
///     }};
///     auto y = x * 2;  // AccumulateGrad, when `x` is a leaf; MulBackward0
///
/// The node is complete: it has its edges, its metadata and what it saved. Of
/// nested hooks, Python's among them, the outermost is called first. A node of
/// AccumulateGrad is passed when it is made, not when a graph uses it again.
/// What `hook` throws is thrown by the operator that made the node; so is
/// c10::Error when `hook` makes a node itself. Works in a process without
/// Python, too.
///
/// The engine of an older torch, whose Python has no such hook, tells nobody of
/// new nodes; libgrad looks at what operators return instead. There the node of
/// a Function or of TorchScript is passed when an operator has used what it
/// returned, and not the AccumulateGrad that only it uses.
///
/// To be destroyed by the thread that made it, in any order; but before a hook
/// of torch's Python around it is left.
///
/// Source: torch.autograd.graph.node_creation_hook.
class NodeCreationHook {
 public:
  template <std::invocable<const detail::NodePtr&> Hook>
  explicit NodeCreationHook(Hook hook)
      : scope_((detail::HookEngine::install(), std::move(hook))) {}
  NodeCreationHook(const NodeCreationHook&) = delete;
  NodeCreationHook& operator=(const NodeCreationHook&) = delete;

 private:
  detail::NodeHookScope scope_;
};

/// Calls `callback` when the backward pass that this thread works for is done.
/// Callbacks run in the order in which they were queued; none runs when the
/// pass throws. What `callback` throws is thrown by backward.
///
///     libgrad::register_hook(x, [](const at::Tensor&) {
///       libgrad::queue_callback([] { std::cout << "done\n"; });
///     });
///
/// Throws c10::Error outside of a backward pass.
///
/// Source: torch.autograd.graph.queue_callback.
inline void queue_callback(std::function<void()> callback) {
  TORCH_CHECK_VALUE(callback, "queue_callback: callback is empty");
  TORCH_CHECK(
      torch::autograd::get_current_graph_task_id() != -1,
      "queue_callback: Final callbacks can only be installed during backward "
      "pass; call it from a hook or from a Function's backward");
  torch::autograd::Engine::get_default_engine().queue_callback(
      std::move(callback));
}

}  // namespace libgrad
