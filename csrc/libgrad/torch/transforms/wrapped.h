/// libgrad/torch/transforms/wrapped.h -- tensors that hold another tensor.
///
/// Relies on (covered by tests/memory/test_node_hooks.py): torch.func's
/// transforms and functionalization wrap a tensor for each level; the levels of
/// vmap are counted from 1, and unwrapTensorAtLevel changes no tensor of
/// another.

#pragma once

#include <libgrad/torch/transforms/functorch.h>

#include <ATen/FunctionalTensorWrapper.h>
#include <ATen/functorch/TensorWrapper.h>

namespace libgrad::detail {

/// The tensor within that of a transform of torch.func, one level down;
/// undefined for other tensors.
inline at::Tensor tensor_within(const at::Tensor& tensor) {
  namespace functorch = at::functorch;
  if (const auto* wrapper = functorch::maybeGetTensorWrapper(tensor)) {
    return wrapper->value();
  }
  if (at::functionalization::impl::isFunctionalTensor(tensor)) {
    return at::functionalization::impl::unsafeGetFunctionalWrapper(tensor)
        ->value();
  }
  if (tensor.key_set().has(c10::DispatchKey::FuncTorchBatched)) {
    for (auto level = functorch::getDynamicLayerStack().size(); level > 0;
         --level) {
      const auto& [within, dim] =
          functorch::unwrapTensorAtLevel(tensor, static_cast<int64_t>(level));
      if (!within.is_same(tensor)) {
        return within;
      }
    }
  }
  return {};
}

}  // namespace libgrad::detail
