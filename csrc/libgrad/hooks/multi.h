/// libgrad/hooks/multi.h -- gradients of several tensors, as one backward
/// computes them.
///
/// Relies on (covered by tests/cpp/memory/test_gradient_hooks.cpp): the current
/// graph task tells its number, and, in exec_info or nodes_in_graph, which
/// nodes it will run.

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

/// True when the backward that runs will run `node`, or asked for its gradient.
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

/// Waits, in each backward, for the gradients of some tensors.
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

  /// The leaf or the node of tensor `i` is gone.
  void forget(size_t i) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sources_[i] = {};
  }

  /// The gradient of tensor `i` is here.
  void arrive(size_t i, const at::Tensor& gradient) {
    variable_list complete;
    {
      std::vector<variable_list> gone;  // goes when no lock is held
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto [place, is_new] =
          runs_.try_emplace(torch::autograd::get_current_graph_task_id());
      auto& run = place->second;
      if (is_new) {
        start(run, gone);
      }
      if (run.waits == 0) {
        return;  // of any, the first has been here
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

  /// Where a gradient arrives. Not owned, since it owns this by its hooks.
  struct Source {
    c10::TensorImpl* leaf = nullptr;
    torch::autograd::Node* node = nullptr;

    /// The node; a tensor that is looked at is put into `looked`.
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
    if (runs_.size() > 64) {  // of those that failed, and of any: long over
      gone.push_back(std::move(runs_.begin()->second.gradients));
      runs_.erase(runs_.begin());
    }
  }

  std::mutex mutex_;
  std::map<int, Run> runs_;  // by the number of the graph task
  std::vector<Source> sources_;
  bool any_;
  Hook hook_;
};

/// Tells when the hook of tensor `i` is gone, and with it the tensor or node.
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
