/// libgrad/torch/memory/side_stream.h -- the stream of a device that copies
/// while the current one computes.
///
/// Relies on (covered by tests/cpp/memory/test_side_stream.cpp):
/// - an allocator tells its own memory by raw_deleter(), and does not use again
///   what is recorded on a stream before that one has done what it was given
///   until the memory was freed.

#pragma once

#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <mutex>
#include <optional>
#include <unordered_map>

namespace libgrad::detail {

using Streams = c10::impl::VirtualGuardImpl;

/// True while work of `stream` goes into a graph, and where torch (2.11) may
/// not tell: the current stream is right in both.
template <class Guard>
bool may_be_capturing(const Guard& streams, const c10::Stream& stream) {
  if constexpr (requires { streams.isStreamCapturing(stream); }) {
    return streams.isStreamCapturing(stream);
  } else {
    return true;
  }
}

/// The stream for copies of a device's tensors, one in a process; none where
/// the backend has none to give.
inline std::optional<c10::Stream> side_stream(c10::Device device) {
  static std::mutex mutex;
  static auto& known =  // never let go
      *new std::unordered_map<c10::Device, std::optional<c10::Stream>>;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto [place, is_new] = known.try_emplace(device);
  if (is_new) {
    try {
      place->second = Streams(device.type()).getStreamFromGlobalPool(device);
    } catch (const c10::Error&) {
    }
  }
  return place->second;
}

/// The stream that may copy the tensor while the current one goes on; none
/// where that one has to do it: for a tensor that is not just memory of the
/// accelerator's allocator, which alone can be told of another stream, and for
/// a graph that is captured, which may leave no work that nobody waits for.
inline std::optional<c10::Stream> side_stream(const at::Tensor& tensor) {
  const auto device = tensor.device();
  if (at::getAccelerator() != device.type() || !tensor.has_storage() ||
      tensor.layout() != at::kStrided || tensor.is_nested() ||
      tensor.key_set().has(c10::DispatchKey::Python)) {
    return std::nullopt;
  }
  const auto& storage = tensor.storage();
  const auto deleter = storage.data_ptr().get_deleter();
  const Streams streams(device.type());
  if (deleter == nullptr || storage.allocator() == nullptr ||
      storage.allocator()->raw_deleter() != deleter ||
      may_be_capturing(streams, streams.getStream(device))) {
    return std::nullopt;
  }
  return side_stream(device);
}

/// Makes `stream` wait for what `other` was given until now; the host does not.
inline void wait_for(const c10::Stream& other, const c10::Stream& stream) {
  c10::Event event(other.device_type());
  event.record(other);
  event.block(stream);
}

}  // namespace libgrad::detail
