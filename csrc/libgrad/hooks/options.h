/// libgrad/hooks/options.h -- a pair of hooks on saved tensors, and how it is
/// used.

#pragma once

#include <libgrad/torch/saved/hook_stack.h>

#include <functional>
#include <memory>
#include <string_view>
#include <utility>

namespace libgrad {

class PackHooks;
struct SavedTensorHooksOptions;

namespace detail {
HooksPtr make_hooks(PackHooks hooks, SavedTensorHooksOptions options);
}

struct SavedTensorHooksOptions {
  /// Which tensors are packed: those for which it returns true. It is told the
  /// operator that saves, "aten::mul.Tensor", empty where none does, such as in
  /// a Function, and the tensor. Others are saved as if the hooks were not
  /// there.
  std::function<bool(std::string_view op, const at::Tensor& tensor)> only = {};
  /// The hooks around these ones pack what these make of a tensor: where it is
  /// a tensor, or a std::pair of one and something.
  bool compose = false;
};

/// A hook that packs a tensor, and the one that unpacks what it made.
///
/// `pack` takes a tensor, detached, and returns anything; `unpack` takes that
/// and returns the tensor. What is returned lives as long as the graph needs
/// it. Both may be called by any thread, `unpack` by several at once.
class PackHooks {
 public:
  template <class Pack, class Unpack>
  PackHooks(Pack pack, Unpack unpack)
      : pack_(detail::join(std::move(pack), std::move(unpack))) {}

 private:
  friend detail::HooksPtr detail::make_hooks(
      PackHooks hooks, SavedTensorHooksOptions options);
  detail::Pack pack_;
};

namespace detail {

inline HooksPtr make_hooks(PackHooks hooks, SavedTensorHooksOptions options) {
  return std::make_shared<const Hooks>(
      Hooks{std::move(hooks.pack_), std::move(options.only), options.compose});
}

}  // namespace detail

}  // namespace libgrad
