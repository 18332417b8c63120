/// libgrad/torch/autograd/walk.h -- is there a path from one tensor's graph to
/// another's?
///
/// Relies on (covered by tests/function/test_function_forward_mode.py):
/// - a node's sequence number is above those of all nodes made before it on
///   its thread;
/// - the node behind an operator without a derivative, which passes nothing
///   on, is of a type called WarnNotImplemented.

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

/// True when the graph of `tensor` leads to one of `sources`, each of which an
/// operation made on this thread. What is older than they are is not visited.
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
