/// libgrad/base/place.h -- a line of source.

#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace libgrad::detail {

/// A line of source, or a key by which `describe` finds the line.
struct Place {
  const void* key = nullptr;  // the file's name, or a key for `describe`
  int32_t at = 0;             // the line, or a number for `describe`
  /// Returns file and line; null when `key` and `at` are the file and the line.
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
