/// libgrad/base/format.h -- sizes, counts, shapes and dtypes for a person.

#pragma once

#include <c10/core/ScalarType.h>
#include <c10/core/SymIntArrayRef.h>
#include <c10/util/StringUtil.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>

namespace libgrad::detail {

/// "1.5 MiB".
inline std::string bytes_words(int64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + " B";
  }
  auto value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.5; ++unit) {
    value /= 1024;
  }
  std::array<char, 32> text{};
  std::snprintf(
      text.data(), text.size(), value < 99.95 ? "%.1f" : "%.0f", value);
  std::string words = text.data();
  if (words.ends_with(".0")) {
    words.resize(words.size() - 2);
  }
  return words + ' ' + units[unit];
}

/// "1,000,000".
inline std::string count_words(uint64_t count) {
  const auto digits = std::to_string(count);
  std::string words;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      words += ',';
    }
    words += digits[i];
  }
  return words;
}

/// "1 node", "1,000 nodes".
inline std::string count_words(uint64_t count, const char* what) {
  return count_words(count) + ' ' + what + (count == 1 ? "" : "s");
}

/// "×12", with commas.
inline std::string times_words(uint64_t count) {
  return "×" + count_words(count);
}

/// "[2, 3]"; an unknown size is "?".
inline std::string shape_words(std::span<const int64_t> shape) {
  std::string words = "[";
  for (const auto size : shape) {
    words += words.size() == 1 ? "" : ", ";
    words += size < 0 ? "?" : std::to_string(size);
  }
  return words + ']';
}

/// "[2, s0]"; a symbolic size is its expression.
inline std::string shape_words(c10::SymIntArrayRef shape) {
  return c10::str(shape);
}

/// "float32", as Python prints it; empty for an unknown dtype.
inline std::string dtype_name(at::ScalarType dtype) {
  return std::string(
      dtype == at::ScalarType::Undefined ? ""
                                         : c10::getDtypeNames(dtype).first);
}

/// "float32 [2, 3]".
template <class Shape>
std::string type_words(at::ScalarType dtype, const Shape& shape) {
  return dtype_name(dtype) + ' ' + shape_words(shape);
}

}  // namespace libgrad::detail
