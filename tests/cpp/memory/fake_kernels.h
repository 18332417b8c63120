/// fake_kernels.h -- what the operators of the fake device do: what those of
/// the host do with the same memory, when the current stream comes to it.

#pragma once

#include "memory/fake_device.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/stack.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <torch/library.h>
#include <torch/types.h>

namespace fake {

using Stack = torch::jit::Stack;

/// The same memory as a tensor of the host, which does not keep it.
inline at::Tensor on_host(const at::Tensor& tensor) {
  const auto view = at::from_blob(
      tensor.data_ptr(),
      tensor.sizes(),
      tensor.strides(),
      tensor.options().device(at::kCPU).pinned_memory(false));
  view._set_conj(tensor.is_conj());
  return view;
}

inline at::Tensor without_numbers(const at::Tensor& tensor) {
  return at::empty_strided(
      tensor.sizes(), tensor.strides(), tensor.options().device(at::kMeta));
}

/// `values` with those of the device converted.
template <class Convert>
Stack each(Stack values, const Convert& convert) {
  for (auto& value : values) {
    if (value.isTensor() && value.toTensor().device().type() == kFake) {
      value = convert(value.toTensor());
    }
  }
  return values;
}

inline c10::Stream current_stream() {
  return Guard().getStream(Guard().getDevice());
}

/// Results of an operator that writes to its first argument, or to none.
inline Stack results_of(const c10::OperatorHandle& op, const Stack& inputs) {
  if (op.schema().is_mutable()) {
    return {inputs[0]};
  }
  auto shapes = each(inputs, without_numbers);
  op.callBoxed(shapes);
  for (auto& value : shapes) {
    const auto like = value.toTensor();
    value = at::empty_strided(
        like.sizes(), like.strides(), like.options().device(kFake));
  }
  return shapes;
}

inline void run_on_host(const c10::OperatorHandle& op, Stack* stack) {
  const size_t count = op.schema().arguments().size();
  const Stack inputs(stack->end() - count, stack->end());
  torch::jit::drop(*stack, count);
  const auto results = results_of(op, inputs);
  Machine::get().give(
      current_stream(),
      [op, in = each(inputs, on_host), out = each(results, on_host)] {
        auto values = in;
        op.callBoxed(values);
        for (size_t i = 0; !op.schema().is_mutable() && i < out.size(); ++i) {
          out[i].toTensor().copy_(values[i].toTensor());
        }
      });
  stack->insert(stack->end(), results.begin(), results.end());
}

/// As CUDA does: the host does not wait where a block of bytes comes from, or
/// goes to, pinned memory, which is recorded on the stream.
inline at::Tensor copy_from(
    const at::Tensor& from, const at::Tensor& to, bool non_blocking) {
  auto& machine = Machine::get();
  TORCH_CHECK(!machine.fails, "the device is broken");
  const auto stream =
      Guard().getStream(from.is_cpu() ? to.device() : from.device());
  machine.give(
      stream, [from = on_host(from), to = on_host(to)] { to.copy_(from); });
  if (!from.is_cpu() && !to.is_cpu()) {
    return to;
  }
  void* const host = (from.is_cpu() ? from : to).storage().data_ptr().get();
  const bool is_block = from.strides() == to.strides() &&
                        from.is_non_overlapping_and_dense() &&
                        from.is_conj() == to.is_conj();
  if (non_blocking && is_block && machine.is_pinned(host)) {
    machine.record(host, stream);
  } else {
    ++machine.host_waits;
    machine.finish(stream);
  }
  return to;
}

inline at::Tensor empty(
    c10::SymIntArrayRef size,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device> device,
    std::optional<bool>,
    std::optional<at::MemoryFormat> format) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_generic(
      C10_AS_INTARRAYREF_SLOW(size),
      &device_memory,
      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
      c10::dtype_or_default(dtype),
      format);
}

inline at::Tensor empty_strided(
    at::IntArrayRef size,
    at::IntArrayRef stride,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device> device,
    std::optional<bool>) {
  const c10::OptionalDeviceGuard guard(device);
  return at::detail::empty_strided_generic(
      size,
      stride,
      &device_memory,
      c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
      c10::dtype_or_default(dtype));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("_copy_from", copy_from);
  library.impl("as_strided", at::native::as_strided_tensorimpl);
  library.impl("view", at::native::view);
}

TORCH_LIBRARY_IMPL(aten, Conjugate, library) {
  library.impl("_copy_from", torch::CppFunction::makeFallthrough());
}

inline const bool registered = [] {
  c10::register_privateuse1_backend("fake");
  at::RegisterPrivateUse1HooksInterface(new Hooks);
  return true;
}();

}  // namespace fake
