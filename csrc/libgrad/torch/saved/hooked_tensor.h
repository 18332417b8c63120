/// libgrad/torch/saved/hooked_tensor.h -- a tensor that was saved under hooks
/// of C++.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp):
/// - a SavedVariable calls its hooks as SavedVariableHooks says, and does not
///   check the version of a packed tensor;
/// - tensor_data() shares the version counter of the tensor.

#pragma once

#include <libgrad/torch/saved/hook_stack.h>

#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/autograd/saved_variable_hooks.h>

#include <optional>

namespace libgrad::detail {

/// While it lives, this thread saves tensors without any hooks.
class NoHooks {
 public:
  NoHooks() : before_(std::exchange(here_, true)) {}
  NoHooks(const NoHooks&) = delete;
  NoHooks& operator=(const NoHooks&) = delete;
  ~NoHooks() { here_ = before_; }
  static bool is_here() { return here_; }

 private:
  static inline thread_local bool here_ = false;
  bool before_;
};

/// One saved tensor, packed by hooks of C++.
class HookedTensor : public torch::autograd::SavedVariableHooks {
 public:
  explicit HookedTensor(HooksPtr hooks) : hooks_(std::move(hooks)) {}
  HookedTensor(const HookedTensor&) = delete;
  HookedTensor& operator=(const HookedTensor&) = delete;

  void call_pack_hook(const at::Tensor& tensor) override {
    // A node that saves its own output would keep itself alive. tensor_data()
    // has no graph, and shares the version counter.
    const auto data = tensor.requires_grad() ? tensor.tensor_data() : tensor;
    const auto hooks = std::move(hooks_);
    if (hooks->only && !hooks->only(current_op.text(), data)) {
      save_under_outer_hooks(data);
      return;
    }
    packed_ = hooks->pack(data);
    const auto made = packed_->take_tensor();
    if (!made.defined()) {
      return;
    }
    if (hooks->compose) {
      save_under_outer_hooks(made);
    } else {
      const NoHooks none;
      saved_.emplace(made.requires_grad() ? made.detach() : made, false);
    }
  }

  at::Tensor call_unpack_hook() override {
    // A SavedVariable checks the version of the tensor that it keeps.
    auto kept = saved_ ? saved_->unpack() : at::Tensor();
    if (!packed_) {
      return kept;
    }
    auto tensor = packed_->unpack(kept);
    TORCH_CHECK(
        tensor.defined(), "saved tensor hooks: unpack returned no tensor");
    return tensor;
  }

  /// The tensor that is kept, or the value that outer hooks made of it; null if
  /// there is none.
  const torch::autograd::SavedVariable* kept() const {
    return saved_ ? &*saved_ : nullptr;
  }

  /// What this tensor and others keep together; null for nothing.
  const Packed::Shared* shared() const {
    return packed_ ? packed_->shared() : nullptr;
  }

 private:
  void save_under_outer_hooks(const at::Tensor& tensor) {
    const OuterHooks outer;
    if (packed_ && outer.any()) {
      packed_->finish();
    }
    saved_.emplace(tensor.requires_grad() ? tensor.detach() : tensor, false);
  }

  HooksPtr hooks_;                  // null once they have packed
  std::unique_ptr<Packed> packed_;  // null for a tensor that is not packed
  std::optional<torch::autograd::SavedVariable> saved_;  // its tensor
};

}  // namespace libgrad::detail
