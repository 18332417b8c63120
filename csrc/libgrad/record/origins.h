/// libgrad/record/origins.h -- which call made a node, and where the program
/// made this call.

#pragma once

#include <libgrad/base/place.h>
#include <libgrad/torch/host.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A place in the program: a source line, and a module. A Scope of
/// <libgrad/record.h> sets that of the thread.
struct Here {
  Place place;
  uint32_t module = 0;  // a number of Origins
};
inline thread_local Here here;

/// The place where this thread is: that of its Scope, or else the line that the
/// host (Python) gives.
inline Here where_called(const void** library = nullptr) {
  Here where = here;
  if (where.place.key == nullptr) {
    if (const auto place_of_caller = host().place_of_caller) {
      where.place = place_of_caller(library);
    }
  }
  return where;
}

/// The number of writes seen so far, by <libgrad/doctor/spy.h>.
inline std::atomic<uint64_t> writes_seen = 0;

/// The number of nodes of each thread that are remembered, at least.
inline constexpr size_t kRemembered = size_t{1} << 22;

/// The recorded origins of nodes in this process, by thread and sequence
/// number.
class Origins {
 public:
  /// A call that makes nodes.
  struct Site {
    uint32_t op = 0;  // a number for `text`
    uint32_t module = 0;
    Place place;
  };
  struct Entry : Site {
    uint64_t writes = 0;  // writes seen until the node was made
  };

  static Origins& instance() {
    static Origins* const origins = new Origins;  // outlives the interpreter
    return *origins;
  }

  /// A number for `text`, the same for equal texts; 0 for an empty text.
  uint32_t number(std::string_view text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return number_locked(text);
  }

  std::string_view text(uint32_t number) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return texts_[number];
  }

  /// Records that a call made nodes `first` to before `last` of `thread`,
  /// except those that have a record.
  void settle(
      uint64_t thread,
      uint64_t first,
      uint64_t last,
      const char* name,
      const char* overload,
      const Here& where) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Mark mark{
        site_locked(name, overload, where),
        static_cast<uint32_t>(writes_seen.load(std::memory_order_relaxed))};
    auto& [base, marks] = marks_of(thread);
    if (marks.empty()) {
      base = first;
    }
    first = std::max(first, base);
    if (last > base + marks.size()) {
      if (last - base > 4 * kRemembered) {
        marks.clear();  // someone set the sequence number
        base = first;
      }
      marks.resize(last - base);
    }
    for (auto i = first; i < last; ++i) {
      if (marks[i - base].site == 0) {
        marks[i - base] = mark;
      }
    }
    while (marks.size() > 2 * kRemembered) {
      marks.erase(marks.begin(), marks.begin() + kRemembered);
      base += kRemembered;
    }
  }

  /// The record of a node; nullopt if there is none.
  std::optional<Entry> find(uint64_t thread, uint64_t sequence_nr) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = threads_.find(thread);
    if (found == threads_.end()) {
      return std::nullopt;
    }
    const auto& [base, marks] = found->second;
    if (sequence_nr < base || sequence_nr - base >= marks.size() ||
        marks[sequence_nr - base].site == 0) {
      return std::nullopt;
    }
    const auto& mark = marks[sequence_nr - base];
    const auto now = writes_seen.load(std::memory_order_relaxed);
    return Entry{
        sites_[mark.site], now - (static_cast<uint32_t>(now) - mark.writes)};
  }

  bool empty() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return threads_.empty();
  }

  void clear() {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_.clear();
    recent_thread_ = {};
  }

 private:
  /// The record of a node: its call, and the lower half of the number of writes
  /// that had been seen.
  struct Mark {
    uint32_t site = 0;  // index in `sites_`; 0 for a node without record
    uint32_t writes = 0;
  };
  struct Thread {
    uint64_t base = 0;  // the first mark's sequence number
    std::deque<Mark> marks;
  };
  using SiteKey = std::tuple<uint32_t, uint32_t, const void*, int32_t>;

  uint32_t number_locked(std::string_view text) {
    if (const auto found = numbers_.find(text); found != numbers_.end()) {
      return found->second;
    }
    const std::string_view kept = texts_.emplace_back(text);
    const auto number = static_cast<uint32_t>(texts_.size() - 1);
    numbers_.emplace(kept, number);
    return number;
  }

  Thread& marks_of(uint64_t thread) {
    if (recent_thread_.second == nullptr || recent_thread_.first != thread) {
      recent_thread_ = {thread, &threads_[thread]};  // keeps its address
    }
    return *recent_thread_.second;
  }

  /// The index of the call of "name.overload" from `where`. Names of operators
  /// keep their addresses until an operator is unregistered; so an entry of the
  /// cache must have the same text as well.
  uint32_t site_locked(
      const char* name, const char* overload, const Here& where) {
    const auto hash = reinterpret_cast<uintptr_t>(name) / sizeof(void*) +
                      reinterpret_cast<uintptr_t>(where.place.key) / 64 +
                      static_cast<uintptr_t>(where.place.at) * 7 +
                      where.module * 131;
    auto& recent = recent_sites_[hash % recent_sites_.size()];
    const auto& site = sites_[recent.site];
    if (recent.name != name || recent.overload != overload ||
        site.module != where.module || site.place.key != where.place.key ||
        site.place.at != where.place.at ||
        !is_joined(texts_[site.op], name, overload)) {
      recent = {name, overload, find_site(name, overload, where)};
    }
    return recent.site;
  }

  uint32_t find_site(
      const char* name, const char* overload, const Here& where) {
    std::string text = name;
    if (*overload != '\0') {
      (text += '.') += overload;
    }
    const auto op = number_locked(text);
    const auto [found, is_new] = site_numbers_.emplace(
        SiteKey{op, where.module, where.place.key, where.place.at},
        static_cast<uint32_t>(sites_.size()));
    if (is_new) {
      sites_.push_back({op, where.module, where.place});
    }
    return found->second;
  }

  static bool is_joined(
      std::string_view text, std::string_view name, std::string_view overload) {
    return overload.empty()
               ? text == name
               : text.size() == name.size() + 1 + overload.size() &&
                     text.starts_with(name) && text.ends_with(overload);
  }

  struct RecentSite {
    const char* name = nullptr;
    const char* overload = nullptr;
    uint32_t site = 0;
  };

  mutable std::mutex mutex_;
  std::deque<std::string> texts_{""};
  std::unordered_map<std::string_view, uint32_t> numbers_{{"", 0}};
  std::deque<Site> sites_{{}};
  std::map<SiteKey, uint32_t> site_numbers_;
  std::array<RecentSite, 1024> recent_sites_{};
  std::unordered_map<uint64_t, Thread> threads_;
  std::pair<uint64_t, Thread*> recent_thread_{};
};

}  // namespace libgrad::detail
