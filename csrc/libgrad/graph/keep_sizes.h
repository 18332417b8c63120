/// libgrad/graph/keep_sizes.h -- sizes of tensors, in the numbers of a graph.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <c10/core/SymIntArrayRef.h>

namespace libgrad::detail {

/// The sizes as numbers; -1 for one that is a symbol.
inline Slice keep_sizes(Graph& graph, c10::SymIntArrayRef sizes) {
  const Slice slice{
      static_cast<Index>(graph.ints.size()), static_cast<Index>(sizes.size())};
  for (const auto& size : sizes) {
    graph.ints.push_back(size.maybe_as_int().value_or(-1));
  }
  return slice;
}

}  // namespace libgrad::detail
