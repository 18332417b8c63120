/// libgrad/questions/path_count.h -- the number of paths in a graph, which may
/// not fit into 64 bits.

#pragma once

#include <libgrad/graph/words.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

namespace libgrad {

/// A natural number: exact below 2^4096, "more" from there on.
class PathCount {
 public:
  PathCount(uint64_t value = 0) : low_(value) {}

  bool empty() const { return low_ == 0 && high_.empty() && !more_; }

  /// False when the number is known only to be 2^4096 or more.
  bool exact() const { return !more_; }

  PathCount& operator+=(const PathCount& other) {
    uint64_t carry = add(low_, other.low_, 0);
    for (size_t i = 0; i < other.high_.size() || carry != 0; ++i) {
      if (i == high_.size()) {
        high_.push_back(0);
      }
      carry = add(high_[i], i < other.high_.size() ? other.high_[i] : 0, carry);
    }
    more_ |= other.more_ || high_.size() >= kLimbs;
    if (more_) {
      low_ = 0;
      high_.clear();
    }
    return *this;
  }

  friend bool operator==(const PathCount&, const PathCount&) = default;

  /// Hexadecimal digits; those of 2^4096 when not exact.
  std::string hex() const {
    if (more_) {
      return '1' + std::string(kLimbs * 16, '0');
    }
    std::string text;
    for (size_t i = high_.size() + 1; i-- > 0;) {
      std::array<char, 17> digits{};
      std::snprintf(
          digits.data(),
          digits.size(),
          text.empty() ? "%llx" : "%016llx",
          static_cast<unsigned long long>(i == 0 ? low_ : high_[i - 1]));
      text += digits.data();
    }
    return text;
  }

  /// "1,234", "about 1.6e60", "more than 1e1233".
  std::string words() const {
    if (more_) {
      return "more than 1e1233";
    }
    if (high_.empty()) {
      return detail::count_words(low_);
    }
    const auto top = static_cast<double>(high_.back()) +
                     std::ldexp(
                         static_cast<double>(
                             high_.size() > 1 ? high_[high_.size() - 2] : low_),
                         -64);
    const double log10 =
        std::log10(top) +
        64 * static_cast<double>(high_.size()) * std::log10(2.0);
    double exponent = std::floor(log10);
    double digits = std::round(std::pow(10, log10 - exponent) * 10) / 10;
    if (digits >= 10) {
      digits /= 10;
      ++exponent;
    }
    std::array<char, 32> text{};
    std::snprintf(
        text.data(), text.size(), "about %.1fe%.0f", digits, exponent);
    return text.data();
  }

 private:
  static constexpr size_t kLimbs = 64;  // including `low_`

  /// Adds `b` and `carry` to `a`; returns the carry.
  static uint64_t add(uint64_t& a, uint64_t b, uint64_t carry) {
    a += carry;
    const uint64_t first = a < carry ? 1 : 0;
    a += b;
    return first + (a < b ? 1 : 0);
  }

  uint64_t low_;
  std::vector<uint64_t> high_;  // the higher limbs, lowest first
  bool more_ = false;
};

}  // namespace libgrad
