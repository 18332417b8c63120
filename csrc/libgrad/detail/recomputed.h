/// libgrad/detail/recomputed.h -- what was computed again, until it is used.
///
/// Relies on (covered by tests/cpp/memory/test_checkpoint.cpp and
/// tests/memory/test_checkpoint.py):
/// - the engine numbers its calls, and tells the number in each of its threads;
/// - torch.utils.checkpoint.GraphExecGroup puts itself into AutogradState,
///   which those threads share.

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/AutogradState.h>
#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The backward that this thread works for: a call of the engine, or all those
/// of a GraphExecGroup.
class BackwardId {
 public:
  static BackwardId now() {
    BackwardId backward;
    backward.group_ = group_of(c10::AutogradState::get_tls_state());
    if (!backward.group_) {
      backward.task_ = torch::autograd::get_current_graph_task_id();
    }
    return backward;
  }

  /// False outside of any.
  explicit operator bool() const { return group_ || task_ != -1; }
  bool is_group() const { return group_.has_value(); }

  bool operator==(const BackwardId& other) const {
    return task_ == other.task_ && address() == other.address();
  }

 private:
  template <class State>  // torch 2.11 may have no groups
  static std::optional<c10::SafePyObject> group_of(const State& state) {
    if constexpr (requires { state.get_graph_exec_group(); }) {
      return state.get_graph_exec_group();
    }
    return std::nullopt;
  }

  PyObject* address() const {
    return group_ ? group_->ptr(&group_->pyinterpreter()) : nullptr;
  }

  std::optional<c10::SafePyObject> group_;  // kept: no other has its address
  int task_ = -1;
};

/// Tensors that threads computed again, each for the backward that it works
/// for, so that none waits for another while that runs anybody's code.
class Recomputed {
 public:
  /// Tensor `number`, which nobody has any more then: undefined when it was
  /// taken before, nothing when this thread has not computed it.
  std::optional<at::Tensor> take(const BackwardId& backward, size_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& one : all_) {
      if (one.thread == std::this_thread::get_id() &&
          one.backward == backward && number < one.tensors.size()) {
        return std::exchange(one.tensors[number], {});
      }
    }
    return std::nullopt;
  }

  /// What this thread has computed; true when it is the first time in this
  /// backward.
  bool put(const BackwardId& backward, std::vector<at::Tensor> tensors) {
    const auto thread = std::this_thread::get_id();
    One gone{thread, backward, std::move(tensors)};  // goes without the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t mine = 0;
    for (auto& one : all_) {
      if (one.thread == thread && one.backward == backward) {
        std::swap(one, gone);
        return false;
      }
      mine += one.thread == thread && !one.backward.is_group();
    }
    all_.push_back(std::exchange(gone, {}));
    if (mine == kMost) {  // those of backwards that failed
      const auto oldest =
          std::find_if(all_.begin(), all_.end(), [thread](const One& one) {
            return one.thread == thread && !one.backward.is_group();
          });
      gone = std::move(*oldest);
      all_.erase(oldest);
    }
    return true;
  }

  void forget(const BackwardId& backward, std::thread::id thread) {
    One gone;  // goes when no lock is held
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found =
        std::find_if(all_.begin(), all_.end(), [&](const One& one) {
          return one.thread == thread && one.backward == backward;
        });
    if (found != all_.end()) {
      gone = std::move(*found);
      all_.erase(found);
    }
  }

 private:
  struct One {
    std::thread::id thread;
    BackwardId backward;
    std::vector<at::Tensor> tensors;  // undefined once they were taken
  };
  static constexpr size_t kMost = 8;  // of backwards inside each other

  std::mutex mutex_;
  std::vector<One> all_;
};

}  // namespace libgrad::detail
