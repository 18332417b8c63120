/// libgrad/diff.h -- what changed from one graph to another.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/comparison.h>

namespace libgrad {

/// What changed from `before` to `after`, for example between the graphs of two
/// steps: nodes that were removed or added, and nodes whose inputs or saved
/// tensors differ. Nodes are matched by name (and by module, or by the name of
/// the leaf) in the order of backward, so that the fewest nodes are removed or
/// added.
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
