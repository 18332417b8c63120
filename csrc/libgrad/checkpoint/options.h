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
  /// The rerun draws the random numbers of forward again, on the CPU and on the
  /// devices of the inputs. The state of the generators is kept only if forward
  /// drew from them.
  bool preserve_rng_state = true;
  /// Recomputed tensors must have the shapes, dtypes and devices of forward.
  bool determinism_check = true;
  /// The rerun ends as soon as all that backward needs is computed.
  bool early_stop = true;
  /// More devices whose random numbers are drawn again.
  std::vector<c10::Device> devices = {};
  /// The names of tensors to keep. A tensor that the function gives such a name
  /// with `libgrad::name` is kept, and not computed again. A name that the
  /// function does not use has no effect.
  std::vector<std::string> save = {};
  /// The same, but the tensors are kept in the memory of the host.
  std::vector<std::string> offload = {};
  /// Hooks on saved tensors that are around the checkpoint pack the tensors of
  /// `save` and `offload`; if false, these tensors are kept as they are.
  bool respect_saved_tensors_hooks = true;
};

namespace detail {

/// True when tensors of this name are to be kept.
inline bool is_kept(const CheckpointOptions& options, std::string_view name) {
  const auto is_in = [name](const std::vector<std::string>& names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  return is_in(options.save) || is_in(options.offload);
}

/// Throws the error of a function that did something else in the rerun.
using Refuse = void (*)(const std::string& text);
[[noreturn]] inline void refuse(const std::string& text) {
  TORCH_CHECK(false, text);
}

}  // namespace detail
}  // namespace libgrad
