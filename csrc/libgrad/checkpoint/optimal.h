/// libgrad/checkpoint/optimal.h -- a chain of functions that keeps a few
/// checkpoints and runs the rest again.

#pragma once

#include <libgrad/checkpoint/revolve.h>
#include <libgrad/checkpoint/segment.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A chain that runs itself again in parts.
class OptimalChain : public std::enable_shared_from_this<OptimalChain> {
 public:
  using Step = std::function<at::Tensor(const at::Tensor&)>;

  OptimalChain(
      std::vector<Step> steps,
      const CheckpointOptions& options,
      Refuse refuse = detail::refuse)
      : steps_(std::move(steps)),
        options_(options),
        refuse_(refuse) {}

  at::Tensor run(
      int64_t begin, int64_t end, int64_t slots, const at::Tensor& input) {
    if (end - begin == 1) {
      return steps_[begin](input);
    }
    const int64_t cut = begin + revolve_cut(end - begin, slots + 1);
    const auto middle = run_segment(
        [self = shared_from_this(), begin, cut, slots](const auto& inputs) {
          return variable_list{self->run(begin, cut, slots, inputs[0])};
        },
        {input},
        options_,
        refuse_)[0];
    return run(cut, end, std::max<int64_t>(slots - 1, 0), middle);
  }

 private:
  const std::vector<Step> steps_;
  const CheckpointOptions options_;
  const Refuse refuse_;
};

/// The deepest nesting of checkpoints: no thread's stack is too small for it.
inline constexpr int64_t kDeepest = 1000;

inline at::Tensor run_optimal(
    std::vector<OptimalChain::Step> steps,
    const at::Tensor& input,
    int64_t slots,
    const CheckpointOptions& options,
    Refuse refuse = detail::refuse) {
  const auto count = static_cast<int64_t>(steps.size());
  TORCH_CHECK(count > 0, "checkpoint_optimal: expected at least one function");
  TORCH_CHECK(
      slots >= 0,
      "checkpoint_optimal: slots must not be negative, but is ",
      slots);
  TORCH_CHECK(
      slots > 0 || count <= kDeepest,
      "checkpoint_optimal: ",
      count,
      " functions need at least one slot: without any, up to ",
      kDeepest,
      " can be run");
  return std::make_shared<OptimalChain>(std::move(steps), options, refuse)
      ->run(0, count, std::min(slots, count), input);
}

}  // namespace libgrad::detail
