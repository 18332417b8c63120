/// libgrad/torch/autograd/walk.h -- whether one tensor's graph reaches
/// another's.
///
/// Relies on (covered by tests/function/test_function_forward_mode.py):
/// - a node's sequence number is above those of all nodes made before it on its
///   thread;
/// - the node of an operator without a derivative, which passes no gradient on,
///   is of a type called WarnNotImplemented.

#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>
#include <typeinfo>
#include <unordered_set>
#include <vector>

namespace libgrad::detail {

using torch::autograd::variable_list;

/// True when the graph of `tensor` reaches one of `sources`, each the result of
/// an operation on this thread. Nodes older than all sources are not visited.
inline bool depends_on(const at::Tensor& tensor, const variable_list& sources) {
  using torch::autograd::Node;
  std::unordered_set<const Node*> goals;
  auto oldest = std::numeric_limits<uint64_t>::max();
  for (const auto& source : sources) {
    const auto* node = source.grad_fn().get();
    TORCH_INTERNAL_ASSERT(node != nullptr);
    goals.insert(node);
    oldest = std::min(oldest, node->sequence_nr());
  }
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack{tensor.grad_fn().get()};
  while (!stack.empty()) {
    const auto* node = stack.back();
    stack.pop_back();
    if (node == nullptr || node->sequence_nr() < oldest ||
        !seen.insert(node).second) {
      continue;
    }
    if (goals.count(node) != 0) {
      return true;
    }
    const std::string_view type = typeid(*node).name();
    if (type.find("WarnNotImplemented") == std::string_view::npos) {
      for (const auto& edge : node->next_edges()) {
        stack.push_back(edge.function.get());
      }
    }
  }
  return false;
}

}  // namespace libgrad::detail
