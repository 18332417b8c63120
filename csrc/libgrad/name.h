/// libgrad/name.h -- names for tensors.

#pragma once

#include <libgrad/torch/autograd/name_tag.h>
#include <libgrad/torch/dispatch/op_watcher.h>

namespace libgrad {

/// Gives `tensor` a name, and returns it. Checkpoints around this call keep the
/// tensor when their `save` or `offload` has the name, and `graph` shows the
/// name.
///
///     auto scores = libgrad::name(q.matmul(k), "attn_scores");
///
/// A tensor has one name, the last one; several tensors may have the same name.
///
/// Throws c10::Error when `tensor` is not defined or `name` is empty.
///
/// Source: jax.ad_checkpoint.checkpoint_name.
inline at::Tensor name(const at::Tensor& tensor, std::string_view name) {
  TORCH_CHECK(tensor.defined(), "name: tensor is not defined");
  TORCH_CHECK(!name.empty(), "name: name must not be empty");
  for (auto* watcher = detail::OpWatcher::top(); watcher != nullptr;
       watcher = watcher->outer()) {
    if (watcher->is_here()) {
      watcher->named(tensor, name);
    }
  }
  torch::autograd::impl::set_name(tensor, std::string(name));
  if (const auto& node = tensor.grad_fn()) {
    detail::NameTag::put(*node, tensor.output_nr(), name);
  }
  return tensor;
}

}  // namespace libgrad
