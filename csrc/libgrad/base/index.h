/// libgrad/base/index.h -- indices into the lists of a Graph.

#pragma once

#include <cstdint>

namespace libgrad {

/// An index into one of the lists of a `Graph`, or `kNothing`.
using Index = uint32_t;
inline constexpr Index kNothing = UINT32_MAX;

/// Consecutive entries of a list of a `Graph`.
struct Slice {
  Index first = 0;
  Index count = 0;
};

}  // namespace libgrad
