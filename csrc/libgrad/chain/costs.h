/// libgrad/chain/costs.h -- the costs of the functions of a chain, and the sums
/// that a schedule of checkpoints needs.

#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace libgrad {

/// The costs of one function of a chain. Bytes are counted on the device of the
/// chain's input.
struct StepCosts {
  /// Time of one run forward.
  double seconds = 0;
  /// Size of the function's input.
  int64_t input_bytes = 0;
  /// What the function's graph keeps for backward, besides its input, its
  /// output, and parameters.
  int64_t saved_bytes = 0;
  /// What a run forward needs at its peak, besides the input, the output and
  /// `saved_bytes`.
  int64_t forward_bytes = 0;
  /// What the function's backward needs at its peak, besides the function's
  /// input, `saved_bytes`, and the gradients of its output and its input.
  int64_t backward_bytes = 0;
  /// The gradients that exist, besides that of the function's output, when its
  /// backward first unpacks a saved tensor.
  int64_t pending_bytes = 0;
  /// Whether the function's graph keeps its input, and its output.
  bool saves_input = true;
  bool saves_output = true;

  bool operator==(const StepCosts& other) const = default;
};

/// The costs of a chain of functions.
struct ChainCosts {
  std::vector<StepCosts> steps = {};
  /// Size of the last function's output.
  int64_t output_bytes = 0;
  /// What functions keep besides from their first run on, such as the casts of
  /// weights that autocast caches.
  int64_t constant_bytes = 0;

  bool operator==(const ChainCosts& other) const = default;
};

namespace detail {

/// The most functions that a schedule is searched for. The time of the search
/// grows with the third power of their number.
inline constexpr int64_t kMostSteps = 200;

/// Throws unless all costs are possible values.
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

/// Throws unless a schedule can be searched for.
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

/// The costs of parts of a chain, as sums.
///
/// Memory does not include what is allocated all the time (`always`). The input
/// of a part of the chain is held or open. A held input is kept by somebody
/// else, and the part does not count it. An open input is freed once nothing
/// needs it.
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

  /// What is allocated all the time: the chain's output, and what functions
  /// keep besides.
  int64_t always() const { return costs_.output_bytes + costs_.constant_bytes; }

  /// The size of the input of function `place`; of the chain's output behind
  /// the last one.
  int64_t tensor(int64_t place) const {
    return place < size() ? at(place).input_bytes : costs_.output_bytes;
  }

  /// Whether a function's graph keeps its input, and its output, which is the
  /// held input of the next function then.
  bool saves_input(int64_t step) const { return at(step).saves_input; }
  bool holds_output(int64_t step) const {
    return at(step).saves_output && step + 1 < size();
  }

  /// What is kept once function `step` has run with its graph.
  int64_t kept(int64_t step) const {
    return at(step).saved_bytes + (holds_output(step) ? tensor(step + 1) : 0);
  }

  /// The peak while function `step` runs forward.
  int64_t forward(int64_t step) const {
    return at(step).saved_bytes + at(step).forward_bytes +
           (step + 1 < size() ? tensor(step + 1) : 0);
  }

  /// The same for a run that began at `begin`, with the input of function
  /// `step` unless that is the input of the run.
  int64_t pass(int64_t begin, int64_t step) const {
    return forward(step) + (step > begin ? tensor(step) : 0);
  }

  /// The gradients that wait while functions in front of `end` run forward.
  int64_t waiting(int64_t end) const {
    return end == size() ? 0 : tensor(end) + at(end - 1).pending_bytes;
  }

  /// The memory that it takes to run function `step` with its graph and to go
  /// backward through it. Backward has gone through the functions from `end`
  /// on. An open input exists in forward alone, so the function must not save
  /// it.
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
