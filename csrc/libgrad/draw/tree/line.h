/// libgrad/draw/tree/line.h -- what a tree of lines says of a node.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/draw/tree/tree.h>
#include <libgrad/graph/words.h>

#include <cstddef>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// "SplitBackward0 (output 1) ×3  x: float32 [2]  (self was written to since)";
/// `names` stand for the leaf's own, where they are not empty.
inline std::string line_words(
    const Graph& graph,
    const TreeBlock& block,
    c10::Device usual,
    size_t times,
    std::string_view names) {
  const auto& node = graph.nodes[block.node];
  std::string text = plain(node.name);
  if (block.input != 0) {
    text += " (output " + std::to_string(block.input) + ')';
  }
  if (times > 1) {
    text += ' ' + times_words(times);
  }
  text += "  ";
  if (names.empty()) {
    names = node.leaf.empty() ? node.label : node.leaf;
  }
  if (!names.empty()) {
    text += plain(names) + ": ";
  }
  text += input_words(graph, node, usual, block.input);
  if (!node.note.empty()) {
    text += "  (" + plain(node.note) + ')';
  }
  for (const auto& saved : graph.saved_of(node)) {
    if (is_stale(saved) && !block.reference) {
      text += "  (" + plain(field_words(saved)) + " was written to since)";
    }
  }
  return text;
}

}  // namespace libgrad::detail
