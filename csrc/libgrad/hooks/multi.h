/// libgrad/hooks/multi.h -- collects the gradients of several tensors in one
/// backward.
///
/// Relies on (covered by tests/cpp/memory/test_gradient_hooks.cpp): the current
/// graph task tells its id, and, in exec_info or nodes_in_graph, which nodes it
/// will run.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <torch/csrc/autograd/graph_task.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace libgrad::detail {

using torch::autograd::variable_list;

/// True when the current backward will run `node`, or was asked for its
/// gradient.
inline bool will_run(torch::autograd::Node* node) {
  const auto* tasks = torch::autograd::get_current_graph_task_exec_info();
  if (tasks == nullptr || tasks->empty()) {
    const auto* nodes =
        torch::autograd::get_current_graph_task_nodes_in_graph();
    return nodes != nullptr && nodes->count(node) != 0;
  }
  const auto found = tasks->find(node);
  return found != tasks->end() && found->second.should_execute();
}

/// In each backward, waits for the gradients of some tensors and calls a hook
/// with them.
class GradientsTogether {
 public:
  using Hook = std::function<void(const variable_list&)>;

  GradientsTogether(const std::vector<at::Tensor>& tensors, bool any, Hook hook)
      : any_(any),
        hook_(std::move(hook)) {
    for (const auto& tensor : tensors) {
      sources_.push_back(
          tensor.is_leaf() ? Source{tensor.unsafeGetTensorImpl(), nullptr}
                           : Source{nullptr, tensor.grad_fn().get()});
    }
  }

  /// Called when the leaf or the node of tensor `i` is gone.
  void forget(size_t i) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sources_[i] = {};
  }

  /// Called with the gradient of tensor `i`.
  void arrive(size_t i, const at::Tensor& gradient) {
    variable_list complete;
    {
      std::vector<variable_list> gone;  // destroyed without the lock
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto [place, is_new] =
          runs_.try_emplace(torch::autograd::get_current_graph_task_id());
      auto& run = place->second;
      if (is_new) {
        start(run, gone);
      }
      if (run.waits == 0) {
        return;  // kAny: the hook has run
      }
      run.gradients[i] = gradient;
      if (--run.waits != 0 && !any_) {
        return;
      }
      complete = std::move(run.gradients);
      if (any_) {
        run.waits = 0;
      } else {
        runs_.erase(place);
      }
    }
    hook_(complete);
  }

 private:
  struct Run {
    size_t waits = 0;
    variable_list gradients;
  };

  /// The leaf or node of a tensor. Not owned: its hooks own this object.
  struct Source {
    c10::TensorImpl* leaf = nullptr;
    torch::autograd::Node* node = nullptr;

    /// The node that takes the gradient. A leaf is put into `looked`, which
    /// must be destroyed without the lock.
    torch::autograd::Node* now(variable_list& looked) const {
      if (leaf == nullptr) {
        return node;
      }
      looked.emplace_back(
          c10::intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl>::
              unsafe_reclaim_from_nonowning(leaf));
      return torch::autograd::impl::try_get_grad_accumulator(looked.back())
          .get();
    }
  };

  void start(Run& run, std::vector<variable_list>& gone) {
    run.gradients.resize(sources_.size());
    auto& looked = gone.emplace_back();
    for (const auto& source : sources_) {
      auto* const node = source.now(looked);
      run.waits += node != nullptr && will_run(node) ? 1 : 0;
    }
    if (runs_.size() > 64) {  // runs that failed, or of kAny
      gone.push_back(std::move(runs_.begin()->second.gradients));
      runs_.erase(runs_.begin());
    }
  }

  std::mutex mutex_;
  std::map<int, Run> runs_;  // by id of the graph task
  std::vector<Source> sources_;
  bool any_;
  Hook hook_;
};

/// Owned by the hook of tensor `i`. It is destroyed with the hook, the tensor
/// or the node, and then lets the whole forget tensor `i`.
class PartOfTogether {
 public:
  PartOfTogether(std::shared_ptr<GradientsTogether> whole, size_t i)
      : whole_(std::move(whole)),
        i_(i) {}
  PartOfTogether(const PartOfTogether&) = delete;
  PartOfTogether& operator=(const PartOfTogether&) = delete;
  ~PartOfTogether() { whole_->forget(i_); }

  void arrive(const at::Tensor& gradient) const {
    whole_->arrive(i_, gradient);
  }

 private:
  std::shared_ptr<GradientsTogether> whole_;
  size_t i_;
};

}  // namespace libgrad::detail
