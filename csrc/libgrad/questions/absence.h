/// libgrad/questions/absence.h -- why no gradient comes to a tensor that a
/// graph leads not to, as far as the graph shows it.
///
/// Relies on (covered by tests/graph/test_unused.py): a leaf keeps no node
/// alive; its AccumulateGrad lives while a graph leads to it, or as long as
/// somebody else keeps that node.

#pragma once

#include <libgrad/graph/words.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/torch/autograd/node_names.h>

#include <algorithm>
#include <string>

namespace libgrad::detail {

/// A reason in a word or two and in a sentence.
struct Absence {
  std::string_view reason;
  Index node = kNothing;  // that shows it
  std::string text;
};

/// "node 3, MulBackward0, saved it as other, self", and where, for the first
/// of the nodes that saved some of these.
inline std::string saver_words(
    const Graph& graph, const std::vector<Index>& places) {
  const Index id = graph.saved[places[0]].node;
  std::string words = node_words(graph, id) + ", saved a tensor there (";
  bool first = true;
  for (const Index place : places) {
    if (graph.saved[place].node == id) {
      words += (first ? "" : ", ") + field_words(graph.saved[place]);
      first = false;
    }
  }
  return words + ')' + where_words(graph.nodes[id]);
}

/// Why a tensor that can have no gradient, or is not a leaf, gets none.
inline Absence absence_of_other(
    const FoundTensor& found, const at::Tensor& tensor) {
  if (!tensor.requires_grad()) {
    const auto type = tensor.scalar_type();
    return at::isFloatingType(type) || at::isComplexType(type)
               ? Absence{"frozen", kNothing, "requires_grad is False"}
               : Absence{
                     "integer",
                     kNothing,
                     std::string(dtype_word(type)) + " has no gradient"};
  }
  const auto made = node_name(tensor.grad_fn()->name());
  if (found.node == kNothing || found.view) {
    return {
        "not a leaf",
        kNothing,
        "it was computed by " + made + ", which is not in the graph"};
  }
  return {
      "not a leaf",
      found.node,
      "it was computed by " + made + " (node " + std::to_string(found.node) +
          "), and .grad is filled in leaves only (or after retain_grad())"};
}

/// Why a tensor gets no gradient that no edge of the graph leads to.
inline Absence absence_of(
    const Graph& graph, const FoundTensor& found, const at::Tensor& tensor) {
  if (!tensor.requires_grad() || !tensor.is_leaf()) {
    return absence_of_other(found, tensor);
  }
  if (found.sharing != kNothing) {
    return {
        "shares memory",
        found.sharing,
        "it shares memory with " + leaf_words(graph, found.sharing) +
            ", which is in the graph and gets the gradient"};
  }
  if (!found.saved.empty()) {
    return {
        "cut",
        graph.saved[found.saved[0]].node,
        "its values were used without it (detach(), .data, no_grad(), or "
        "before it required grad): " +
            saver_words(graph, found.saved)};
  }
  if (torch::autograd::impl::try_get_grad_accumulator(tensor)) {
    return {
        "elsewhere",
        kNothing,
        "it is not in this graph, but its AccumulateGrad is alive: another "
        "graph was computed from it, or somebody keeps that node (as "
        "DistributedDataParallel does)"};
  }
  return {"no trace", kNothing, "nothing in the graph shows a use of it"};
}

}  // namespace libgrad::detail
