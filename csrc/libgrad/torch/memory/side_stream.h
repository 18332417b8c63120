/// libgrad/torch/memory/side_stream.h -- the stream of a device that copies
/// while the current stream computes.
///
/// Relies on (covered by tests/cpp/memory/test_side_stream.cpp):
/// - the deleter of memory from an allocator is its raw_deleter();
/// - an allocator does not reuse memory that is recorded on a stream before
///   that stream has done the work it was given until the memory was freed.

#pragma once

#include <ATen/DeviceAccelerator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <mutex>
#include <optional>
#include <unordered_map>

namespace libgrad::detail {

using Streams = c10::impl::VirtualGuardImpl;

/// True while `stream` is captured into a graph, and where an older torch
/// cannot tell. In both cases the current stream is right for a copy.
template <class Guard>
bool may_be_capturing(const Guard& streams, const c10::Stream& stream) {
  if constexpr (requires { streams.isStreamCapturing(stream); }) {
    return streams.isStreamCapturing(stream);
  } else {
    return true;
  }
}

/// The stream for copies of a device's tensors, one per device in a process;
/// none if the backend has no stream to give.
inline std::optional<c10::Stream> side_stream(c10::Device device) {
  static std::mutex mutex;
  static auto& known =  // never destroyed
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

/// The stream that may copy `tensor` while the current stream goes on. There is
/// none, and the current stream has to copy:
/// - when the tensor is not plain memory of the accelerator's allocator: only
///   that allocator can be told of another stream;
/// - while a graph is captured, since a graph may leave no work behind that no
///   stream waits for.
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

/// Makes `stream` wait for the work that `other` was given so far. The host
/// does not wait.
inline void wait_for(const c10::Stream& other, const c10::Stream& stream) {
  c10::Event event(other.device_type());
  event.record(other);
  event.block(stream);
}

}  // namespace libgrad::detail
