/// bindings/graph/outermost.h -- graphs that are in no other graph.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <c10/util/flat_hash_map.h>

#include <vector>

namespace libgrad::detail {

/// Of `nodes`, the nodes that are in the graph of no other one, in the order
/// given: for each node the list of its indices in `nodes`, where it may be
/// repeated.
inline std::vector<std::vector<size_t>> outermost(
    const std::vector<const torch::autograd::Node*>& nodes) {
  std::vector<const torch::autograd::Node*> open;
  ska::flat_hash_set<const torch::autograd::Node*> inside;
  const auto visit = [&](const torch::autograd::Node* node) {
    for (const auto& edge : node->next_edges()) {
      if (edge.is_valid() && inside.insert(edge.function.get()).second) {
        open.push_back(edge.function.get());
      }
    }
  };
  for (const auto* node : nodes) {
    visit(node);
  }
  while (!open.empty()) {
    const auto* node = open.back();
    open.pop_back();
    visit(node);
  }
  std::vector<std::vector<size_t>> result;
  ska::flat_hash_map<const torch::autograd::Node*, size_t> places;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (inside.count(nodes[i]) != 0) {
      continue;
    }
    const auto [place, added] = places.emplace(nodes[i], result.size());
    if (added) {
      result.emplace_back();
    }
    result[place->second].push_back(i);
  }
  return result;
}

}  // namespace libgrad::detail
