/// libgrad/checkpoint/segment.h -- a part of forward that keeps its inputs, and
/// runs again when backward needs a tensor that it saved.
///
/// Relies on (covered by tests/cpp/memory/test_checkpoint.cpp): queue_callback
/// runs a callable at the end of the backward that this thread works for.

#pragma once

#include <libgrad/checkpoint/determinism.h>
#include <libgrad/checkpoint/name_replay.h>
#include <libgrad/checkpoint/name_watcher.h>
#include <libgrad/checkpoint/options.h>
#include <libgrad/checkpoint/recomputed.h>
#include <libgrad/torch/memory/autocast_state.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <span>
#include <string>

namespace libgrad {
namespace detail {

using torch::autograd::variable_list;
using ListCallable = std::function<variable_list(const variable_list&)>;

/// One checkpointed call. All tensors that were saved in it share it.
class Segment : public std::enable_shared_from_this<Segment>,
                public Packed::Shared {
 public:
  Segment(
      ListCallable function,
      const variable_list& inputs,
      const CheckpointOptions& options,
      Refuse refuse = detail::refuse)
      : function_(std::move(function)),
        options_(options),
        refuse_(refuse),
        devices_(devices_of(inputs, options.devices)),
        autocast_(devices_) {
    for (const auto& input : inputs) {  // under the outer hooks
      TORCH_CHECK(
          !input.defined() || !is_transformed(input),
          "checkpoint: cannot be used inside a transform of torch.func, such "
          "as vmap or grad: backward would run the function again outside of "
          "it. Put the transform into the function, or leave checkpoint out");
      needs_grad_.push_back(input.defined() && input.requires_grad());
      inputs_.emplace_back(input, false);
    }
    if (options_.preserve_rng_state) {
      random_.emplace(devices_);
    }
  }

  /// Returns `first()`, run as forward. `first` does what the function does.
  template <class First>
  auto forward(const First& first) {
    auto outputs = options_.save.empty() && options_.offload.empty()
                       ? under_hooks(first)
                       : under_names(first);
    if (random_) {
      random_->forget_unused(devices_);
    }
    needed_ = count_needed();
    complete_ = true;
    return outputs;
  }

  const ListCallable& function() const { return function_; }

  void each_kept(const Packed::KeptSink& sink) const override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      sink(inputs_[i], "", i);
    }
    for (size_t i = 0; i < kept_.tensors.size(); ++i) {
      sink(kept_.tensors[i].saved, kept_.tensors[i].name, i);
    }
  }

 private:
  /// Stands for saved tensor `number` of a segment.
  class Stub : public Packed {
   public:
    Stub(std::shared_ptr<Segment> segment, size_t number)
        : segment_(std::move(segment)),
          number_(number) {}
    at::Tensor take_tensor() override { return {}; }
    at::Tensor unpack(const at::Tensor&) override {
      return segment_->load(number_);
    }
    const Shared* shared() const override { return segment_.get(); }

   private:
    std::shared_ptr<Segment> segment_;
    size_t number_;
  };

  template <class First>
  auto under_hooks(const First& first) {
    const PushedHooks guard(
        std::make_shared<const Hooks>(Hooks{
            .pack =
                [self = shared_from_this()](const at::Tensor& tensor) {
                  return std::make_unique<Stub>(self, self->save(tensor));
                },
            .of_checkpoint = true}));
    return first();
  }

  template <class First>
  auto under_names(const First& first) {
    is_matched_ = true;
    NameWatcher names(options_, devices_);
    auto outputs = [&] {
      const OpWatcherScope watched(names);
      return under_hooks(first);
    }();
    kept_ = names.keep(std::exchange(saved_at_, {}));
    return outputs;
  }

  struct Stop : std::exception {
    const char* what() const noexcept override {
      return "libgrad::checkpoint: all that backward needs is there; let this "
             "pass";
    }
  };

  size_t save(const at::Tensor& tensor) {
    const std::lock_guard<std::mutex> lock(mutex_);
    saved_.push_back(metadata_of(tensor));
    if (is_matched_) {
      saved_at_.push_back(SavedAt::of(tensor));
    }
    return saved_.size() - 1;
  }

  /// The number of saved tensors that the rerun has to compute: up to the last
  /// one that is not kept.
  size_t count_needed() const {
    size_t needed = saved_.size();
    while (needed > 0 && kept_.sources.contains(needed - 1)) {
      --needed;
    }
    return needed;
  }

  /// Saved tensor `number`, kept or recomputed.
  at::Tensor load(size_t number) {
    if (complete_) {
      if (auto kept = kept_.find(number); kept.defined()) {
        return kept;
      }
    }
    const auto backward = BackwardId::now();
    if (!backward) {
      return compute(number)[number];
    }
    if (const auto tensor = again_.take(backward, number)) {
      if (!tensor->defined()) {
        refuse_used(backward);
      }
      return *tensor;
    }
    auto tensors = compute(number);
    const auto tensor = std::exchange(tensors[number], {});
    if (again_.put(backward, std::move(tensors)) && !backward.is_group()) {
      torch::autograd::Engine::get_default_engine().queue_callback(
          [self = weak_from_this(),
           backward,
           thread = std::this_thread::get_id()] {
            if (const auto segment = self.lock()) {
              segment->again_.forget(backward, thread);
            }
          });
    }
    return tensor;
  }

