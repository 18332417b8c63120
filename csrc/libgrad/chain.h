/// libgrad/chain.h -- runs a chain of functions with the best checkpoints for a
/// budget of memory.

#pragma once

#include <libgrad/chain/budget.h>
#include <libgrad/chain/measure.h>
#include <libgrad/checkpoint.h>

namespace libgrad {

/// Measures what each of `functions` costs. Each takes the result of its
/// predecessor.
///
/// Each function runs forward twice, once to get warm, and backward once, alone
/// and with its own input. Nothing else in the program changes: gradients go
/// nowhere, and random numbers are drawn as if nothing had run (with
/// `preserve_rng_state`). What functions themselves change, such as the
/// statistics of a normalization, they change here, too.
///
/// Throws c10::Error when a function returns no tensor, while a profiler is on,
/// in inference mode, and inside a transform of torch.func.
inline ChainCosts measure_chain(
    const std::vector<std::function<at::Tensor(const at::Tensor&)>>& functions,
    const at::Tensor& input,
    const CheckpointOptions& options = {}) {
  return detail::measure(functions, input, options);
}

/// The smallest budget, in bytes, that a chain can run in.
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

/// The fastest schedule of nested checkpoints that fits into `budget` bytes: a
/// checkpoint that is kept is kept until backward has used it. Sizes are
/// counted in units of their greatest common divisor. Where this divisor is too
/// small, the unit is about a thousandth of the budget (a three-hundredth for
/// 200 functions), and the schedule is the fastest but for that rounding.
///
/// Throws c10::ValueError when a cost is negative, there is no function or more
/// than 200, or the budget is too small; the error says which budget would do.
///
/// Source: Beaumont et al. 2019, Optimal checkpointing for heterogeneous
/// chains: how to train deep neural networks with limited memory.
inline ChainPlan plan_chain(const ChainCosts& costs, int64_t budget) {
  return detail::plan_within(costs, budget);
}

/// Runs `functions`, one after the other, so that what they allocate in forward
/// and backward stays within a budget. It takes the fastest schedule that
/// `plan_chain` finds:
///
///     auto y = libgrad::checkpoint_optimal(
///         layers, x, libgrad::ChainBudget{.bytes = 200 << 20});
///
/// The budget counts what is allocated at a time and was not before, on the
/// device of `input`: checkpoints, saved tensors, gradients on their way, work
/// space, and the output with its gradient. It does not count the `.grad` of
/// parameters. It holds for a backward that does not keep the graph, for what
/// functions save where hooks on saved tensors see it, and for costs as they
/// were measured: functions that need more memory another time need more here,
/// too.
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
