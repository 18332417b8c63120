/// libgrad/chain/costs.h -- what the functions of a chain cost, and what
/// of that a schedule of checkpoints has to look at.

#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace libgrad {

/// What one function of a chain costs. Bytes are those of the device of the
/// chain's input.
struct StepCosts {
  /// Of one run forward.
  double seconds = 0;
  /// Of the tensor that it takes.
  int64_t input_bytes = 0;
  /// What its graph keeps for backward, besides its input, its output, and
  /// parameters.
  int64_t saved_bytes = 0;
  /// What a run forward needs at its peak, besides all these.
  int64_t forward_bytes = 0;
  /// What its backward needs at its peak, besides its input, `saved_bytes`, and
  /// the gradients of its output and its input.
  int64_t backward_bytes = 0;
  /// Gradients that there are, besides its output's, when its backward first
  /// asks for something that was saved.
  int64_t pending_bytes = 0;
  /// Whether its graph keeps its input, and its output.
  bool saves_input = true;
  bool saves_output = true;

  bool operator==(const StepCosts& other) const = default;
};

/// What a chain of functions costs.
struct ChainCosts {
  std::vector<StepCosts> steps = {};
  /// Of the last function's output.
  int64_t output_bytes = 0;
  /// What functions keep besides, from their first run on, such as the copies
  /// of weights that autocast makes.
  int64_t constant_bytes = 0;

  bool operator==(const ChainCosts& other) const = default;
};

namespace detail {

/// For more functions than these no schedule is looked for: with their number
/// grows, to the third power, how long that takes.
inline constexpr int64_t kMostSteps = 200;

/// Throws unless all costs can be.
inline void check_values(const ChainCosts& costs) {
  const auto good = [](int64_t bytes) {  // sums stay far from the largest
    return bytes >= 0 && bytes < (int64_t(1) << 48);
  };
  bool fine = good(costs.output_bytes) && good(costs.constant_bytes);
  for (const auto& step : costs.steps) {
    fine &= std::isfinite(step.seconds) && step.seconds >= 0 &&
            good(step.input_bytes) && good(step.saved_bytes) &&
            good(step.forward_bytes) && good(step.backward_bytes) &&
            good(step.pending_bytes);
  }
  TORCH_CHECK_VALUE(
      fine,
      "checkpoint_optimal: costs must be finite and not negative, and no size "
      "256 TiB or more");
}

/// Throws unless schedules can be looked for.
inline void check_costs(const ChainCosts& costs) {
  const auto count = static_cast<int64_t>(costs.steps.size());
  TORCH_CHECK_VALUE(
      count > 0, "checkpoint_optimal: expected at least one function");
  TORCH_CHECK_VALUE(
      count <= kMostSteps,
      "checkpoint_optimal: a schedule for a budget can be found for up to ",
      kMostSteps,
      " functions, but there are ",
      count,
      "; put several into one");
  check_values(costs);
}

/// Costs, as sums. Memory is counted without what is there all the time, the
/// chain's output among it, and, of a part of the chain, without its input
/// where that is held: kept by somebody else. Where it is open it goes once
/// nothing needs it.
class ChainNeeds {
 public:
  explicit ChainNeeds(const ChainCosts& costs) : costs_(costs) {
    check_costs(costs);
    until_.push_back(0);
    for (const auto& step : costs.steps) {
      until_.push_back(until_.back() + step.seconds);
    }
  }

  int64_t size() const { return static_cast<int64_t>(costs_.steps.size()); }

  double seconds(int64_t step) const { return at(step).seconds; }
  double seconds(int64_t begin, int64_t end) const {
    return until_[end] - until_[begin];
  }

  /// What is there all the time.
  int64_t always() const { return costs_.output_bytes + costs_.constant_bytes; }

  /// The tensor in front of a function.
  int64_t tensor(int64_t place) const {
    return place < size() ? at(place).input_bytes : costs_.output_bytes;
  }

  /// Whether its graph needs that; whether its graph holds what is behind it.
  bool saves_input(int64_t step) const { return at(step).saves_input; }
  bool holds_output(int64_t step) const {
    return at(step).saves_output && step + 1 < size();
  }

  /// What is kept once the function has run with its graph.
  int64_t kept(int64_t step) const {
    return at(step).saved_bytes + (holds_output(step) ? tensor(step + 1) : 0);
  }

  /// The peak while the function runs forward.
  int64_t forward(int64_t step) const {
    return at(step).saved_bytes + at(step).forward_bytes +
           (step + 1 < size() ? tensor(step + 1) : 0);
  }

  /// The same in the middle of a run that began at `begin`.
  int64_t pass(int64_t begin, int64_t step) const {
    return forward(step) + (step > begin ? tensor(step) : 0);
  }

  /// The gradients that wait while functions in front of `end` run forward.
  int64_t waiting(int64_t end) const {
    return end == size() ? 0 : tensor(end) + at(end - 1).pending_bytes;
  }

  /// What it takes to run the function with its graph, and go backward through
  /// it; behind it, up to `end`, backward is next. An open input is there in
  /// forward alone: then the function must not save it.
  int64_t keep(int64_t step, int64_t end, bool held = true) const {
    const int64_t backward = at(step).saved_bytes + tensor(step + 1) +
                             tensor(step) + at(step).backward_bytes;
    const int64_t input = held ? 0 : tensor(step);
    return std::max(input + forward(step) + waiting(end), backward);
  }

 private:
  const StepCosts& at(int64_t step) const { return costs_.steps[step]; }

  const ChainCosts costs_;
  std::vector<double> until_;
};

}  // namespace detail
}  // namespace libgrad
