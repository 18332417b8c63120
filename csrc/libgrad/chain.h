/// libgrad/chain.h -- a chain of functions with the best checkpoints for a
/// budget of memory.

#pragma once

#include <libgrad/chain/budget.h>
#include <libgrad/chain/measure.h>
#include <libgrad/checkpoint.h>

namespace libgrad {

/// What each of `functions` costs, which take what the one in front returns.
///
/// Each runs forward twice, one run to get warm, and backward once, alone and
/// with its own input. Nothing of the program changes by that: gradients go
/// nowhere, and random numbers are drawn as if there had been none. What
/// functions themselves change, such as the statistics of a normalization, they
/// change here, too.
///
/// Throws c10::Error where a function returns no tensor, while a profiler is
/// on, in inference mode, and inside a transform of torch.func.
inline ChainCosts measure_chain(
    const std::vector<std::function<at::Tensor(const at::Tensor&)>>& functions,
    const at::Tensor& input,
    const CheckpointOptions& options = {}) {
  return detail::measure(functions, input, options);
}

/// The smallest budget, in bytes, that a chain can do with.
inline int64_t smallest_budget(const ChainCosts& costs) {
  const detail::ChainNeeds needs(costs);
  return needs.always() + detail::LeastMemory(needs).of(0, needs.size());
}

/// The budget, in bytes, from which on nothing runs twice.
inline int64_t largest_budget(const ChainCosts& costs) {
  const detail::ChainNeeds needs(costs);
  const auto parts = detail::keep_all(needs.size());
  return needs.always() + detail::peak_of(parts, needs.size(), needs);
}

/// The schedule that takes the least time of all that fit into `budget` bytes,
/// and are made of checkpoints inside of each other: one that is kept is kept
/// until backward has used it. Where sizes have no common divisor that is large
/// enough they count in steps of about a thousandth of the budget, for 200
/// functions of a three-hundredth, and it is the best but for that.
///
/// Throws c10::ValueError where a cost is negative, there is no function or
/// more than 200, or the budget is too small; it says which one would do.
///
/// Source: Beaumont et al. 2019, Optimal checkpointing for heterogeneous
/// chains: how to train deep neural networks with limited memory.
inline ChainPlan plan_chain(const ChainCosts& costs, int64_t budget) {
  return detail::plan_within(costs, budget);
}

/// Runs `functions`, one after the other, so that what they allocate in forward
/// and backward stays within a budget, and takes as little time as it can then:
///
///     auto y = libgrad::checkpoint_optimal(
///         layers, x, libgrad::ChainBudget{.bytes = 200 << 20});
///
/// What counts is all that is there at a time and was not before: checkpoints,
/// saved tensors, gradients on their way, work space, and the output with its
/// gradient, of the device of `input`; not the `.grad` of parameters. It holds
/// for a backward that does not keep the graph, on what functions save where
/// hooks on saved tensors see it, for costs as they were measured: functions
/// that need more memory another time need more here, too.
///
/// Throws as `plan_chain` and `measure_chain`.
///
/// Source: Beaumont et al. 2019, Optimal checkpointing for heterogeneous
/// chains: how to train deep neural networks with limited memory.
inline at::Tensor checkpoint_optimal(
    std::vector<std::function<at::Tensor(const at::Tensor&)>> functions,
    const at::Tensor& input,
    const ChainBudget& budget,
    const CheckpointOptions& options = {}) {
  return detail::run_in_budget(std::move(functions), input, budget, options);
}

}  // namespace libgrad
