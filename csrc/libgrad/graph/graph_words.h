/// libgrad/graph/graph_words.h -- the kinds in a Graph, in words.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <string_view>

namespace libgrad::detail {

inline std::string_view word_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::kOperator:
      return "operator";
    case NodeKind::kLeaf:
      return "leaf";
    case NodeKind::kView:
      return "view";
    case NodeKind::kFunction:
      return "function";
    case NodeKind::kPython:
      return "python";
    case NodeKind::kCompiled:
      return "compiled";
    default:
      return "other";
  }
}

inline std::string_view word_of(SavedState state) {
  switch (state) {
    case SavedState::kHeld:
      return "held";
    case SavedState::kNone:
      return "none";
    case SavedState::kReleased:
      return "released";
    default:
      return "packed";
  }
}

inline std::string_view word_of(Owner owner) {
  switch (owner) {
    case Owner::kGraph:
      return "graph";
    case Owner::kLeaf:
      return "leaf";
    default:
      return "other";
  }
}

}  // namespace libgrad::detail
