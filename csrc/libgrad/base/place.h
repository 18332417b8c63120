/// libgrad/base/place.h -- a line of source.

#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace libgrad::detail {

/// A line of source, or what one can be found by.
struct Place {
  const void* key = nullptr;  // a file's name, or what `describe` knows
  int32_t at = 0;             // the line, or what `describe` knows
  /// File and line; null when `key` and `at` are these.
  std::pair<std::string, int32_t> (*describe)(const Place&) = nullptr;
};

/// File and line of `place`.
inline std::pair<std::string, int32_t> source_of(const Place& place) {
  return place.describe != nullptr
             ? place.describe(place)
             : std::pair<std::string, int32_t>(
                   static_cast<const char*>(place.key), place.at);
}

}  // namespace libgrad::detail
