/// libgrad/torch/autograd/node_hooks.h -- functions of C++ that are called with
/// each new node.
///
/// Relies on (covered by tests/cpp/memory/test_node_hooks.cpp and
/// tests/memory/test_node_hooks.py):
/// - where torch has ATen/NodeCreationHooks.h: it keeps a thread's hooks as
///   SafePyObjects and asks the engine that is the default for what calls them,
///   outermost first; threads that work for this one have the same hooks.

#pragma once

#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/dispatch/no_interpreter.h>
#include <libgrad/torch/features.h>

#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#ifdef LIBGRAD_TORCH_HAS_NODE_HOOKS
#include <ATen/NodeCreationHooks.h>
#include <c10/util/ScopeExit.h>

#include <algorithm>
#endif

namespace libgrad::detail {

/// Called with a node when all of it is there: its edges, its metadata, and
/// what it saved.
using NodeHook = std::function<void(const NodePtr&)>;

/// Objects by a number that a thread-local entry can hold, and that other
/// threads may have copied. A number is never used twice.
template <class T>
class Numbered {
 public:
  uintptr_t add(std::shared_ptr<T> object) {
    const std::lock_guard<std::mutex> lock(mutex_);
    objects_.emplace(++last_, std::move(object));
    return last_;
  }
  /// Null when it was removed.
  std::shared_ptr<T> find(uintptr_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = objects_.find(number);
    return found == objects_.end() ? nullptr : found->second;
  }
  void remove(uintptr_t number) {
    std::shared_ptr<T> removed;  // destroyed without the lock: runs any code
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = objects_.find(number); found != objects_.end()) {
      removed = std::move(found->second);
      objects_.erase(found);
    }
  }

 private:
  std::mutex mutex_;
  uintptr_t last_ = 0;
  std::unordered_map<uintptr_t, std::shared_ptr<T>> objects_;
};

#ifdef LIBGRAD_TORCH_HAS_NODE_HOOKS

/// The hooks that are on a thread's stack.
inline Numbered<NodeHook>& node_hooks() {
  static auto* const hooks = new Numbered<NodeHook>;  // outlives the program
  return *hooks;
}

using torch::autograd::NodeCreationHook;
using NodeCreationHooks = std::vector<std::unique_ptr<NodeCreationHook>>;

struct CppNodeHook : NodeCreationHook {
  explicit CppNodeHook(std::shared_ptr<NodeHook> hook)
      : hook(std::move(hook)) {}
  void operator()(const NodePtr& node) override { (*hook)(node); }
  std::shared_ptr<NodeHook> hook;
};

/// This thread's hooks, outermost first: those of C++, and between them the
/// others, which `engine` makes of their entries.
inline NodeCreationHooks hooks_on_new_nodes(torch::autograd::Engine& engine) {
  using Stack = at::impl::NodeCreationHooks;
  const auto all = Stack::get_tls_state();
  auto others = all;
  others.stack.clear();
  for (const auto& entry : all.stack) {
    if (number_of_entry(entry) == 0) {
      others.stack.push_back(entry);
    }
  }
  if (others.stack.size() == all.stack.size()) {
    return engine.get_node_creation_hooks();
  }
  NodeCreationHooks theirs;
  if (!others.stack.empty()) {
    Stack::set_tls_state(others);
    const auto back =
        c10::make_scope_exit([&all] { Stack::set_tls_state(all); });
    theirs = engine.get_node_creation_hooks();
  }
  NodeCreationHooks hooks;
  auto next = theirs.begin();
  for (const auto& entry : all.stack) {
    if (const auto number = number_of_entry(entry); number == 0) {
      if (next != theirs.end()) {  // another extension's may have ended
        hooks.push_back(std::move(*next++));
      }
    } else if (auto hook = node_hooks().find(number)) {
      hooks.push_back(std::make_unique<CppNodeHook>(std::move(hook)));
    }
  }
  return hooks;
}

/// Puts a hook on this thread's stack. To be destroyed by the thread that made
/// it; hooks that are further in stay, as a generator's that is suspended does.
/// The engine that is the default must be a HookEngine.
class PushedNodeHook {
 public:
  explicit PushedNodeHook(NodeHook hook)
      : number_(node_hooks().add(std::make_shared<NodeHook>(std::move(hook)))) {
    at::impl::NodeCreationHooks::push_hook(entry_of_number(number_));
  }
  PushedNodeHook(const PushedNodeHook&) = delete;
  PushedNodeHook& operator=(const PushedNodeHook&) = delete;
  ~PushedNodeHook() {
    take_off();
    node_hooks().remove(number_);
  }

 private:
  void take_off() const {
    using Stack = at::impl::NodeCreationHooks;
    const auto all = Stack::get_tls_state();
    if (!all.stack.empty() && number_of_entry(all.stack.back()) == number_) {
      Stack::pop_hook();
      return;
    }
    auto others = all;
    others.stack.clear();
    for (const auto& entry : all.stack) {
      if (number_of_entry(entry) != number_) {
        others.stack.push_back(entry);
      }
    }
    Stack::set_tls_state(others);
  }

  uintptr_t number_;
};

#endif

}  // namespace libgrad::detail
