/// libgrad/torch/dispatch/plain_cpu.h -- tensors that no mode, transform or
/// subclass watches.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp): the dispatch keys
/// of an ordinary CPU tensor, and the thread's included keys where no mode,
/// transform or tracer is on.

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>

namespace libgrad::detail {

inline bool is_subclass(const at::Tensor& tensor) {
  return tensor.unsafeGetTensorImpl()->is_python_dispatch();
}

/// True when only its owner sees that a tensor like `like` is made: `like` is
/// an ordinary CPU tensor, and this thread has no dispatch mode, transform or
/// tracer.
inline bool is_plain_cpu(const at::Tensor& like) {
  constexpr c10::DispatchKeySet ordinary{
      c10::DispatchKey::CPU,
      c10::DispatchKey::AutogradCPU,
      c10::DispatchKey::ADInplaceOrView,
      c10::DispatchKey::AutocastCPU};
  return like.key_set() == ordinary &&
         c10::impl::tls_local_dispatch_key_set().included_ ==
             c10::default_included_set &&
         !c10::impl::TorchDispatchModeTLS::any_modes_set();
}

}  // namespace libgrad::detail
