/// libgrad/torch/autograd/kept_by_ddp.h -- who keeps a leaf's node alive.
///
/// Relies on (covered by tests/graph/test_unused_ddp.py): the reducer of
/// DistributedDataParallel adds a LambdaPostHook to the node of each parameter,
/// and keeps the node twice.

#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/utils/lambda_post_hook.h>
#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

/// True when something keeps the AccumulateGrad of `leaf` alive, other than
/// DistributedDataParallel: another graph, for one.
inline bool accumulator_is_kept(const at::Tensor& leaf) {
  const auto node = torch::autograd::impl::try_get_grad_accumulator(leaf);
  if (!node) {
    return false;
  }
  long keepers = static_cast<long>(node.use_count()) - 1;  // without this one
  for (const auto& hook : node->post_hooks()) {
    using Hook = torch::autograd::utils::LambdaPostHook;
    keepers -= dynamic_cast<const Hook*>(hook.get()) ? 2 : 0;
  }
  return keepers > 0;
}

}  // namespace libgrad::detail
