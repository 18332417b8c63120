/// libgrad/questions/absence.h -- why a tensor that the graph does not reach
/// gets no gradient, as far as the graph shows it.
///
/// Relies on (covered by tests/graph/test_unused.py): a leaf does not keep its
/// AccumulateGrad alive; that node lives as long as a graph reaches it or
/// somebody else keeps it.

#pragma once

#include <libgrad/graph/words.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/torch/autograd/kept_by_ddp.h>
#include <libgrad/torch/autograd/node_names.h>

#include <algorithm>
#include <string>

namespace libgrad::detail {

/// A reason in a word or two and in a sentence.
struct Absence {
  std::string_view reason;
  Index node = kNothing;  // the node that shows the reason
  std::string text;
};

/// "node 3, MulBackward0, saved a tensor there (other, self)", and where: the
/// first of the nodes that saved the tensors at `places`.
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

/// Why a tensor that does not require grad, or is not a leaf, gets no gradient.
inline Absence absence_of_other(
    const FoundTensor& found, const at::Tensor& tensor) {
  if (!tensor.requires_grad()) {
    const auto type = tensor.scalar_type();
    return at::isFloatingType(type) || at::isComplexType(type)
               ? Absence{"frozen", kNothing, "requires_grad is False"}
               : Absence{
                     "integer",
                     kNothing,
                     dtype_name(type) + " has no gradient"};
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

/// Why a tensor that no edge of the graph leads to gets no gradient.
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
  if (accumulator_is_kept(tensor)) {
    return {
        "elsewhere",
        kNothing,
        "it is not in this graph, but its AccumulateGrad is alive: another "
        "graph was computed from it, or somebody keeps that node"};
  }
  return {"no trace", kNothing, "nothing in the graph shows a use of it"};
}

}  // namespace libgrad::detail
