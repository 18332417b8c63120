/// libgrad/torch/memory/autocast_state.h -- autocast as it was in forward.

#pragma once

#include <ATen/autocast_mode.h>

#include <vector>

namespace libgrad::detail {

/// Whether operators of this thread cast, and to which dtype.
class AutocastState {
 public:
  /// Reads the state for the CPU and for `devices`.
  explicit AutocastState(const std::vector<c10::Device>& devices)
      : cache_(at::autocast::is_autocast_cache_enabled()) {
    add(at::kCPU);
    for (const auto device : devices) {
      add(device.type());
    }
  }

  void restore() const {
    at::autocast::set_autocast_cache_enabled(cache_);
    for (const auto& [type, enabled, dtype] : devices_) {
      at::autocast::set_autocast_enabled(type, enabled);
      at::autocast::set_autocast_dtype(type, dtype);
    }
  }

  bool operator==(const AutocastState& other) const = default;

 private:
  struct Device {
    at::DeviceType type;
    bool enabled;
    at::ScalarType dtype;
    bool operator==(const Device& other) const = default;
  };

  void add(at::DeviceType type) {
    devices_.push_back(
        {type,
         at::autocast::is_autocast_enabled(type),
         at::autocast::get_autocast_dtype(type)});
  }

  bool cache_;
  std::vector<Device> devices_;
};

/// While it lives, autocast is as `state` says.
class CastAgain {
 public:
  CastAgain(const AutocastState& state, const std::vector<c10::Device>& devices)
      : before_(devices),
        same_(before_ == state) {
    if (!same_) {
      at::autocast::increment_nesting();
      state.restore();
    }
  }
  CastAgain(const CastAgain&) = delete;
  CastAgain& operator=(const CastAgain&) = delete;
  ~CastAgain() {
    if (!same_) {
      if (at::autocast::decrement_nesting() == 0) {
        at::autocast::clear_cache();
      }
      before_.restore();
    }
  }

 private:
  AutocastState before_;
  bool same_;
};

}  // namespace libgrad::detail
