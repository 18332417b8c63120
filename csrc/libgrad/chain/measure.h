/// libgrad/chain/measure.h -- measures the costs of the functions of a chain by
/// running them.

#pragma once

#include <libgrad/chain/costs.h>
#include <libgrad/chain/run.h>
#include <libgrad/hooks.h>
#include <libgrad/torch/autograd/closed_graph.h>
#include <libgrad/torch/memory/allocations.h>
#include <libgrad/torch/memory/random_state.h>
#include <libgrad/torch/transforms/vmap.h>

#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <chrono>
#include <set>

namespace libgrad::detail {

/// Gradients to which several functions contribute. Such a gradient waits from
/// the first contribution until the last.
class SharedGradients {
 public:
  /// Notes the gradients that the backward of function `step` makes.
  void add(const std::vector<ClosedGraph::Dropped>& gradients, int64_t step) {
    for (const auto& gradient : gradients) {
      auto& use = all_[gradient.owner];
      use.gradient = gradient;
      if (use.steps.empty() || use.steps.back() != step) {
        use.steps.push_back(step);
      }
    }
  }

  /// Adds the gradients to the costs of the functions whose backward runs while
  /// they wait. Where another contribution is added, the sum is allocated, too.
  void charge(std::vector<StepCosts>& costs) const {
    for (const auto& [owner, use] : all_) {
      const auto last = use.steps.back();
      for (auto step = use.steps.front(); step < last; ++step) {
        costs[step].backward_bytes += use.gradient.bytes;
        costs[step].pending_bytes += use.gradient.bytes;
      }
      for (const auto step : use.steps) {
        costs[step].backward_bytes += step < last ? use.gradient.bytes : 0;
      }
    }
  }

 private:
  struct Use {
    ClosedGraph::Dropped gradient;
    std::vector<int64_t> steps;
  };
  std::map<ClosedGraph::Owner, Use> all_;
};

/// Measures functions, one after the other.
class ChainMeasure {
 public:
  ChainMeasure(at::Tensor input)
      : device_(input.device()),
        value_(input.detach().requires_grad_(input.requires_grad())),
        bytes_(bytes_of(value_)) {}

  void add(const ChainStep& step, bool is_last) {
    StepCosts costs{.input_bytes = bytes_};
    const auto watch = std::make_shared<MemoryWatch>(device_);
    const Watching watching(watch);
    costs.seconds = time([&] { step(value_); });  // the first may be slow
    const auto saved = std::make_shared<Saved>();
    const auto first_node = at::sequence_number::peek();
    constant_ += watch->now();
    watch->start();
    at::Tensor output;
    const auto seconds = time([&] { output = save_under(watch, saved, step); });
    costs.seconds = std::min(costs.seconds, seconds);
    TORCH_CHECK(
        output.defined(), "measure_chain: a function returned no tensor");
    const auto own = own_bytes(*watch, output);
    bytes_ = own ? *own : bytes_of(output);
    costs.saved_bytes = watch->now() - own.value_or(0);
    costs.forward_bytes = watch->peak() - watch->now();
    costs.saves_input = saved->memory.count(memory_of(value_)) > 0;
    costs.saves_output = saved->memory.count(memory_of(output)) > 0;
    // The output's gradient may come with its dimensions in another order, and
    // is copied then.
    const auto copy = output.is_contiguous() ? 0 : bytes_;
    const auto graph = output.requires_grad()
                           ? std::make_unique<ClosedGraph>(
                                 output, root_edge(value_), first_node)
                           : nullptr;
    at::Tensor next;
    if (!is_last) {
      next = own ? output.detach().clone() : output.detach();
      next.requires_grad_(output.requires_grad());
    }
    output.reset();
    if (graph) {
      gradients_.add(graph->dropped(), steps_.size());
      backward(*graph, *watch, *saved, own_bytes(*watch, next), costs);
      costs.backward_bytes += copy;
    }
    steps_.push_back(costs);
    value_ = std::move(next);
  }

  ChainCosts costs() {
    gradients_.charge(steps_);
    return {std::move(steps_), bytes_, constant_};
  }

 private:
  /// What a function saved for backward.
  struct Saved {
    std::set<const void*> memory;
    /// Bytes allocated when backward first unpacks a saved tensor.
    std::optional<int64_t> asked;
  };

