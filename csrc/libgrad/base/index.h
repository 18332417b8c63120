/// libgrad/base/index.h -- places in lists.

#pragma once

#include <cstdint>

namespace libgrad {

/// A place in one of the lists of a `Graph`, or nothing.
using Index = uint32_t;
inline constexpr Index kNothing = UINT32_MAX;

/// Some entries, one after the other, of a list of a `Graph`.
struct Slice {
  Index first = 0;
  Index count = 0;
};

}  // namespace libgrad
