/// libgrad/torch/transforms/vmap.h -- one run of the engine for a batch of
/// seeds.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp):
/// - VmapMode nesting with at::_add_batch_dim and at::_remove_batch_dim, the
///   vmap that torch.autograd.grad(is_grads_batched=True) itself runs on;
/// - a tensor that is mapped over has the dispatch key Batched (isBatchedTensor
///   is not used: functorch's headers do not compile after its header);
/// - functorch's front dispatch key is included while a torch.func transform
///   runs on this thread.

#pragma once

#include <ATen/Functions.h>
#include <ATen/LegacyVmapMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

using torch::autograd::variable_list;

/// True inside torch.func.grad, vmap and their kin.
inline bool functorch_active() {
  const auto included = c10::impl::tls_local_dispatch_key_set().included_;
  return included.has(c10::DispatchKey::FuncTorchDynamicLayerFrontMode) ||
         included.has(c10::DispatchKey::FuncTorchDynamicLayerBackMode);
}

inline bool in_vmap() {
  return at::impl::VmapMode::current_vmap_level() > 0;
}

inline bool is_batched(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->key_set().has(c10::DispatchKey::Batched);
}

/// Throws when one of `tensors` is being mapped over.
inline void check_not_batched(
    const variable_list& tensors, const char* argument) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    TORCH_CHECK(
        !tensors[i].defined() || !is_batched(tensors[i]),
        "grad called inside torch.vmap. We do not support the case where any ",
        argument,
        " are vmapped tensors (",
        argument,
        '[',
        i,
        "] is being vmapped over). Please call grad() outside torch.vmap");
  }
}

/// A level of vmap, for as long as this object lives.
class VmapLevel {
 public:
  explicit VmapLevel(int64_t batch_size) : batch_size_(batch_size) {}
  VmapLevel(const VmapLevel&) = delete;
  VmapLevel& operator=(const VmapLevel&) = delete;
  ~VmapLevel() { at::impl::VmapMode::decrement_nesting(); }

  at::Tensor enter(const at::Tensor& batch) const {
    return at::_add_batch_dim(batch, 0, level_);
  }

  at::Tensor leave(const at::Tensor& result) const {
    return at::_remove_batch_dim(result, level_, batch_size_, 0);
  }

 private:
  int64_t level_ = at::impl::VmapMode::increment_nesting();
  int64_t batch_size_;
};

inline int64_t batch_size(const variable_list& seeds) {
  for (size_t i = 1; i < seeds.size(); ++i) {
    TORCH_CHECK_VALUE(
        seeds[i].size(0) == seeds[0].size(0),
        "grad: Expected all tensors to have the same size in the mapped "
        "dimension, but grad_outputs[0] has ",
        seeds[0].size(0),
        " and grad_outputs[",
        i,
        "] has ",
        seeds[i].size(0));
  }
  return seeds.empty() ? 0 : seeds[0].size(0);
}

/// Calls `run` once with the whole batch of `seeds` as if it were one seed.
template <class Run>
variable_list run_batched(const variable_list& seeds, const Run& run) {
  VmapLevel level(batch_size(seeds));
  variable_list entered;
  entered.reserve(seeds.size());
  for (const auto& seed : seeds) {
    entered.push_back(level.enter(seed));
  }
  auto results = run(entered);
  for (auto& result : results) {
    if (result.defined()) {
      result = level.leave(result);
    }
  }
  return results;
}

}  // namespace libgrad::detail