  static const void* memory_of(const at::Tensor& tensor) {
    return tensor.has_storage() ? static_cast<const void*>(
                                      tensor.storage().unsafeGetStorageImpl())
                                : tensor.unsafeGetTensorImpl();
  }

  static int64_t bytes_of(const at::Tensor& tensor) {
    return static_cast<int64_t>(
        tensor.has_storage() ? tensor.storage().nbytes() : tensor.nbytes());
  }

  /// Size of the storage of `tensor`, if it was allocated under `watch`.
  static std::optional<int64_t> own_bytes(
      const MemoryWatch& watch, const at::Tensor& tensor) {
    return tensor.defined() && tensor.has_storage()
               ? watch.size_of(tensor.storage().data())
               : std::nullopt;
  }

  void wait() const {
    if (!device_.is_cpu()) {
      c10::impl::VirtualGuardImpl(device_.type())
          .synchronizeDevice(device_.index());
    }
  }

  template <class F>
  double time(const F& function) const {
    wait();
    const auto start = std::chrono::steady_clock::now();
    function();
    wait();
    const auto end = std::chrono::steady_clock::now();
    return std::chrono::duration<double>(end - start).count();
  }

  /// Runs `step`, and notes what it saves and when backward first unpacks.
  at::Tensor save_under(
      const std::shared_ptr<MemoryWatch>& watch,
      const std::shared_ptr<Saved>& saved,
      const ChainStep& step) const {
    const SavedTensorHooks hooks(
        [saved](const at::Tensor& tensor) {
          saved->memory.insert(memory_of(tensor));
          return tensor;
        },
        [watch, saved](const at::Tensor& tensor) {
          if (!saved->asked) {
            saved->asked = watch->now();
          }
          return tensor;
        });
    return step(value_);
  }

  /// `next` is the size of the next function's input, which is allocated
  /// meanwhile.
  void backward(
      ClosedGraph& graph,
      MemoryWatch& watch,
      const Saved& saved,
      std::optional<int64_t> next,
      StepCosts& costs) {
    const auto before = watch.now();
    watch.forget_peak();
    graph.backward();
    wait();
    const auto peak = watch.peak() - next.value_or(0);
    const auto least = costs.saved_bytes + bytes_ + costs.input_bytes;
    costs.backward_bytes = std::max<int64_t>(peak - least, 0);
    // If this backward unpacks nothing, the predecessor's is the first to
    // unpack. The gradient of this function's input and the predecessor's
    // pending gradients wait then.
    int64_t waiting = 0;
    if (saved.asked) {
      waiting = *saved.asked - before;
    } else if (!steps_.empty()) {
      waiting = costs.input_bytes + steps_.back().pending_bytes;
    }
    costs.pending_bytes = std::max<int64_t>(waiting - bytes_, 0);
  }

  const c10::Device device_;
  at::Tensor value_;
  int64_t bytes_;
  int64_t constant_ = 0;
  std::vector<StepCosts> steps_;
  SharedGradients gradients_;
};

inline void check_measurable(const at::Tensor& input) {
  TORCH_CHECK_TYPE(
      input.defined(), "measure_chain: input must be a tensor, but is none");
  TORCH_CHECK(
      !c10::InferenceMode::is_enabled(),
      "measure_chain: cannot be used in inference mode: it runs backward, too");
  TORCH_CHECK(
      !functorch_active() && !in_vmap(),
      "measure_chain: cannot be used inside a transform of torch.func; measure "
      "before, and hand over the costs");
  TORCH_CHECK(
      !Watching::is_taken(),
      "measure_chain: cannot be used while a profiler is on, which is told of "
      "memory in its stead; measure before, and hand over the costs");
}

inline ChainCosts measure(
    const std::vector<ChainStep>& steps,
    const at::Tensor& input,
    const CheckpointOptions& options) {
  check_measurable(input);
  TORCH_CHECK_VALUE(
      !steps.empty(), "measure_chain: expected at least one function");
  auto devices = options.devices;
  if (!input.device().is_cpu()) {
    devices.push_back(input.device());
  }
  std::optional<RandomState> random;
  if (options.preserve_rng_state) {
    random.emplace(devices);
  }
  const DrawAgain restore(random, devices);
  const at::AutoGradMode enabled(true);
  ChainMeasure chain(input);
  for (size_t i = 0; i < steps.size(); ++i) {
    chain.add(steps[i], i + 1 == steps.size());
  }
  return chain.costs();
}

}  // namespace libgrad::detail
