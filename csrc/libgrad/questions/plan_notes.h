/// libgrad/questions/plan_notes.h -- what a plan does not count, so that it is
/// a lower bound.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/graph/words.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace libgrad::detail {

/// What a plan does not know of a node, or what will stop backward there.
inline std::vector<std::string> unknown_of(
    const Graph& graph, const GraphNode& node) {
  std::vector<std::string> unknown;
  if (node.hooks > 0) {
    unknown.emplace_back("what hooks make or keep");
  }
  if (node.kind == NodeKind::kCompiled || node.kind == NodeKind::kOther ||
      node.kind == NodeKind::kFunction || node.kind == NodeKind::kPython) {
    unknown.push_back("what " + std::string(node.name) + " needs meanwhile");
  }
  if (std::ranges::any_of(graph.inputs_of(node), [](const auto& input) {
        return input.nested;
      })) {
    unknown.emplace_back("gradients that are nested tensors");
  }
  const auto saved = graph.saved_of(node);
  if (std::ranges::any_of(saved, [](const auto& tensor) {
        return tensor.state == SavedState::kPacked;
      })) {
    unknown.emplace_back("packed tensors, made anew or recomputed");
  }
  if (std::ranges::any_of(saved, is_stale)) {
    unknown.push_back(
        "nothing from " + std::string(node.name) +
        " on: what it saved was changed in place, so backward stops there");
  }
  return unknown;
}

/// What a dry run cannot count, each with the number of nodes.
inline std::vector<std::string> plan_notes(const Graph& graph) {
  std::map<std::string, uint64_t> counts;
  for (const auto& node : graph.nodes) {
    for (auto& what : unknown_of(graph, node)) {
      ++counts[std::move(what)];
    }
  }
  std::vector<std::string> notes;
  for (const auto& [what, count] : counts) {
    notes.push_back(what + (count == 1 ? "" : " " + times_words(count)));
  }
  return notes;
}

}  // namespace libgrad::detail
