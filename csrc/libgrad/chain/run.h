/// libgrad/chain/run.h -- a chain of functions, run by a schedule.

#pragma once

#include <libgrad/chain/plan.h>
#include <libgrad/checkpoint/segment.h>

namespace libgrad::detail {

using ChainStep = std::function<at::Tensor(const at::Tensor&)>;

/// A chain whose parts run again in backward, as its schedule says.
class ScheduledChain : public std::enable_shared_from_this<ScheduledChain> {
 public:
  ScheduledChain(
      std::vector<ChainStep> steps,
      ChainParts parts,
      const CheckpointOptions& options,
      Refuse refuse = detail::refuse)
      : steps_(std::move(steps)),
        parts_(std::move(parts)),
        options_(options),
        refuse_(refuse) {
    HookEngine::install();
  }

  at::Tensor run(at::Tensor input) { return run(parts_, std::move(input)); }

 private:
  /// Each tensor is freed as soon as the function that takes it has run.
  at::Tensor run(const ChainParts& parts, at::Tensor value) {
    for (const auto& part : parts) {
      value = part.again.empty() ? steps_[part.begin](value)
                                 : run_again_later(part, std::move(value));
    }
    return value;
  }

  at::Tensor run_again_later(const ChainPart& part, at::Tensor value) {
    const auto segment = std::make_shared<Segment>(
        [self = shared_from_this(), &part](const variable_list& inputs) {
          return variable_list{self->run(part.again, inputs[0])};
        },
        variable_list{value},
        options_,
        refuse_);
    return segment->forward([&] { return run(part.again, std::move(value)); });
  }

  const std::vector<ChainStep> steps_;
  const ChainParts parts_;
  const CheckpointOptions options_;
  const Refuse refuse_;
};

}  // namespace libgrad::detail
