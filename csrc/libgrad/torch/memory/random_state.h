/// libgrad/torch/memory/random_state.h -- random numbers that are drawn again.
///
/// Relies on (covered by tests/cpp/memory/test_checkpoint.cpp): the state of
/// the CPU's generator is its engine and its cached normal samples.

#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/equal.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <vector>

namespace libgrad::detail {

/// The state of the CPU's default generator. It is copied field by field:
/// get_state() makes a tensor of it, which takes longer than a small operator.
class CpuRandom {
 public:
  CpuRandom() {
    auto& generator = mine();
    const std::lock_guard<std::mutex> lock(generator.mutex_);
    engine_ = generator.engine().data();
    float_ = generator.next_float_normal_sample();
    double_ = generator.next_double_normal_sample();
  }

  void restore() const {
    auto& generator = mine();
    const std::lock_guard<std::mutex> lock(generator.mutex_);
    at::mt19937 engine;
    engine.set_data(engine_);
    generator.set_engine(engine);
    generator.set_next_float_normal_sample(float_);
    generator.set_next_double_normal_sample(double_);
  }

  bool operator==(const CpuRandom& other) const {
    return engine_.seed_ == other.engine_.seed_ &&
           engine_.left_ == other.engine_.left_ &&
           engine_.next_ == other.engine_.next_ && float_ == other.float_ &&
           double_ == other.double_ &&
           std::memcmp(
               engine_.state_.data(),
               other.engine_.state_.data(),
               sizeof(engine_.state_)) == 0;
  }

 private:
  static at::CPUGeneratorImpl& mine() {
    return *at::check_generator<at::CPUGeneratorImpl>(
        at::detail::getDefaultCPUGenerator());
  }

  at::mt19937_data_pod engine_;
  std::optional<float> float_;
  std::optional<double> double_;
};

/// The state of the default generator of another device.
class DeviceRandom {
 public:
  explicit DeviceRandom(c10::Device device)
      : generator_(at::globalContext().defaultGenerator(device)) {
    const std::lock_guard<std::mutex> lock(generator_.mutex());
    state_ = generator_.get_state();
  }

  void restore() const {
    auto generator = generator_;
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state_);
  }

  bool operator==(const DeviceRandom& other) const {
    return at::equal(state_, other.state_);
  }

 private:
  at::Generator generator_;
  at::Tensor state_;
};

/// The devices of `tensors`, and `others`, without the CPU, whose generator
/// RandomState always has.
inline std::vector<c10::Device> devices_of(
    const std::vector<at::Tensor>& tensors,
    const std::vector<c10::Device>& others) {
  std::vector<c10::Device> devices;
  const auto add = [&devices](c10::Device device) {
    if (!device.is_cpu() && !device.is_meta() &&
        std::find(devices.begin(), devices.end(), device) == devices.end()) {
      devices.push_back(device);
    }
  };
  for (const auto& tensor : tensors) {
    if (tensor.defined()) {
      add(tensor.device());
    }
  }
  std::for_each(others.begin(), others.end(), add);
  return devices;
}

/// The states of the default generators of the CPU and of other devices.
class RandomState {
 public:
  explicit RandomState(const std::vector<c10::Device>& devices) {
    cpu_.emplace();
    for (const auto device : devices) {
      devices_.emplace_back(device);
    }
  }

  /// Drops the states of generators that nobody has drawn from since.
  void forget_unused(const std::vector<c10::Device>& devices) {
    const RandomState now(devices);
    if (*cpu_ == *now.cpu_) {
      cpu_.reset();
    }
    if (devices_ == now.devices_) {
      devices_.clear();
    }
  }

  void restore() const {
    if (cpu_) {
      cpu_->restore();
    }
    for (const auto& device : devices_) {
      device.restore();
    }
  }

  bool operator==(const RandomState& other) const {
    return cpu_ == other.cpu_ && devices_ == other.devices_;
  }

  bool empty() const { return !cpu_ && devices_.empty(); }

 private:
  std::optional<CpuRandom> cpu_;
  std::vector<DeviceRandom> devices_;
};

/// While it lives, the generators draw again from `state` on. Afterwards they
/// continue where they were.
class DrawAgain {
 public:
  DrawAgain(
      const std::optional<RandomState>& state,
      const std::vector<c10::Device>& devices) {
    if (state && !state->empty()) {
      before_.emplace(devices);
      state->restore();
    }
  }
  DrawAgain(const DrawAgain&) = delete;
  DrawAgain& operator=(const DrawAgain&) = delete;
  ~DrawAgain() {
    if (before_) {
      before_->restore();
    }
  }

 private:
  std::optional<RandomState> before_;
};

}  // namespace libgrad::detail
