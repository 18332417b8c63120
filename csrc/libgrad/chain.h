/// libgrad/chain.h -- a chain of functions with the best checkpoints for a
/// budget of memory.

#pragma once

#include <libgrad/chain/measure.h>
#include <libgrad/chain/plan.h>
#include <libgrad/chain/run.h>
#include <libgrad/chain/table.h>
#include <libgrad/checkpoint.h>

#include <optional>

namespace libgrad {

/// A schedule of forward and backward of a chain.
struct ChainPlan {
  /// In the order in which they run, one behind the other.
  std::vector<ChainPart> parts;
  /// Of all runs forward.
  double seconds = 0;
  /// What the chain allocates, at the peak; see `checkpoint_optimal`.
  int64_t peak_bytes = 0;
  /// How often each function runs forward.
  std::vector<int64_t> runs = {};
};

namespace detail {

inline ChainPlan describe_plan(
    ChainParts parts, const ChainCosts& costs, const ChainNeeds& needs) {
  ChainPlan plan{.parts = std::move(parts)};
  plan.runs.resize(costs.steps.size());
  count_runs(plan.parts, plan.runs);
  for (size_t i = 0; i < costs.steps.size(); ++i) {
    plan.seconds += costs.steps[i].seconds * static_cast<double>(plan.runs[i]);
  }
  plan.peak_bytes = needs.always() + peak_of(plan.parts, needs.size(), needs);
  return plan;
}

inline ChainParts keep_all(int64_t size) {
  ChainParts parts;
  for (int64_t i = 0; i < size; ++i) {
    parts.push_back({i, i + 1});
  }
  return parts;
}

/// Throws unless `bytes` can be a budget.
inline void check_budget(int64_t bytes) {
  TORCH_CHECK_VALUE(
      bytes > 0,
      "checkpoint_optimal: budget_bytes must be positive, but is ",
      bytes);
}

}  // namespace detail

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
  const detail::ChainNeeds needs(costs);
  detail::check_budget(budget);
  const auto bytes = budget - needs.always();
  auto parts = detail::keep_all(needs.size());
  if (detail::peak_of(parts, needs.size(), needs) > bytes) {
    detail::LeastMemory least(needs);
    const auto smallest = least.of(0, needs.size());
    TORCH_CHECK_VALUE(
        smallest <= bytes,
        "checkpoint_optimal: budget_bytes is ",
        budget,
        ", but the chain needs at least ",
        needs.always() + smallest);
    parts = detail::ChainTable(needs, bytes).best();
    if (parts.empty()) {  // sizes that were rounded do not fit
      parts = least.parts(0, needs.size());
    }
  }
  return detail::describe_plan(std::move(parts), costs, needs);
}

/// How much memory a chain may take.
struct ChainBudget {
  int64_t bytes = 0;
  /// Of the functions; they are measured when there are none.
  std::optional<ChainCosts> costs = std::nullopt;
};

namespace detail {

inline at::Tensor run_in_budget(
    std::vector<ChainStep> steps,
    const at::Tensor& input,
    const ChainBudget& budget,
    const CheckpointOptions& options,
    Refuse refuse = detail::refuse) {
  TORCH_CHECK_VALUE(
      !steps.empty(), "checkpoint_optimal: expected at least one function");
  check_budget(budget.bytes);
  if (budget.costs) {
    TORCH_CHECK_VALUE(
        budget.costs->steps.size() == steps.size(),
        "checkpoint_optimal: costs are of ",
        budget.costs->steps.size(),
        " functions, but there are ",
        steps.size());
  }
  if (!at::GradMode::is_enabled()) {  // nothing is kept
    auto value = input;
    for (const auto& step : steps) {
      value = step(value);
    }
    return value;
  }
  auto plan = plan_chain(
      budget.costs ? *budget.costs : measure(steps, input, options),
      budget.bytes);
  return std::make_shared<ScheduledChain>(
             std::move(steps), std::move(plan.parts), options, refuse)
      ->run(input);
}

}  // namespace detail

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
