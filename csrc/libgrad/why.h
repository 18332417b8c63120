/// libgrad/why.h -- why a graph needs a tensor.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/questions/absence.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/questions/path_count.h>
#include <libgrad/questions/path_text.h>
#include <libgrad/questions/paths.h>

#include <string>
#include <utility>
#include <vector>

namespace libgrad {

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

namespace detail {

/// Answers why().
class WhyAnswer {
 public:
  WhyAnswer(const Graph& graph, const at::Tensor& tensor, size_t max_paths)
      : graph_(graph),
        tensor_(tensor),
        max_paths_(max_paths),
        found_(TensorFinder(graph).find(tensor)) {}

  GraphWhy run() {
    why_.saved = found_.saved;
    if (found_.node != kNothing) {
      why_.node = found_.node;
      take(Paths(graph_, found_.node, found_.input));
    }
    if (why_.empty() && !found_.saved.empty()) {
      why_.node = kNothing;
      std::vector<Index> savers;
      for (const Index place : found_.saved) {
        savers.push_back(graph_.saved[place].node);
      }
      take(Paths(graph_, savers));
    }
    if (why_.empty()) {
      say_nothing_uses_it();
    }
    return std::move(why_);
  }

 private:
  void take(const Paths& paths) {
    why_.paths = paths.shortest(max_paths_);
    if (why_.empty()) {
      return;
    }
    why_.total = paths.count();
    const bool one = why_.total == PathCount(1);
    why_.text = why_.total.words() + (one ? " path to " : " paths to ") +
                end_words() + (one ? ", of " : ", the shortest of ") +
                count_words(why_.paths[0].size(), "node") + ':' +
                PathText(graph_, paths, why_.paths[0]).run();
    say_who_saved_it();
  }

  std::string end_words() const {
    if (why_.node == kNothing) {
      return "nodes that saved a tensor in its memory";
    }
    auto words = leaf_words(graph_, why_.node);
    if (found_.input != 0) {
      words += ", output " + std::to_string(found_.input);
    }
    return found_.view ? words + ", which it is a view of" : words;
  }

  /// Lines such as "saved by node 3, MulBackward0 (other, self)".
  void say_who_saved_it() {
    constexpr size_t kMost = 10;
    size_t savers = 0;
    for (size_t i = 0, next = 0; i < why_.saved.size(); i = next) {
      const Index id = graph_.saved[why_.saved[i]].node;
      std::string fields;
      for (next = i; next < why_.saved.size() &&
                     graph_.saved[why_.saved[next]].node == id;
           ++next) {
        fields += (next == i ? "" : ", ") +
                  field_words(graph_.saved[why_.saved[next]]);
      }
      if (++savers <= kMost) {
        why_.text += "\nsaved by " + node_words(graph_, id) + " (" + fields +
                     ')' + where_words(graph_.nodes[id]);
      }
    }
    if (savers > kMost) {
      why_.text += "\nand by " + count_words(savers - kMost, "more node");
    }
  }

  void say_nothing_uses_it() {
    why_.text =
        "the graph does not use this tensor (" + describe(tensor_) + "): ";
    if (why_.node != kNothing) {
      why_.text += "of " + node_words(graph_, why_.node) +
                   ", which made it, only other outputs are used";
    } else {
      why_.text += absence_of(graph_, found_, tensor_).text;
      if (!tensor_.requires_grad() && found_.sharing != kNothing) {
        why_.text +=
            "; it shares memory with " + leaf_words(graph_, found_.sharing);
      }
    }
  }

  const Graph& graph_;
  const at::Tensor& tensor_;
  size_t max_paths_;
  FoundTensor found_;
  GraphWhy why_;
};

}  // namespace detail

/// Why `graph` needs `tensor`: the paths on which gradients come to it, or,
/// when it takes none, on which they come to nodes that saved something in its
/// memory. Only the `max_paths` shortest ones are made; all are counted.
///
///     auto g = libgrad::graph({(x * x).sum()}, {.params = {{"x", x}}});
///     libgrad::why(g, x).text;
///     // 2 paths to 'x' (node 2), the shortest of 3 nodes:
///     //   0   SumBackward0
///     //   1   MulBackward0
///     //   2   AccumulateGrad (x) ×2
///     // saved by node 1, MulBackward0 (other, self)
///
/// A view of what is in the graph counts as that; it is asked only whether the
/// bytes between the first and the last element of two tensors meet, when they
/// lie in the same memory. Throws c10::Error when `tensor` is undefined or
/// `max_paths` is 0.
inline GraphWhy why(
    const Graph& graph, const at::Tensor& tensor, size_t max_paths = 10) {
  TORCH_CHECK(tensor.defined(), "why: the tensor is undefined");
  TORCH_CHECK_VALUE(
      max_paths > 0, "why: max_paths must be at least 1, but is 0");
  return detail::WhyAnswer(graph, tensor, max_paths).run();
}

}  // namespace libgrad
