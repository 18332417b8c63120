/// libgrad/checkpoint/name_replay.h -- supplies the results that a segment kept
/// by name to its rerun.

#pragma once

#include <libgrad/checkpoint/kept_by_name.h>
#include <libgrad/checkpoint/options.h>
#include <libgrad/torch/dispatch/op_watcher.h>

#include <ATen/core/LegacyTypeDispatch.h>

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Supplies kept results while the function runs again.
///
/// A call is found by its index among the calls of its operator. In the rerun
/// this index may belong to another call: autocast has a weight's cast cached
/// by then, or a mask is made only once. So every supplied result has to be
/// confirmed: the program names it again.
class NameReplay final : public OpWatcher {
 public:
  NameReplay(const KeptByName& kept, const CheckpointOptions& options)
      : kept_(kept),
        options_(options),
        states_(kept.calls.size(), State::kWaiting) {
    for (const auto& tensor : kept.tensors) {
      tensors_.push_back(tensor.saved.unpack());
    }
    for (size_t i = 0; i < kept.calls.size(); ++i) {
      places_[{kept.calls[i].id.op, kept.calls[i].id.number}] = i;
      orders_[kept.calls[i].order] = i;
    }
  }

  /// True when all supplied results were confirmed.
  bool is_settled() const { return waiting_ == 0; }

  void before(const c10::OperatorHandle& op, const Stack& stack) override {
    current_ = counter_.next(op, stack);
  }

  bool supply(const c10::OperatorHandle& op, Stack& stack) override {
    const auto found = places_.find({current_.op, current_.number});
    if (found == places_.end() ||
        kept_.calls[found->second].id.shapes != current_.shapes) {
      return false;
    }
    states_[found->second] = State::kSupplied;
    ++waiting_;
    torch::jit::drop(stack, op.schema().arguments().size());
    for (const auto& result : kept_.calls[found->second].results) {
      stack.push_back(value_of(result));
    }
    return true;
  }

  void after(const c10::OperatorHandle&, const Stack&) override {}

  void named(const at::Tensor& tensor, std::string_view name) override {
    if (!is_kept(options_, name)) {
      return;
    }
    const auto found = orders_.find(order_++);
    if (found == orders_.end() || states_[found->second] != State::kSupplied) {
      return;
    }
    for (const auto& result : kept_.calls[found->second].results) {
      for (const size_t place : result.tensors) {
        if (memory_of(tensors_[place]) == memory_of(tensor) &&
            states_[found->second] == State::kSupplied) {
          states_[found->second] = State::kConfirmed;
          --waiting_;
        }
      }
    }
  }

 private:
  enum class State : uint8_t { kWaiting, kSupplied, kConfirmed };

  c10::IValue value_of(const KeptByName::Result& result) const {
    const at::AutoDispatchBelowADInplaceOrView below;  // as in a kernel
    std::vector<at::Tensor> tensors;
    for (const size_t place : result.tensors) {
      tensors.push_back(tensors_[place].detach());
    }
    return tensors.empty()  ? result.value
           : result.is_list ? c10::IValue(tensors)
                            : c10::IValue(tensors[0]);
  }

  const KeptByName& kept_;
  const CheckpointOptions& options_;
  std::vector<at::Tensor> tensors_;
  std::map<std::pair<const void*, uint32_t>, size_t> places_;
  std::map<uint32_t, size_t> orders_;
  std::vector<State> states_;
  size_t waiting_ = 0;
  uint32_t order_ = 0;
  CallCounter counter_;
  CallId current_;
};

}  // namespace libgrad::detail
