/// libgrad/base/number_ranges.h -- a set of numbers that mostly follow each
/// other.

#pragma once

#include <cstdint>
#include <iterator>
#include <map>

namespace libgrad::detail {

/// Numbers, as ranges: those of a long run without gaps take one.
class NumberRanges {
 public:
  /// False when `number` is there already.
  bool insert(uint64_t number) {
    auto after = ends_.upper_bound(number);
    auto end = number + 1;
    const bool touches = after != ends_.end() && after->first == end;
    if (after != ends_.begin()) {
      auto& before = std::prev(after)->second;
      if (number < before) {
        return false;
      }
      if (number == before) {
        before = touches ? after->second : end;
        if (touches) {
          ends_.erase(after);
        }
        return true;
      }
    }
    if (touches) {
      end = after->second;
      after = ends_.erase(after);
    }
    ends_.emplace_hint(after, number, end);
    return true;
  }

 private:
  std::map<uint64_t, uint64_t> ends_;  // of each range, by its first number
};

}  // namespace libgrad::detail
