/// libgrad/checkpoint.h -- runs forward again in backward, instead of keeping
/// what it saved.

#pragma once

#include <libgrad/checkpoint/optimal.h>
#include <libgrad/checkpoint/options.h>
#include <libgrad/checkpoint/segment.h>

namespace libgrad {

using torch::autograd::variable_list;

/// Returns `function(inputs)`. The graph keeps the inputs, and none of the
/// tensors that `function` saves for backward. Backward recomputes them: it
/// runs `function` again, once each time that it goes through the graph.
///
///     auto y = libgrad::checkpoint(
///         [&](const at::Tensor& x) { return layer(x); }, x);
///
/// It works with grad, with backward of backward, for a graph that is kept and
/// run again, and inside another checkpoint. Random numbers and autocast are
/// those of forward. Gradients have the same bits as without checkpoint.
///
/// `function` must do the same each time. Backward throws c10::Error when the
/// rerun saves other tensors than forward, or when an input was changed in
/// place meanwhile. `function` must not change its inputs. It may use other
/// tensors, such as parameters. The thread that runs backward runs it again.
///
/// Source: torch.utils.checkpoint.checkpoint(use_reentrant=False); Chen et al.
/// 2016, Training Deep Nets with Sublinear Memory Cost.
inline variable_list checkpoint(
    std::function<variable_list(const variable_list&)> function,
    const variable_list& inputs,
    const CheckpointOptions& options = {}) {
  return detail::run_segment(std::move(function), inputs, options);
}

/// The same for a function of one tensor, with one result.
inline at::Tensor checkpoint(
    std::function<at::Tensor(const at::Tensor&)> function,
    const at::Tensor& input,
    const CheckpointOptions& options = {}) {
  return checkpoint(
      [function = std::move(function)](const variable_list& inputs) {
        return variable_list{function(inputs[0])};
      },
      variable_list{input},
      options)[0];
}

/// Runs `functions`, one after the other, cut into `segments` of the same
/// length. Each segment but the last is a checkpoint. The last one keeps what
/// it saved, since backward goes through it first, and may be longer.
///
/// Throws c10::Error unless there are 1 to functions.size() segments.
///
/// Source: torch.utils.checkpoint.checkpoint_sequential.
inline at::Tensor checkpoint_sequential(
    const std::vector<std::function<at::Tensor(const at::Tensor&)>>& functions,
    int64_t segments,
    at::Tensor input,
    const CheckpointOptions& options = {}) {
  const auto count = static_cast<int64_t>(functions.size());
  TORCH_CHECK(
      segments >= 1 && segments <= count,
      "checkpoint_sequential: segments must be 1 to ",
      count,
      ", the number of functions, but is ",
      segments);
  const auto part = [&functions](int64_t begin, int64_t end) {
    return [list = std::vector(
                functions.begin() + begin, functions.begin() + end)](
               const at::Tensor& x) {
      auto y = x;
      for (const auto& function : list) {
        y = function(y);
      }
      return y;
    };
  };
  const int64_t size = count / segments;
  for (int64_t i = 0; i + 1 < segments; ++i) {
    input = checkpoint(part(i * size, (i + 1) * size), input, options);
  }
  return part((segments - 1) * size, count)(input);
}

/// Runs `functions`, one after the other, and keeps at most `slots` of their
/// inputs at a time, besides `input` and what one function saves. Of all
/// schedules for that memory this one has the fewest runs, which takes the
/// least time if all functions take the same. For n functions the number of
/// runs is
///
///     n + r n - C(slots + 1 + r, r - 1),
///
/// with the smallest r for which C(slots + 1 + r, r) >= n: for 64 functions 264
/// with 3 slots, 220 with 5, and 179 with 10. <libgrad/chain.h> has the same
/// for a budget of bytes and functions that differ.
///
/// Throws c10::Error when there is no function, when `slots` is negative, and
/// when `slots` is 0 for more than 1,000 functions.
///
/// Source: Griewank and Walther 2000, Algorithm 799: Revolve.
inline at::Tensor checkpoint_optimal(
    std::vector<std::function<at::Tensor(const at::Tensor&)>> functions,
    const at::Tensor& input,
    int64_t slots,
    const CheckpointOptions& options = {}) {
  return detail::run_optimal(std::move(functions), input, slots, options);
}

}  // namespace libgrad
