/// libgrad/detail/outermost.h -- graphs that are in no other graph.

#pragma once

#include <libgrad/detail/edges.h>

#include <c10/util/flat_hash_map.h>

#include <vector>

namespace libgrad::detail {

/// Of `tensors`, which have a graph, those whose node no other's graph has,
/// with those of one node together, in the order given.
inline std::vector<variable_list> outermost(const variable_list& tensors) {
  std::vector<const torch::autograd::Node*> open;
  ska::flat_hash_set<const torch::autograd::Node*> inside;
  const auto visit = [&](const torch::autograd::Node* node) {
    for (const auto& edge : node->next_edges()) {
      if (edge.is_valid() && inside.insert(edge.function.get()).second) {
        open.push_back(edge.function.get());
      }
    }
  };
  for (const auto& tensor : tensors) {
    visit(tensor.grad_fn().get());
  }
  while (!open.empty()) {
    const auto* node = open.back();
    open.pop_back();
    visit(node);
  }
  std::vector<variable_list> result;
  ska::flat_hash_map<const torch::autograd::Node*, size_t> places;
  for (const auto& tensor : tensors) {
    const auto* node = tensor.grad_fn().get();
    if (inside.count(node) != 0) {
      continue;
    }
    const auto [place, added] = places.emplace(node, result.size());
    if (added) {
      result.emplace_back();
    }
    result[place->second].push_back(tensor);
  }
  return result;
}

}  // namespace libgrad::detail