  void refuse_used(const BackwardId& backward) const {
    refuse_(
        std::string(
            "checkpoint: Unpack is being triggered for a tensor that was "
            "already unpacked once. ") +
        (backward.is_group()
             ? "Performing two backward calls that overlap, which need the "
               "same saved tensor, is not allowed in a GraphExecGroup"
             : "A Function that reads ctx.saved_tensors in its backward must "
               "do so once, and keep what it gets"));
  }

  /// Runs the function again. Returns the tensors that it saves, at least up to
  /// `number`.
  variable_list compute(size_t number) {
    const NoWatchers unseen;  // outer functions do not run again
    const bool complete = complete_;
    size_t count = needed_;
    if (!complete) {  // unpacked in the middle of forward
      const std::lock_guard<std::mutex> lock(mutex_);
      count = saved_.size();
    }
    const bool early = options_.early_stop || !complete;
    variable_list inputs;
    for (const auto& input : inputs_) {
      inputs.push_back(input.unpack());
    }
    std::optional<variable_list> found;
    if (complete && !kept_.calls.empty()) {
      NameReplay kept(kept_, options_);
      found = run_again(inputs, count, early, &kept);
    }
    if (!found) {
      found = run_again(inputs, count, early, nullptr);
    }
    if (early && found->size() > count) {
      found->resize(count);
    }
    if (complete) {
      const auto expected =
          early ? std::span(saved_).first(count) : std::span(saved_);
      const auto text =
          metadata_difference(expected, *found, options_.determinism_check);
      if (!text.empty()) {
        refuse_("checkpoint: " + text);
      }
    }
    TORCH_CHECK(number < found->size());
    return std::move(*found);
  }

  /// Runs the function again. Returns the tensors that it saves; nothing if a
  /// result that `kept` supplied was not confirmed.
  std::optional<variable_list> run_again(
      const variable_list& kept_inputs,
      size_t count,
      bool early,
      NameReplay* kept) {
    const auto found = std::make_shared<variable_list>();
    variable_list inputs;
    for (size_t i = 0; i < kept_inputs.size(); ++i) {
      inputs.push_back(
          needs_grad_[i] ? kept_inputs[i].detach().requires_grad_()
                         : kept_inputs[i]);
    }
    const auto is_all = [&] {
      return early && found->size() >= count && (!kept || kept->is_settled());
    };
    const at::AutoGradMode enabled(true);
    const DrawAgain random(random_, devices_);
    const CastAgain autocast(autocast_, devices_);
    std::optional<OpWatcherScope> watched;
    if (kept != nullptr) {
      watched.emplace(*kept);
    }
    const PushedHooks guard(
        std::make_shared<const Hooks>(Hooks{
            .pack = join(
                [found, is_all](const at::Tensor& tensor) {
                  found->push_back(tensor);
                  if (is_all()) {
                    throw Stop();
                  }
                  return tensor;
                },
                [](const at::Tensor& tensor) { return tensor; }),
            .of_checkpoint = true}));
    try {
      function_(inputs);
    } catch (...) {  // Python turns Stop into another exception
      if (!is_all()) {
        throw;
      }
    }
    if (kept != nullptr && !kept->is_settled()) {
      return std::nullopt;
    }
    return std::move(*found);
  }

  const ListCallable function_;
  const CheckpointOptions options_;
  const Refuse refuse_;
  const std::vector<c10::Device> devices_;
  const AutocastState autocast_;
  std::vector<torch::autograd::SavedVariable> inputs_;
  std::vector<bool> needs_grad_;
  std::optional<RandomState> random_;
  Recomputed again_;

  std::mutex mutex_;  // guards the next two during forward
  std::vector<Metadata> saved_;
  std::vector<std::optional<SavedAt>> saved_at_;
  bool is_matched_ = false;  // `saved_at_` is needed
  KeptByName kept_;
  size_t needed_ = 0;
  std::atomic<bool> complete_ = false;  // forward has ended; `saved_` is final
};

/// `function(inputs)`, run as a segment.
inline variable_list run_segment(
    ListCallable function,
    const variable_list& inputs,
    const CheckpointOptions& options,
    Refuse refuse = detail::refuse) {
  if (!at::GradMode::is_enabled()) {
    return function(inputs);
  }
  HookEngine::install();
  const auto segment =
      std::make_shared<Segment>(std::move(function), inputs, options, refuse);
  return segment->forward([&] { return segment->function()(inputs); });
}

}  // namespace detail
}  // namespace libgrad
