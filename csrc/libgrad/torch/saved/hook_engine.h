/// libgrad/torch/saved/hook_engine.h -- the engine that saved tensors and new
/// nodes ask for hooks, and that lets its errors be explained.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp and
/// tests/memory/test_hooks.py):
/// - set_default_engine_stub replaces the engine that get_default_engine()
///   returns; torch's Python reaches its own engine in another way;
/// - queue_callback is the only non-virtual member of an engine that other code
///   calls, and its state belongs to the thread.

#pragma once

#include <libgrad/torch/autograd/node_hooks.h>
#include <libgrad/torch/saved/hooked_tensor.h>

#include <torch/csrc/autograd/engine.h>

namespace libgrad::detail {

/// Adds an explanation to an error of the engine; set by <libgrad/doctor.h>.
inline void (*explain_error)(
    const torch::autograd::edge_list& roots, c10::Error& error) = nullptr;

/// Forwards to the engine that was the default, and adds hooks of C++ on saved
/// tensors and new nodes.
class HookEngine : public torch::autograd::Engine {
  using Engine = torch::autograd::Engine;
  using GraphTask = torch::autograd::GraphTask;

 public:
  /// Makes a HookEngine the default engine, once.
  static void install() {
    static const bool installed = [] {
      instance_ = new HookEngine(Engine::get_default_engine());
      torch::autograd::set_default_engine_stub(
          []() -> Engine& { return *instance_; });
      return true;
    }();
    (void)installed;
  }

  std::unique_ptr<torch::autograd::SavedVariableHooks>
  get_default_saved_variable_hooks() override {
    if (NoHooks::is_here()) {
      return nullptr;
    }
    const auto& state = at::SavedTensorDefaultHooks::get_tls_state();
    if (state.stack.empty() || state.is_tracing) {
      return engine_.get_default_saved_variable_hooks();
    }
    const auto& entry = state.stack.top();
    if (HookSlot::is_ours(entry)) {
      auto hooks = HookSlot::find(entry);
      return hooks ? std::make_unique<HookedTensor>(std::move(hooks)) : nullptr;
    }
    if (const auto hooks_of_entry = host().hooks_of_entry) {
      if (auto hooks = hooks_of_entry(entry)) {
        return std::make_unique<HookedTensor>(std::move(hooks));
      }
    }
    return engine_.get_default_saved_variable_hooks();
  }

#ifdef LIBGRAD_TORCH_HAS_NODE_HOOKS
  NodeCreationHooks get_node_creation_hooks() override {
    return hooks_on_new_nodes(engine_);
  }
#endif

  torch::autograd::variable_list execute(
      const torch::autograd::edge_list& roots,
      const torch::autograd::variable_list& inputs,
      bool keep_graph,
      bool create_graph,
      bool accumulate_grad,
      const torch::autograd::edge_list& outputs) override {
    try {
      return engine_.execute(
          roots, inputs, keep_graph, create_graph, accumulate_grad, outputs);
    } catch (c10::Error& error) {
      if (explain_error != nullptr) {
        explain_error(roots, error);
      }
      throw;
    }
  }
  c10::intrusive_ptr<at::ivalue::Future> execute_with_graph_task(
      const std::shared_ptr<GraphTask>& task,
      NodePtr root,
      torch::autograd::InputBuffer&& buffer) override {
    return engine_.execute_with_graph_task(
        task, std::move(root), std::move(buffer));
  }
  std::unique_ptr<torch::autograd::AnomalyMetadata> make_anomaly_metadata()
      override {
    return engine_.make_anomaly_metadata();
  }
  void thread_on_exception(
      const std::shared_ptr<GraphTask>& task,
      const NodePtr& node,
      std::exception& error) override {
    engine_.thread_on_exception(task, node, error);
  }
  void thread_init(
      int device,
      const std::shared_ptr<torch::autograd::ReadyQueue>& queue,
      bool count) override {
    engine_.thread_init(device, queue, count);
  }

 private:
  explicit HookEngine(Engine& engine) : engine_(engine) {}

  static inline HookEngine* instance_ = nullptr;  // never destroyed
  Engine& engine_;
};

}  // namespace libgrad::detail
