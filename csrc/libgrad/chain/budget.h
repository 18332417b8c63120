/// libgrad/chain/budget.h -- a chain of functions, run within a budget of
/// memory.

#pragma once

#include <libgrad/chain/measure.h>
#include <libgrad/chain/plan.h>
#include <libgrad/chain/run.h>
#include <libgrad/chain/table.h>

#include <optional>

namespace libgrad {

/// How much memory a chain may take.
struct ChainBudget {
  int64_t bytes = 0;
  /// The costs of the functions. They are measured if there are none here.
  std::optional<ChainCosts> costs = std::nullopt;
};

namespace detail {

/// The fastest schedule within `budget` bytes; see `plan_chain`.
inline ChainPlan plan_within(const ChainCosts& costs, int64_t budget) {
  const ChainNeeds needs(costs);
  check_budget(budget);
  const auto bytes = budget - needs.always();
  auto parts = keep_all(needs.size());
  if (peak_of(parts, needs.size(), needs) > bytes) {
    LeastMemory least(needs);
    const auto smallest = least.of(0, needs.size());
    TORCH_CHECK_VALUE(
        smallest <= bytes,
        "checkpoint_optimal: budget_bytes is ",
        budget,
        ", but the chain needs at least ",
        needs.always() + smallest);
    parts = ChainTable(needs, bytes).best();
    if (parts.empty()) {  // none fits with rounded sizes
      parts = least.parts(0, needs.size());
    }
  }
  return describe_plan(std::move(parts), costs, needs);
}

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
  auto plan = plan_within(
      budget.costs ? *budget.costs : measure(steps, input, options),
      budget.bytes);
  return std::make_shared<ScheduledChain>(
             std::move(steps), std::move(plan.parts), options, refuse)
      ->run(input);
}

}  // namespace detail
}  // namespace libgrad
