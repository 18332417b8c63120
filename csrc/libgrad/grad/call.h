/// libgrad/grad/call.h -- the names that error messages use for a function and
/// its arguments.

#pragma once

namespace libgrad::detail {

/// A function's name and the names of its arguments, for error messages.
struct Call {
  const char* name;
  const char* outputs;
  const char* seeds;
};
inline constexpr Call kGrad{"grad", "outputs", "grad_outputs"};
inline constexpr Call kBackward{"backward", "tensors", "grad_tensors"};

}  // namespace libgrad::detail
