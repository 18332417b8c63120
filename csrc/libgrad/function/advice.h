/// libgrad/function/advice.h -- advice for LibTorch's errors in a Function.
///
/// Relies on (covered by tests/function/test_function_advice.py): the text of
/// LibTorch's messages.

#pragma once

#include <libgrad/torch/autograd/node_names.h>

#include <c10/util/Exception.h>

#include <array>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// The advice for an error message of LibTorch; empty where there is none.
inline std::string advice(std::string_view error) {
  const auto says = [&](const auto& texts) {
    for (const std::string_view text : texts) {
      if (error.find(text) != std::string_view::npos) {
        return true;
      }
    }
    return false;
  };
  if (says(
          std::array{
              "data pointer",
              "doesn't have storage",
              "Cannot access storage",
              "data is not allocated yet"})) {
    return "it reads the memory of a tensor (data_ptr), but a transform of "
           "torch.func or a compiler calls it with tensors that have none. Put "
           "what reads memory behind an operator of its own, "
           "libgrad::def_kernel<function, fake>(m, name), and call it as "
           "libgrad::kernel<function>(x), or give the struct a static vmap";
  }
  if (says(
          std::array{
              "torch::autograd::Function with functorch transforms",
              "jvp is not implemented for the c++ API"})) {
    return "it calls another C++ Function by Function::apply, which LibTorch "
           "does not let under a transform of torch.func or in forward mode. "
           "Bind that Function with libgrad::def_function<G> as well, and call "
           "it as libgrad::apply<G>(x)";
  }
  return "";
}

/// The result of body(). An error for which there is advice is thrown again
/// with the name of the Function and the advice.
template <class Body>
auto with_advice(const std::type_info& function, const Body& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    const auto text = advice(error.what_without_backtrace());
    if (text.empty() ||
        std::string_view(error.what()).find(text) != std::string_view::npos) {
      throw;
    }
    TORCH_CHECK(
        false,
        function_name(function),
        ": ",
        text,
        ". LibTorch said: ",
        error.what_without_backtrace());
  }
}

}  // namespace libgrad::detail
