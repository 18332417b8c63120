/// libgrad/questions/answers.h -- the answers to the questions about a graph,
/// as plain data.

#pragma once

#include <libgrad/base/index.h>
#include <libgrad/questions/path_count.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad {

/// A node that is in both graphs, but differs.
struct ChangedNode {
  Index before = 0;
  Index after = 0;
  std::string what;  // "float32 [2], saved 8 B -> float32 [3], saved 12 B"
};

/// The difference of two graphs: ids of nodes, in the order of backward.
struct GraphDiff {
  std::vector<Index> removed;  // of the first graph
  std::vector<Index> added;    // of the second
  std::vector<ChangedNode> changed;
  int64_t nbytes = 0;  // bytes that the second saved more than the first
  std::string text;    // the whole answer, for a person

  bool empty() const {
    return removed.empty() && added.empty() && changed.empty();
  }
};

/// How a graph uses a tensor.
struct GraphWhy {
  /// Each path as ids of nodes, from the root on; the shortest path first.
  std::vector<std::vector<Index>> paths;
  /// The number of all paths, not only of `paths`; two edges between the same
  /// nodes make two paths.
  PathCount total;
  /// Indices in `Graph::saved` of the tensors that lie in the memory of the
  /// tensor.
  std::vector<Index> saved;
  /// The node that made the tensor, or accumulates into it. `kNothing` when the
  /// graph does not reach that node; `paths` then lead to nodes that saved a
  /// tensor in its memory.
  Index node = kNothing;
  std::string text;  // the whole answer, for a person

  bool empty() const { return paths.empty(); }
};

/// A parameter that gets no gradient.
struct UnusedParam {
  std::string name;
  /// "frozen", "integer", "not a leaf", "shares memory", "cut", "overwritten",
  /// "elsewhere", "module not in graph", "no trace".
  std::string_view reason;
  Index node = kNothing;  // the node that shows the reason
  std::string text;       // a sentence
};

/// A tensor that enters the graph and gets no gradient: mostly data, and
/// detached tensors.
struct GraphEnd {
  Index node = 0;   // the node that took the tensor
  Index saved = 0;  // its index in Graph::saved
  std::string text;
};

/// What unused() found.
struct UnusedParams {
  std::vector<UnusedParam> params;  // in the order given
  std::vector<GraphEnd> ends;       // in the order of backward
  std::string text;                 // the whole answer, for a person

  bool empty() const { return params.empty(); }
};

/// A step of backward: the node that runs, and the memory, in bytes.
struct PlanStep {
  Index node = 0;
  int64_t freed = 0;      // by the graph, once the node has run
  int64_t held = 0;       // what the graph holds after the step
  int64_t gradients = 0;  // waiting gradients and the new `.grad`s
  int64_t peak = 0;       // the most that graph and gradients had meanwhile
};

/// The steps of a backward, and its memory.
struct GraphPlan {
  std::vector<PlanStep> steps;
  int64_t start = 0;  // bytes that only the graph holds when it starts
  int64_t peak = 0;   // the most that graph and gradients have at once
  Index peak_step = 0;
  std::vector<std::string> notes;  // what is not known, and not counted
};

}  // namespace libgrad
