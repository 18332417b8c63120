/// libgrad/torch/transforms/wrong_rules.h -- operators whose backward has a
/// batching rule in LibTorch that is silently wrong.
///
/// Relies on (covered by tests/functional/test_functional_operators.py, which
/// also tells when the rule of cdist has been mended):
/// - the names of their nodes.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <c10/util/flat_hash_map.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

inline constexpr std::array<std::string_view, 2> kWronglyBatched{
    "CdistBackward0", "AsStridedScatterBackward0"};

/// Throws where the graph of `outputs` has a node whose batching rule is known
/// to be wrong.
inline void check_rules(const variable_list& outputs) {
  std::vector<const torch::autograd::Node*> open;
  ska::flat_hash_set<const torch::autograd::Node*> seen;
  const auto visit = [&](const torch::autograd::Node* node) {
    if (node != nullptr && seen.insert(node).second) {
      open.push_back(node);
    }
  };
  for (const auto& output : outputs) {
    visit(output.defined() ? output.grad_fn().get() : nullptr);
  }
  while (!open.empty()) {
    const torch::autograd::Node* node = open.back();
    open.pop_back();
    const std::string name = node->name();
    TORCH_CHECK(
        std::find(kWronglyBatched.begin(), kWronglyBatched.end(), name) ==
            kWronglyBatched.end(),
        "the batching rule of ",
        name,
        " is wrong in this version of PyTorch");
    for (const auto& edge : node->next_edges()) {
      visit(edge.function.get());
    }
  }
}

}  // namespace libgrad::detail
