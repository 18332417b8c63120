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
  /// Selects the tensors to pack: those for which it returns true. `op` is the
  /// operator that saves `tensor`, such as "aten::mul.Tensor". It is empty if
  /// no operator does, as in a Function. Other tensors are saved as if the
  /// hooks were not there.
  std::function<bool(std::string_view op, const at::Tensor& tensor)> only = {};
  /// The outer hooks pack what these hooks return, if it is a tensor or a
  /// std::pair of a tensor and something else.
  bool compose = false;
};

/// A pack hook and its unpack hook.
///
/// `pack` takes a tensor, detached, and returns any value. `unpack` takes that
/// value and returns the tensor. The value lives as long as the graph needs it.
/// Any thread may call both, and several threads may call `unpack` at once.
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
