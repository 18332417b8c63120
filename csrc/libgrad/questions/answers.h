/// libgrad/questions/answers.h -- what the questions about a graph are answered
/// with.

#pragma once

#include <libgrad/base/index.h>
#include <libgrad/questions/path_count.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad {

/// A node that is in both graphs, and what of it is not the same.
struct ChangedNode {
  Index before = 0;
  Index after = 0;
  std::string what;  // "float32 [8, 4] -> float32 [16, 4], saved 2 -> 3 KiB"
};

/// What changed: ids of nodes in the order in which backward runs them.
struct GraphDiff {
  std::vector<Index> removed;  // of the first graph
  std::vector<Index> added;    // of the second
  std::vector<ChangedNode> changed;
  int64_t nbytes = 0;  // what the second one saved more than the first
  std::string text;    // all of it, for a person

  bool empty() const {
    return removed.empty() && added.empty() && changed.empty();
  }
};

/// How a graph uses a tensor.
struct GraphWhy {
  /// Ids of nodes, the root first; the shortest path first.
  std::vector<std::vector<Index>> paths;
  /// Of all paths, `paths` among them; two edges between the same two nodes
  /// are two.
  PathCount total;
  /// Places in `Graph::saved` of what lies in the tensor's memory.
  std::vector<Index> saved;
  /// That made the tensor, or accumulates into it; `kNothing` when the graph
  /// leads to none such, and the paths to nodes that saved something in its
  /// memory.
  Index node = kNothing;
  std::string text;  // all of it, for a person

  bool empty() const { return paths.empty(); }
};

/// A parameter that gets no gradient.
struct UnusedParam {
  std::string name;
  /// "frozen", "integer", "not a leaf", "shares memory", "cut", "overwritten",
  /// "elsewhere", "module not in graph", "no trace".
  std::string_view reason;
  Index node = kNothing;  // that shows it
  std::string text;       // a sentence
};

/// A tensor that came into the graph and gets no gradient: data, mostly, and
/// what was detached.
struct GraphEnd {
  Index node = 0;   // that took it
  Index saved = 0;  // its place in Graph::saved
  std::string text;
};

/// What unused() found.
struct UnusedParams {
  std::vector<UnusedParam> params;  // in the order given
  std::vector<GraphEnd> ends;       // in the order of backward
  std::string text;                 // all of it, for a person

  bool empty() const { return params.empty(); }
};

/// A node that backward runs, and the memory then, in bytes.
struct PlanStep {
  Index node = 0;
  int64_t freed = 0;      // of what the graph held, once the node has run
  int64_t held = 0;       // what it still holds
  int64_t gradients = 0;  // those on their way, and the new `.grad`s
  int64_t peak = 0;       // the most that both had while the node ran
};

/// What backward will do.
struct GraphPlan {
  std::vector<PlanStep> steps;
  int64_t start = 0;  // bytes that only the graph holds when it starts
  int64_t peak = 0;   // the most that these and the gradients have at once
  Index peak_step = 0;
  std::vector<std::string> notes;  // what was not known, and is not counted
};

}  // namespace libgrad
