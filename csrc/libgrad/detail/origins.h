/// libgrad/detail/origins.h -- which call made a node, and where it stands.
///
/// Relies on (covered by tests/cpp/test_record.cpp):
/// - the dispatcher, and Python's Function.apply, announce every call to the
///   callbacks of RecordFunction, which threads of the engine take over from
///   the thread that started it;
/// - sequence_number::peek() is the number that the thread's next node gets;
/// - a node's thread_id() is RecordFunction::currentThreadId() of its maker.

#pragma once

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <c10/util/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A line of source, or what one can be found by.
struct Place {
  const void* key = nullptr;  // a file's name, or what `describe` knows
  int32_t at = 0;             // the line, or what `describe` knows
  /// File and line; null when `key` and `at` are these.
  std::pair<std::string, int32_t> (*describe)(const Place&) = nullptr;
};

/// Where the thread stands, for another language than C++; set by its binding.
/// Called without locks; must not throw.
inline Place (*place_of_caller)() = nullptr;

/// Where this thread stands, as a Scope of <libgrad/record.h> says.
struct Here {
  Place place;
  uint32_t module = 0;  // of Origins::texts
};
inline thread_local Here here;

/// How many nodes of each thread are remembered, at least.
inline constexpr size_t kRemembered = size_t{1} << 22;

/// What was seen of the nodes of this process, by thread and sequence number.
class Origins {
 public:
  struct Entry {
    uint32_t op = 0;  // of `texts`; 0 for a node that nobody saw made
    uint32_t module = 0;
    Place place;
  };

  static Origins& instance() {
    static Origins origins;
    return origins;
  }

  /// A number for `text`, the same for equal ones; 0 for an empty one.
  uint32_t number(std::string_view text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return number_locked(text);
  }

  std::string_view text(uint32_t number) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return texts_[number];
  }

  /// Says that nodes `first` up to `last` of `thread` were made by `op`, those
  /// of which nothing has been said.
  void settle(
      uint64_t thread,
      uint64_t first,
      uint64_t last,
      const char* name,
      const char* overload,
      const Here& where) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Entry entry{op_locked(name, overload), where.module, where.place};
    auto& [base, entries] = threads_[thread];
    if (entries.empty()) {
      base = first;
    }
    first = std::max(first, base);
    if (last > base + entries.size()) {
      if (last - base > 4 * kRemembered) {
        entries.clear();  // numbers were set by hand
        base = first;
      }
      entries.resize(last - base);
    }
    for (auto i = first; i < last; ++i) {
      if (entries[i - base].op == 0) {
        entries[i - base] = entry;
      }
    }
    while (entries.size() > 2 * kRemembered) {
      entries.erase(entries.begin(), entries.begin() + kRemembered);
      base += kRemembered;
    }
  }

  /// What was seen of a node; nothing when it was made unseen.
  std::optional<Entry> find(uint64_t thread, uint64_t sequence_nr) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = threads_.find(thread);
    if (found == threads_.end()) {
      return std::nullopt;
    }
    const auto& [base, entries] = found->second;
    if (sequence_nr < base || sequence_nr - base >= entries.size() ||
        entries[sequence_nr - base].op == 0) {
      return std::nullopt;
    }
    return entries[sequence_nr - base];
  }

  bool empty() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return threads_.empty();
  }

  void clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.clear();
  }

 private:
  struct Thread {
    uint64_t base = 0;  // the sequence number of the first entry
    std::deque<Entry> entries;
  };

  uint32_t number_locked(std::string_view text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) {
      return found->second;
    }
    const std::string_view kept = texts_.emplace_back(text);
    const auto number = static_cast<uint32_t>(texts_.size() - 1);
    numbers_.emplace(kept, number);
    return number;
  }

  /// The number of "name.overload". Names of operators stay where they are,
  /// but for those of operators that are gone: `known` is looked at again.
  uint32_t op_locked(const char* name, const char* overload) {
    const auto place = reinterpret_cast<uintptr_t>(name) / sizeof(void*);
    auto& known = ops_[place % ops_.size()];
    if (known.name != name || known.overload != overload ||
        !is_joined(texts_[known.number], name, overload)) {
      std::string text = name;
      if (*overload != '\0') {
        (text += '.') += overload;
      }
      known = {name, overload, number_locked(text)};
    }
    return known.number;
  }

  static bool is_joined(
      std::string_view text, std::string_view name, std::string_view overload) {
    return overload.empty()
               ? text == name
               : text.size() == name.size() + 1 + overload.size() &&
                     text.starts_with(name) && text.ends_with(overload);
  }

  struct Op {
    const char* name = nullptr;
    const char* overload = nullptr;
    uint32_t number = 0;
  };

  mutable std::mutex mutex_;
  std::deque<std::string> texts_{""};
  std::unordered_map<std::string_view, uint32_t> numbers_{{"", 0}};
  std::unordered_map<uint64_t, Thread> threads_;
  std::array<Op, 256> ops_{};
};

/// Number of the first node that a call can have made.
struct Started : at::ObserverContext {
  explicit Started(uint64_t next) : next(next) {}
  uint64_t next;
};

inline std::unique_ptr<at::ObserverContext> call_starts(
    const at::RecordFunction&) {
  return std::make_unique<Started>(at::sequence_number::peek());
}

/// What a call has made, less what calls inside it have, is its own.
inline void call_ends(
    const at::RecordFunction& call, at::ObserverContext* context) {
  const auto first = static_cast<const Started*>(context)->next;
  const auto last = at::sequence_number::peek();
  const auto thread = at::RecordFunction::currentThreadId();
  if (first >= last || call.threadId() != thread) {
    return;
  }
  Here where = here;
  if (where.place.key == nullptr && place_of_caller != nullptr) {
    where.place = place_of_caller();
  }
  Origins::instance().settle(
      thread, first, last, call.name(), call.overload_name(), where);
}

}  // namespace libgrad::detail
