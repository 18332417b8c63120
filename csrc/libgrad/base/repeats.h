/// libgrad/base/repeats.h -- finds repeats in a sequence of labels.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Mixes `value` into a label.
inline void mix(uint64_t& label, uint64_t value) {
  label ^= value + 0x9E3779B97F4A7C15ULL + (label << 6U) + (label >> 2U);
  label *= 0xFF51AFD7ED558CCDULL;
  label ^= label >> 32U;
}

/// `count` consecutive copies of the `length` items from `first` on.
struct Repeat {
  size_t first = 0;
  size_t length = 0;
  size_t count = 0;

  size_t end() const { return first + length * count; }
  size_t saved() const { return length * (count - 1); }
};

/// Distances between a window of labels and its previous occurrence: at most
/// `most` of them, those that cover the most items first.
inline std::vector<size_t> likely_periods(
    std::span<const uint64_t> labels, size_t most) {
  std::map<size_t, size_t> times;
  for (const size_t window : {1, 2, 4, 8}) {
    std::unordered_map<uint64_t, size_t> last;
    for (size_t i = 0; i + window <= labels.size(); ++i) {
      uint64_t key = window;
      for (size_t j = 0; j < window; ++j) {
        mix(key, labels[i + j]);
      }
      const auto [found, first] = last.try_emplace(key, i);
      if (!first) {
        ++times[i - std::exchange(found->second, i)];
      }
    }
  }
  std::vector<std::pair<size_t, size_t>> order;
  for (const auto& [period, count] : times) {
    order.emplace_back(count * period, period);
  }
  std::ranges::sort(order, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::vector<size_t> periods;
  for (size_t i = 0; i < std::min(most, order.size()); ++i) {
    periods.push_back(order[i].second);
  }
  return periods;
}

/// Adds to `found` the repeats of length `period`: stretches in which each
/// label equals the label `period` places before it.
inline void find_repeats(
    std::span<const uint64_t> labels,
    size_t period,
    std::vector<Repeat>& found) {
  size_t run = 0;  // labels so far that equal the one `period` before
  for (size_t i = period; i <= labels.size(); ++i) {
    if (i < labels.size() && labels[i] == labels[i - period]) {
      ++run;
      continue;
    }
    if (run >= period) {
      found.push_back({i - run - period, period, run / period + 1});
    }
    run = 0;
  }
}

/// Repeats that do not overlap, in the order of the sequence, chosen greedily
/// to leave few items (not always the fewest). Each saves at least `least`
/// items.
inline std::vector<Repeat> repeats(
    std::span<const uint64_t> labels, size_t least) {
  std::vector<Repeat> found;
  for (const size_t period : likely_periods(labels, 24)) {
    find_repeats(labels, period, found);
  }
  std::ranges::sort(found, [](const Repeat& a, const Repeat& b) {
    return a.saved() != b.saved() ? a.saved() > b.saved()
           : a.length != b.length ? a.length < b.length
                                  : a.first < b.first;
  });
  std::map<size_t, Repeat> chosen;  // by their first item
  for (Repeat repeat : found) {
    auto next = chosen.lower_bound(repeat.first);
    if (next != chosen.begin()) {
      const size_t busy = std::prev(next)->second.end();
      const size_t end = repeat.end();
      repeat.first = std::max(repeat.first, busy);
      repeat.count =
          end > repeat.first ? (end - repeat.first) / repeat.length : 0;
      next = chosen.lower_bound(repeat.first);
    }
    if (next != chosen.end() && next->first < repeat.end()) {
      repeat.count = (next->first - repeat.first) / repeat.length;
    }
    if (repeat.count > 1 && repeat.saved() >= least) {
      chosen.emplace(repeat.first, repeat);
    }
  }
  std::vector<Repeat> result;
  for (const auto& [first, repeat] : chosen) {
    result.push_back(repeat);
  }
  return result;
}

}  // namespace libgrad::detail
