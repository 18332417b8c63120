/// fake_device.h -- an accelerator of two devices in the memory of the host,
/// whose streams can be late: what they are given is done when something waits
/// for it. Memory holds NaN from when it is freed, in the order of the stream
/// that took it, or of one that it was recorded on. So what was not waited for,
/// and what was freed too early, gives wrong numbers.

#pragma once

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace fake {

inline constexpr auto kFake = c10::DeviceType::PrivateUse1;
using Job = std::function<void()>;

/// Which streams are late: none, those that compute, or all others.
enum class Late { kNone, kCompute, kSide };

/// What all streams were given, and what is done of it.
class Machine {
 public:
  static Machine& get() {
    static auto& machine = *new Machine;
    return machine;
  }

  /// Gives a stream something to do.
  void give(const c10::Stream& stream, Job job) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    auto& queue = queues_[stream];
    queue.jobs.push_back(std::move(job));
    ++queue.given;
    const bool computes = stream.id() == 0;
    if (late_ != (computes ? Late::kCompute : Late::kSide)) {
      run(stream, queue.given);
    }
  }

  /// Does what a stream was given, `count` jobs since it began.
  void run(const c10::Stream& stream, int64_t count) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    const at::AutoDispatchBelowADInplaceOrView below;
    auto& queue = queues_[stream];
    while (queue.done < count) {
      const auto job = std::move(queue.jobs.front());
      queue.jobs.pop_front();
      ++queue.done;
      job();
    }
  }

  int64_t given(const c10::Stream& stream) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    return queues_[stream].given;
  }
  int64_t undone(const c10::Stream& stream) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    return queues_[stream].jobs.size();
  }
  void finish(const c10::Stream& stream) { run(stream, given(stream)); }
  void finish() {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    for (auto& [stream, queue] : queues_) {
      run(stream, queue.given);
    }
  }
  void be_late(Late late) {
    finish();
    late_ = late;
  }

  /// Memory that is never given back to the host. Without a stream it is
  /// pinned memory.
  void* allocate(size_t size, std::optional<c10::Stream> stream) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    void* const data = std::malloc(size + 1);
    std::memset(data, 0xFF, size);
    blocks_[data] = {size, stream, {}};
    return data;
  }
  void record(void* data, const c10::Stream& stream) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    const auto block = blocks_.find(data);
    if (block != blocks_.end()) {
      block->second.users.push_back(stream);
    }
  }
  void free(void* data) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    const auto block = blocks_.extract(data).mapped();
    const Job spoil = [=] { std::memset(data, 0xFF, block.size); };
    if (!block.users.empty()) {
      give(block.users.back(), spoil);
    } else if (block.stream) {
      give(*block.stream, spoil);
    } else {
      spoil();
    }
  }
  bool is_pinned(const void* data) {
    const std::lock_guard<std::recursive_mutex> lock(mutex_);
    const auto block = blocks_.find(const_cast<void*>(data));
    return block != blocks_.end() && !block->second.stream;
  }

  std::atomic<int> host_waits = 0;  // of copies
  std::atomic<int> streams = 0;     // taken from the pool
  std::atomic<bool> captures = false;
  std::atomic<bool> fails = false;  // to copy

 private:
  struct Queue {
    std::deque<Job> jobs;
    int64_t given = 0;
    int64_t done = 0;
  };
  struct Block {
    size_t size;
    std::optional<c10::Stream> stream;
    std::vector<c10::Stream> users;
  };
  struct Before {
    bool operator()(const c10::Stream& a, const c10::Stream& b) const {
      return std::pair(a.device_index(), a.id()) <
             std::pair(b.device_index(), b.id());
    }
  };

  std::recursive_mutex mutex_;
  std::map<c10::Stream, Queue, Before> queues_;
  std::map<void*, Block> blocks_;
  Late late_ = Late::kNone;
};

inline c10::Stream stream_of(c10::DeviceIndex device, c10::StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(kFake, device), id);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  struct Event {
    c10::Stream stream;
    int64_t given;
  };
  static inline thread_local c10::DeviceIndex device = 0;
  static inline thread_local std::array<c10::StreamId, 2> streams = {};

  static c10::DeviceIndex index(c10::Device of) {
    return of.has_index() ? of.index() : device;
  }
  c10::DeviceType type() const override { return kFake; }
  c10::Device getDevice() const override { return {kFake, device}; }
  void setDevice(c10::Device to) const override { device = index(to); }
  void uncheckedSetDevice(c10::Device to) const noexcept override {
    device = index(to);
  }
  c10::Device exchangeDevice(c10::Device to) const override {
    return {kFake, std::exchange(device, index(to))};
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 2; }

  c10::Stream getStream(c10::Device of) const override {
    return stream_of(index(of), streams[index(of)]);
  }
  c10::Stream getDefaultStream(c10::Device of) const override {
    return stream_of(index(of), 0);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device of, bool) const override {
    return stream_of(index(of), ++Machine::get().streams);
  }
  c10::Stream exchangeStream(c10::Stream to) const override {
    auto& here = streams[to.device_index()];
    return stream_of(to.device_index(), std::exchange(here, to.id()));
  }
  bool isStreamCapturing(const c10::Stream&) const override {
    return Machine::get().captures;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    Machine::get().finish(stream);
  }
  void recordDataPtrOnStream(
      const c10::DataPtr& data, const c10::Stream& stream) const override {
    Machine::get().record(data.get_context(), stream);
  }

  void record(
      void** event,
      const c10::Stream& stream,
      const c10::DeviceIndex index,
      const c10::EventFlag) const override {
    destroyEvent(*event, index);
    *event = new Event{stream, Machine::get().given(stream)};
  }
  void block(void* event, const c10::Stream& stream) const override {
    Machine::get().give(stream, [event = *static_cast<Event*>(event)] {
      Machine::get().run(event.stream, event.given);
    });
  }
  bool queryEvent(void*) const override { return true; }
  void destroyEvent(
      void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

/// Takes memory of the device, or of the host to pin.
struct Allocator final : c10::Allocator {
  explicit Allocator(bool pins) : pins(pins) {}
  const bool pins;

  static void free(void* data) { Machine::get().free(data); }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* to, const void* from, size_t size) const override {
    default_copy_data(to, from, size);
  }
  c10::DataPtr allocate(size_t size) override {
    const auto device = Guard().getDevice();
    std::optional<c10::Stream> stream;
    if (!pins) {
      stream = Guard().getStream(device);
    }
    void* const data = Machine::get().allocate(size, stream);
    return {data, data, &free, pins ? c10::Device(at::kCPU) : device};
  }
};
inline Allocator device_memory{false};
inline Allocator pinned_memory{true};

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isPinnedPtr(const void* data) const override {
    return Machine::get().is_pinned(data);
  }
  c10::Allocator* getPinnedMemoryAllocator() const override {
    return &pinned_memory;
  }
};

}  // namespace fake
