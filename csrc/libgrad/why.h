/// libgrad/why.h -- why a graph needs a tensor.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/why_answer.h>

namespace libgrad {

/// Why `graph` needs `tensor`: the paths on which gradients reach it, or, if
/// there are none, the paths to the nodes that saved a tensor in its memory.
/// All paths are counted; only the `max_paths` shortest are listed.
///
///     auto g = libgrad::graph({(x * x).sum()}, {.params = {{"x", x}}});
///     libgrad::why(g, x).text;
///     // 2 paths to 'x' (node 2), the shortest of 3 nodes:
///     //   0   SumBackward0
///     //   1   MulBackward0
///     //   2   AccumulateGrad (x) ×2
///     // saved by node 1, MulBackward0 (other, self)
///
/// A view of a tensor in the graph counts as that tensor. Two tensors share
/// memory when they have the same storage and the ranges from their first to
/// their last byte overlap. Throws c10::Error when `tensor` is undefined or
/// `max_paths` is 0.
inline GraphWhy why(
    const Graph& graph, const at::Tensor& tensor, size_t max_paths = 10) {
  TORCH_CHECK(tensor.defined(), "why: the tensor is undefined");
  TORCH_CHECK_VALUE(
      max_paths > 0, "why: max_paths must be at least 1, but is 0");
  return detail::WhyAnswer(graph, tensor, max_paths).run();
}

}  // namespace libgrad
