/// libgrad/base/describe.h -- tensors in the words of Python.

#pragma once

#include <libgrad/base/format.h>

#include <ATen/core/Tensor.h>

#include <string>

namespace libgrad::detail {

/// One tensor in one line: "float32 [2, 3] on cpu".
inline std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return "undefined";
  }
  const auto dtype = tensor.scalar_type();
  const auto words = tensor.is_nested() ? dtype_name(dtype) + " nested"
                                        : type_words(dtype, tensor.sym_sizes());
  return words + " on " + tensor.device().str();
}

}  // namespace libgrad::detail
