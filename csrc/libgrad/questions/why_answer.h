/// libgrad/questions/why_answer.h -- finds the paths of a graph that lead to a
/// tensor.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/questions/absence.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/questions/path_text.h>
#include <libgrad/questions/paths.h>

#include <string>
#include <utility>
#include <vector>

namespace libgrad::detail {

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

}  // namespace libgrad::detail
