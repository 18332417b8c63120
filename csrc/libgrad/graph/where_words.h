/// libgrad/graph/where_words.h -- where a node is, for reports.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/graph/words.h>

#include <string>

namespace libgrad::detail {

/// "  encoder.0, model.py:12" as far as it was recorded.
inline std::string where_words(const GraphNode& node) {
  const auto& origin = node.origin;
  std::string words;
  if (!origin.module.empty()) {
    words += "  " + plain(origin.module);
  }
  if (!origin.file.empty()) {
    words += (words.empty() ? "  " : ", ") + plain(origin.file) + ':' +
             std::to_string(origin.line);
  }
  return words;
}

/// "node 3, AddmmBackward0".
inline std::string node_words(const Graph& graph, Index id) {
  return "node " + std::to_string(id) + ", " + plain(graph.nodes[id].name);
}

/// "x (node 3)" of a leaf with a name, or else "node 3, AccumulateGrad".
inline std::string leaf_words(const Graph& graph, Index id) {
  const auto& node = graph.nodes[id];
  return node.leaf.empty()
             ? node_words(graph, id)
             : '\'' + plain(node.leaf) + "' (node " + std::to_string(id) + ')';
}

}  // namespace libgrad::detail
