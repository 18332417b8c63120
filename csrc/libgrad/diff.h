/// libgrad/diff.h -- what changed from one graph to another.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/comparison.h>

namespace libgrad {

/// What changed from `before` to `after`, two graphs such as those of two
/// steps: nodes that went or came, and nodes that take or saved something else.
/// Nodes go together by their names (and modules, and leaves' names) in the
/// order of backward, so that as few as can be went or came.
///
///     libgrad::diff(first_step, second_step).text;
///     // before: 4 nodes, 2 saved tensors, 16 B (16 B exclusive)
///     // after:  5 nodes, 2 saved tensors, 16 B (16 B exclusive)
///     // + AddBackward0  float32 [2]
///
/// Source: E. W. Myers, "An O(ND) difference algorithm and its variations",
/// Algorithmica 1 (1986).
inline GraphDiff diff(const Graph& before, const Graph& after) {
  return detail::GraphComparison(before, after).run();
}

}  // namespace libgrad
