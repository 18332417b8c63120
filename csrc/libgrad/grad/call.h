/// libgrad/grad/call.h -- the function that errors speak of.

#pragma once

namespace libgrad::detail {

/// What a function calls its arguments; errors speak in these words.
struct Call {
  const char* name;
  const char* outputs;
  const char* seeds;
};
inline constexpr Call kGrad{"grad", "outputs", "grad_outputs"};
inline constexpr Call kBackward{"backward", "tensors", "grad_tensors"};

}  // namespace libgrad::detail
