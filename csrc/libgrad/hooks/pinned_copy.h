/// libgrad/hooks/pinned_copy.h -- copies of an accelerator's tensors into
/// pinned memory of the host, and back, while the accelerator computes.
///
/// Relies on (covered by tests/cpp/memory/test_side_stream.cpp):
/// - the pinned memory of a non-blocking copy is not reused before the current
///   stream has done the copy;
/// - one block of bytes is copied without a copy in between.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/torch/memory/side_stream.h>
#include <libgrad/torch/saved/packed.h>

#include <ATen/Context.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/StreamGuard.h>

namespace libgrad::detail {

/// True where memory of the host can be pinned.
inline bool can_pin() {
  const auto device = at::getAccelerator();
  return device &&
         at::globalContext().getAcceleratorHooksInterface(device).isAvailable();
}

/// What is known of a tensor that was copied to the host.
struct CopiedFrom {
  c10::Device device;
  std::optional<c10::Stream> side;  // that copies; none: the current stream
  c10::VariableVersion counter;     // of the tensor
  int64_t version = -1;             // that is copied; -1 if not counted

  explicit CopiedFrom(const at::Tensor& tensor)
      : device(tensor.device()),
        side(side_stream(tensor)) {
    if (side) {
      counter = tensor.unsafeGetTensorImpl()->version_counter();
      version = counter.enabled() ? int64_t{counter.current_version()} : -1;
    }
  }

  /// Waits until the copy that was just begun is complete.
  void finish() const {
    if (at::getAccelerator() == device.type()) {
      const Streams streams(device.type());
      streams.synchronizeStream(side ? *side : streams.getStream(device));
    }
  }

  /// Throws if the copy may contain what was written to the tensor later.
  void check_version(const at::Tensor& copy) const {
    const bool same = version < 0 || counter.current_version() == version;
    TORCH_CHECK(
        same,
        "a saved tensor (",
        dtype_name(copy.scalar_type()),
        ' ',
        copy.sizes(),
        " on ",
        device,
        ") was changed in place, maybe before it was copied to the host: it is "
        "at version ",
        counter.current_version(),
        "; expected version ",
        version,
        ". Change a clone, or leave pin_memory out, which waits for the copy");
  }
};
using OnHost = std::pair<at::Tensor, CopiedFrom>;
template <>
inline constexpr bool kUnderWay<OnHost> = true;

/// Copies a tensor into memory of the host, pinned where there is an
/// accelerator. The host does not wait, nor does the current stream.
inline OnHost copy_to_pinned(const at::Tensor& tensor) {
  const CopiedFrom from(tensor);
  const bool pinned = can_pin() && !tensor.is_sparse();
  const auto host = tensor.options().device(at::kCPU).pinned_memory(pinned);
  if (!from.side) {
    return {at::empty_like(tensor, host).copy_(tensor, pinned), from};
  }
  const Streams streams(from.device.type());
  wait_for(streams.getStream(from.device), *from.side);
  streams.recordDataPtrOnStream(tensor.storage().data_ptr(), *from.side);
  const c10::StreamGuard guard(*from.side);
  // A tensor that is no block of bytes is cloned on the side stream. Else the
  // host would wait while it is made one.
  const bool is_block = tensor.is_non_overlapping_and_dense() &&
                        !tensor.is_conj() && !tensor.is_neg();
  return {
      at::empty_like(tensor, host)
          .copy_(is_block ? tensor : tensor.clone(), true),
      from};
}

/// Copies the tensor back. May be called by any thread, whose current stream
/// waits for this copy alone.
inline at::Tensor copy_back(const OnHost& packed) {
  const auto& [host, from] = packed;
  from.check_version(host);
  const auto copy = [&] {
    return host.to(from.device, host.scalar_type(), /*non_blocking=*/true);
  };
  if (!from.side) {
    return copy();
  }
  const Streams streams(from.device.type());
  const auto current = streams.getStream(from.device);
  if (may_be_capturing(streams, current)) {
    return copy();  // the device was synchronized before the capture
  }
  const c10::StreamGuard guard(*from.side);
  auto tensor = copy();
  streams.recordDataPtrOnStream(tensor.storage().data_ptr(), current);
  wait_for(*from.side, current);
  return tensor;
}

}  // namespace libgrad::detail
