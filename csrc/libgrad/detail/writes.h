/// libgrad/detail/writes.h -- which operator wrote into which memory, and where
/// it was called.
///
/// Relies on (covered by tests/cpp/doctor/test_doctor.cpp): a VariableVersion
/// is a pointer to the counter that tensors share whose versions move together.

#pragma once

#include <libgrad/detail/identity.h>
#include <libgrad/detail/origins.h>
#include <libgrad/detail/span_of.h>

#include <c10/core/TensorImpl.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <limits>
#include <mutex>
#include <vector>

namespace libgrad::detail {

/// The counter behind the version of `tensor`; null where there is none.
inline const void* counter_of(const c10::TensorImpl& tensor) {
  const auto& version = tensor.version_counter();
  static_assert(sizeof(version) == sizeof(void*));
  const void* counter = nullptr;
  std::memcpy(&counter, &version, sizeof counter);
  return counter;
}

/// An operator wrote into a tensor.
struct Write {
  uint64_t number = 0;            // among all that were seen, from 1
  const void* counter = nullptr;  // of the versions of the tensor
  int64_t before = -1;            // its version; -1 where it has none
  int64_t after = -1;
  Span span;                     // of the storage
  const char* memory = nullptr;  // of the storage, where it begins
  uint32_t op = 0;               // of Origins
  Here where;
  const void* library = nullptr;  // what the user called, in a library
};

/// How many writes are remembered, of those into memory that is still there.
inline constexpr size_t kRememberedWrites = size_t{1} << 17;

/// The writes that were seen in this process, the latest of them. Most are into
/// memory that is soon gone: they are dropped a few hundred later.
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

  /// Those into the storage of `tensor`, in the order of time.
  std::vector<Write> of(const c10::TensorImpl& tensor) const {
    const auto* storage = tensor.unsafe_storage().unsafeGetStorageImpl();
    return filtered([&](const Entry& entry) {
      return entry.storage._unsafe_get_target() == storage;
    });
  }

  /// Those after `number` into the memory that `tensor` spans, also by tensors
  /// that other storages have it in (DLPack).
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
    Kept storage;  // so that its address is not that of another one
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
  std::deque<Entry> log_;  // before those
};

}  // namespace libgrad::detail
