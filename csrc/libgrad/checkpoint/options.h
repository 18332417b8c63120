/// libgrad/checkpoint/options.h -- how a checkpoint is run.

#pragma once

#include <c10/core/Device.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

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
  /// Tensors that `libgrad::name` calls so in the function are kept, and not
  /// computed again. Names that it does not meet do nothing.
  std::vector<std::string> save = {};
  /// The same, in the memory of the host.
  std::vector<std::string> offload = {};
};

namespace detail {

/// True when a tensor of this name is to be kept.
inline bool is_kept(const CheckpointOptions& options, std::string_view name) {
  const auto is_in = [name](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return is_in(options.save) || is_in(options.offload);
}

/// Throws the error that says that a function did something else.
using Refuse = void (*)(const std::string& text);
[[noreturn]] inline void refuse(const std::string& text) {
  TORCH_CHECK(false, text);
}

}  // namespace detail
}  // namespace libgrad
