/// libgrad/detail/functorch.h -- one run of code for a batch of tensors.
///
/// This is the vmap of torch.func, entered from C++. Its batching rules reach
/// further than those of the older vmap in <libgrad/detail/vmap.h>.
///
/// Relies on (covered by tests/cpp/test_internals.cpp):
/// - initAndPushDynamicLayer(Vmap, size, randomness) gives a level, which
///   popDynamicLayerAndDeleteMetadata ends;
/// - makeBatched(t, 0, level) hides the first dimension of `t`, and the
///   BatchedTensorImpl behind a result names value, place and level;
/// - a BatchedTensorImpl may be opened after its level has ended;
/// - Interpreter.h asks of <nlohmann/json.hpp> no more than ours has.

#pragma once

#include <torch/csrc/autograd/variable.h>

#include <ATen/Functions.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/DynamicLayer.h>

#include <cstdint>

namespace libgrad::detail {

/// A level of functorch's vmap, for as long as this object lives. What is
/// random is drawn once for the whole batch, as for one tensor of it.
class FunctorchLevel {
 public:
  explicit FunctorchLevel(int64_t batch_size)
      : level_(
            at::functorch::initAndPushDynamicLayer(
                at::functorch::TransformType::Vmap,
                c10::SymInt(batch_size),
                at::functorch::RandomnessType::Same)) {}
  FunctorchLevel(const FunctorchLevel&) = delete;
  FunctorchLevel& operator=(const FunctorchLevel&) = delete;
  ~FunctorchLevel() { at::functorch::popDynamicLayerAndDeleteMetadata(); }

  /// `batch` as one tensor of it.
  at::Tensor enter(const at::Tensor& batch) const {
    return at::functorch::makeBatched(batch, /*dim=*/0, level_);
  }

 private:
  int64_t level_;
};

/// The batch behind a tensor that a level of `batch_size` has left, its first
/// dimension the batch.
inline at::Tensor unbatched(const at::Tensor& tensor, int64_t batch_size) {
  if (const auto* batched = at::functorch::maybeGetBatchedImpl(tensor)) {
    return batched->bdim() == 0 ? batched->value()
                                : batched->value().movedim(batched->bdim(), 0);
  }
  auto shape = tensor.sizes().vec();
  shape.insert(shape.begin(), batch_size);
  return tensor.expand(shape);
}

/// Calls `run` once for all of `batches`, each of `batch_size` tensors.
template <class Run>
torch::autograd::variable_list run_mapped(
    int64_t batch_size,
    const torch::autograd::variable_list& batches,
    const Run& run) {
  torch::autograd::variable_list results;
  {
    const FunctorchLevel level(batch_size);
    torch::autograd::variable_list entered;
    entered.reserve(batches.size());
    for (const auto& batch : batches) {
      entered.push_back(level.enter(batch));
    }
    results = run(entered);
  }
  for (auto& result : results) {
    if (result.defined()) {
      result = unbatched(result, batch_size);
    }
  }
  return results;
}

}  // namespace libgrad::detail
