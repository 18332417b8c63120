/// libgrad/unused.h -- parameters that a graph gives no gradient, and why.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/unused_answer.h>

#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// Which of `params` get no gradient from `graph`, and why, as far as the graph
/// shows it: nothing is guessed.
///
///     auto found = libgrad::unused(g, {{"weight", w}, {"scale", s}});
///     found.params[0].reason;  // "cut"
///     found.text;              // a report
///
/// A Function that returns no gradient for one of its inputs is not noticed.
/// Throws c10::Error when a tensor is undefined.
inline UnusedParams unused(
    const Graph& graph,
    const std::vector<std::pair<std::string, at::Tensor>>& params) {
  for (const auto& [name, tensor] : params) {
    TORCH_CHECK(tensor.defined(), "unused: '", name, "' is undefined");
  }
  return detail::UnusedAnswer(graph, params).run();
}

}  // namespace libgrad
