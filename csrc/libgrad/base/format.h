/// libgrad/base/format.h -- sizes, counts, shapes and dtypes for a person.

#pragma once

#include <c10/core/ScalarType.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

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

/// "float32", as Python prints it.
inline std::string_view dtype_word(at::ScalarType dtype) {
  switch (dtype) {
#define LIBGRAD_DTYPE(type, word) \
  case at::ScalarType::type:      \
    return word;
    LIBGRAD_DTYPE(Byte, "uint8")
    LIBGRAD_DTYPE(Char, "int8")
    LIBGRAD_DTYPE(Short, "int16")
    LIBGRAD_DTYPE(Int, "int32")
    LIBGRAD_DTYPE(Long, "int64")
    LIBGRAD_DTYPE(Half, "float16")
    LIBGRAD_DTYPE(Float, "float32")
    LIBGRAD_DTYPE(Double, "float64")
    LIBGRAD_DTYPE(ComplexHalf, "complex32")
    LIBGRAD_DTYPE(ComplexFloat, "complex64")
    LIBGRAD_DTYPE(ComplexDouble, "complex128")
    LIBGRAD_DTYPE(Bool, "bool")
    LIBGRAD_DTYPE(BFloat16, "bfloat16")
#undef LIBGRAD_DTYPE
    case at::ScalarType::Undefined:
      return "";
    default:
      return c10::toString(dtype);
  }
}

}  // namespace libgrad::detail
