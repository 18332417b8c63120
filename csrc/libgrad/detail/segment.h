/// libgrad/detail/segment.h -- a part of forward that keeps its inputs, and
/// runs again when backward needs what it saved.
///
/// Relies on (covered by tests/cpp/test_checkpoint.cpp): queue_callback runs a
/// callable at the end of the backward that this thread works for.

#pragma once

#include <libgrad/detail/autocast_state.h>
#include <libgrad/detail/hook_engine.h>
#include <libgrad/detail/metadata.h>
#include <libgrad/detail/random_state.h>

#include <torch/csrc/autograd/graph_task.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <string>
#include <thread>

namespace libgrad {

struct CheckpointOptions {
  /// The random numbers of forward are drawn again, of the CPU and of the
  /// devices of the inputs. Their state is kept only where some were drawn.
  bool preserve_rng_state = true;
  /// What is computed again must have the shapes, dtypes and devices of
  /// forward.
  bool determinism_check = true;
  /// What runs again ends when all that backward needs is there.
  bool early_stop = true;
  /// Devices whose random numbers are drawn again, too.
  std::vector<c10::Device> devices = {};
};

namespace detail {

using torch::autograd::variable_list;
using ListCallable = std::function<variable_list(const variable_list&)>;

/// Throws the error that says that a function did something else.
using Refuse = void (*)(const std::string& text);
[[noreturn]] inline void refuse(const std::string& text) {
  TORCH_CHECK(false, text);
}

/// Shared by all tensors that were saved in it.
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
    for (const auto& input : inputs) {  // under the hooks around
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

  /// `first()`, which does what the function does, and is run as forward.
  template <class First>
  auto forward(const First& first) {
    auto outputs = under_hooks(first);
    if (random_) {
      random_->forget_unused(devices_);
    }
    complete_ = true;
    return outputs;
  }

  const ListCallable& function() const { return function_; }

  /// The inputs.
  const std::vector<torch::autograd::SavedVariable>& kept() const override {
    return inputs_;
  }

 private:
  /// A tensor that was saved in a segment: its number.
  class Place : public Packed {
   public:
    Place(std::shared_ptr<Segment> segment, size_t number)
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

  class PushedHooks {
   public:
    explicit PushedHooks(HooksPtr hooks)
        : slot_(HookSlot::push(std::move(hooks))) {}
    PushedHooks(const PushedHooks&) = delete;
    PushedHooks& operator=(const PushedHooks&) = delete;
    ~PushedHooks() { slot_.pop(); }

   private:
    HookSlot& slot_;
  };

  template <class First>
  auto under_hooks(const First& first) {
    const PushedHooks guard(
        std::make_shared<const Hooks>(Hooks{
            .pack = [self = shared_from_this()](const at::Tensor& tensor) {
              return std::make_unique<Place>(self, self->save(tensor));
            }}));
    return first();
  }

  /// What one thread has computed again in one backward.
  struct Again {
    int task = -1;
    variable_list tensors;  // undefined once they were used
    size_t left = 0;
  };

  struct Stop : std::exception {
    const char* what() const noexcept override {
      return "libgrad::checkpoint: all that backward needs is there; let this "
             "pass";
    }
  };

  /// All but the CPU, which is always among them.
  static std::vector<c10::Device> devices_of(
      const variable_list& inputs, const std::vector<c10::Device>& others) {
    std::vector<c10::Device> devices;
    const auto add = [&devices](c10::Device device) {
      if (!device.is_cpu() && !device.is_meta() &&
          std::find(devices.begin(), devices.end(), device) == devices.end()) {
        devices.push_back(device);
      }
    };
    for (const auto& input : inputs) {
      if (input.defined()) {
        add(input.device());
      }
    }
    std::for_each(others.begin(), others.end(), add);
    return devices;
  }

  static bool is_transformed(const at::Tensor& tensor) {
    return tensor.key_set().has(c10::DispatchKey::FuncTorchBatched) ||
           tensor.key_set().has(c10::DispatchKey::FuncTorchGradWrapper);
  }

  size_t save(const at::Tensor& tensor) {
    const std::lock_guard<std::mutex> lock(mutex_);
    saved_.push_back(metadata_of(tensor));
    return saved_.size() - 1;
  }

  /// Tensor `number` again. Each thread computes for itself, so that none
  /// waits for another while that runs anybody's code.
  at::Tensor load(size_t number) {
    const int task = torch::autograd::get_current_graph_task_id();
    const auto thread = std::this_thread::get_id();
    if (task != -1) {
      const std::lock_guard<std::mutex> lock(mutex_);
      auto& again = again_[thread];
      if (again.task == task && number < again.tensors.size() &&
          again.tensors[number].defined()) {
        return use(again, number);
      }
    }
    auto tensors = compute(number);
    if (task == -1) {
      return tensors[number];  // asked for outside of backward
    }
    Again gone;  // goes when no lock is held
    const std::lock_guard<std::mutex> lock(mutex_);
    auto& again = again_[thread];
    if (again.task != task) {
      torch::autograd::Engine::get_default_engine().queue_callback(
          [self = weak_from_this(), thread] {
            if (const auto segment = self.lock()) {
              segment->forget(thread);
            }
          });
    }
    const size_t count = tensors.size();
    gone = std::exchange(again, {task, std::move(tensors), count});
    return use(again, number);
  }

  at::Tensor use(Again& again, size_t number) {
    auto tensor = std::exchange(again.tensors[number], {});
    if (--again.left == 0) {
      again.tensors.clear();
    }
    return tensor;
  }

  void forget(std::thread::id thread) {
    Again gone;  // goes when no lock is held
    const std::lock_guard<std::mutex> lock(mutex_);
    if (const auto found = again_.find(thread); found != again_.end()) {
      gone = std::move(found->second);
      again_.erase(found);
    }
  }

  /// Runs the function again; all that it saves, at least up to `number`.
  variable_list compute(size_t number) {
    size_t count = 0;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      count = saved_.size();
    }
    const bool complete = complete_;
    const bool early = options_.early_stop || !complete;
    const auto found = std::make_shared<variable_list>();
    variable_list inputs;
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto input = inputs_[i].unpack();
      inputs.push_back(
          input.defined() ? input.detach().requires_grad_(needs_grad_[i])
                          : input);
    }
    {
      const at::AutoGradMode enabled(true);
      const DrawAgain random(random_, devices_);
      const CastAgain autocast(autocast_, devices_);
      const PushedHooks guard(
          std::make_shared<const Hooks>(Hooks{
              .pack = join(
                  [found, count, early](const at::Tensor& tensor) {
                    found->push_back(tensor);
                    if (early && found->size() == count) {
                      throw Stop();
                    }
                    return tensor;
                  },
                  [](const at::Tensor& tensor) { return tensor; })}));
      try {
        function_(inputs);
      } catch (...) {  // Python makes another exception of it
        if (!early || found->size() < count) {
          throw;
        }
      }
    }
    if (early && found->size() > count) {  // somebody caught Stop, and went on
      found->resize(count);
    }
    if (complete) {  // else it was asked for in the middle of forward
      const auto text = difference(saved_, *found, options_.determinism_check);
      if (!text.empty()) {
        refuse_("checkpoint: " + text);
      }
    }
    TORCH_CHECK(number < found->size());
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
  std::atomic<bool> complete_ = false;

  std::mutex mutex_;  // of what follows
  std::vector<Metadata> saved_;
  std::map<std::thread::id, Again> again_;
};

}  // namespace detail
}  // namespace libgrad
