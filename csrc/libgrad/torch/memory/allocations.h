/// libgrad/torch/memory/allocations.h -- counts the bytes that are allocated
/// and freed.
///
/// Relies on (covered by tests/cpp/memory/test_measure_chain.cpp):
/// - the allocators of the CPU and of accelerators report each block to the
///   thread's PROFILER_STATE, which is a MemoryReportingInfoBase;
/// - the engine's threads inherit that state from the thread that started the
///   backward;
/// - an active profiler occupies that place, and would take a MemoryWatch for
///   its own state.

#pragma once

#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

namespace libgrad::detail {

/// Counts the blocks of one device that are allocated while it watches.
class MemoryWatch : public c10::MemoryReportingInfoBase {
 public:
  explicit MemoryWatch(c10::Device device) : device_(device) {}

  void reportMemoryUsage(
      void* block, int64_t bytes, size_t, size_t, c10::Device device) override {
    if (device != device_) {
      return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes > 0) {
      blocks_[block] = bytes;
      now_ += bytes;
      peak_ = std::max(peak_, now_);
    } else if (const auto found = blocks_.find(block); found != blocks_.end()) {
      now_ -= found->second;
      blocks_.erase(found);
    }
  }

  bool memoryProfilingEnabled() const override { return true; }

  int64_t now() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return now_;
  }

  /// Counts from 0 again, without the blocks that are allocated now.
  void start() {
    const std::lock_guard<std::mutex> lock(mutex_);
    blocks_.clear();
    now_ = peak_ = 0;
  }

  /// The peak since `forget_peak`.
  int64_t peak() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }

  void forget_peak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    peak_ = now_;
  }

  /// Size of a block that was allocated since `start` and is not freed.
  std::optional<int64_t> size_of(const void* block) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = blocks_.find(block);
    return found == blocks_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  const c10::Device device_;
  mutable std::mutex mutex_;
  std::unordered_map<const void*, int64_t> blocks_;
  int64_t now_ = 0;
  int64_t peak_ = 0;
};

/// While it lives, `watch` counts what this thread allocates and frees.
class Watching {
 public:
  explicit Watching(std::shared_ptr<MemoryWatch> watch)
      : guard_(c10::DebugInfoKind::PROFILER_STATE, std::move(watch)) {}

  /// True when a profiler is on, which must not be hidden.
  static bool is_taken() {
    return c10::ThreadLocalDebugInfo::get(c10::DebugInfoKind::PROFILER_STATE) !=
           nullptr;
  }

 private:
  c10::DebugInfoGuard guard_;
};

}  // namespace libgrad::detail
