/// libgrad/torch/autograd/backward_id.h -- the backward that a thread works
/// for.

#pragma once

#include <c10/core/AutogradState.h>
#include <c10/core/SafePyObject.h>
#include <torch/csrc/autograd/graph_task.h>

#include <optional>

namespace libgrad::detail {

/// The backward that this thread works for: one call of the engine, or all
/// calls of a GraphExecGroup.
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

  /// False outside of a backward.
  explicit operator bool() const { return group_ || task_ != -1; }
  bool is_group() const { return group_.has_value(); }

  bool operator==(const BackwardId& other) const {
    return task_ == other.task_ && address() == other.address();
  }

 private:
  template <class State>  // an older torch has no groups
  static std::optional<c10::SafePyObject> group_of(const State& state) {
    if constexpr (requires { state.get_graph_exec_group(); }) {
      return state.get_graph_exec_group();
    }
    return std::nullopt;
  }

  PyObject* address() const {
    return group_ ? group_->ptr(&group_->pyinterpreter()) : nullptr;
  }

  std::optional<c10::SafePyObject> group_;  // kept alive for its address
  int task_ = -1;
};

}  // namespace libgrad::detail
