/// libgrad/doctor/writes.h -- which operator wrote into which memory, and where
/// it was called.

#pragma once

#include <libgrad/record/origins.h>
#include <libgrad/torch/memory/storage.h>
#include <libgrad/torch/memory/tensor_impl.h>

#include <c10/core/TensorImpl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <vector>

namespace libgrad::detail {

/// A write of an operator into a tensor.
struct Write {
  uint64_t number = 0;            // among all writes that were seen, from 1
  const void* counter = nullptr;  // the tensor's version counter
  int64_t before = -1;            // the tensor's version; -1 for none
  int64_t after = -1;
  Span span;                     // of the tensor in its storage
  const char* memory = nullptr;  // begin of the storage
  uint32_t op = 0;               // a number of Origins
  Here where;
  const void* library = nullptr;  // the function of a library that was called
};

/// The most writes that are remembered, of those into memory that still exists.
inline constexpr size_t kRememberedWrites = size_t{1} << 17;

/// The latest writes that were seen in this process. Most go into memory that
/// is soon freed; these are dropped after a few hundred more writes.
class Writes {
 public:
  static Writes& instance() {
    static Writes* const writes = new Writes;  // outlives the interpreter
    return *writes;
  }

  void add(c10::StorageImpl* storage, const Write& write) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (recent_.size() == kRecent) {
      settle();
    }
    recent_.push_back({keep_address(storage), write});
    recent_.back().write.number =
        writes_seen.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  /// The writes into the storage of `tensor`, in the order of time.
  std::vector<Write> of(const c10::TensorImpl& tensor) const {
    const auto* storage = tensor.unsafe_storage().unsafeGetStorageImpl();
    return filtered([&](const Entry& entry) {
      return entry.storage._unsafe_get_target() == storage;
    });
  }

  /// The writes after `number` into the memory that `tensor` spans, also
  /// through other storages of the same memory (DLPack).
  std::vector<Write> into(
      const c10::TensorImpl& tensor, uint64_t number) const {
    const auto* memory =
        begin_of(*tensor.unsafe_storage().unsafeGetStorageImpl());
    const auto span = span_of(tensor);
    return filtered([&](const Entry& entry) {
      const auto away = entry.write.memory - memory;
      return entry.write.number > number &&
             span.meets(
                 Span{
                     entry.write.span.begin + away,
                     entry.write.span.end + away});
    });
  }

  /// Where the memory of `storage` begins.
  static const char* begin_of(const c10::StorageImpl& storage) {
    return static_cast<const char*>(storage.data());
  }

 private:
  struct Entry {
    Kept storage;  // no other storage gets its address
    Write write;
  };

  template <class Filter>
  std::vector<Write> filtered(const Filter& filter) const {
    std::vector<Write> result;
    const auto look = [&](const Entry& entry) {
      if (filter(entry)) {
        result.push_back(entry.write);
      }
    };
    const std::lock_guard<std::mutex> lock(mutex_);
    std::for_each(log_.begin(), log_.end(), look);
    std::for_each(recent_.begin(), recent_.end(), look);
    return result;
  }

  static constexpr size_t kRecent = 256;

  void settle() {
    for (auto& entry : recent_) {
      if (!entry.storage.expired()) {
        log_.push_back(std::move(entry));
      }
    }
    recent_.clear();
    while (log_.size() > kRememberedWrites) {
      log_.pop_front();
    }
  }

  mutable std::mutex mutex_;
  std::vector<Entry> recent_;
  std::deque<Entry> log_;  // older than those in `recent_`
};

}  // namespace libgrad::detail
