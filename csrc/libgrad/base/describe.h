/// libgrad/base/describe.h -- tensors and types in the words of Python.

#pragma once

#include <ATen/core/Tensor.h>

#include <sstream>
#include <string>

namespace libgrad::detail {

/// Name of a dtype as Python prints it, without "torch.": "float32".
inline std::string dtype_name(at::ScalarType dtype) {
  return std::string(c10::getDtypeNames(dtype).first);
}

/// One tensor in one line: "float32 [2, 3] on cpu".
inline std::string describe(const at::Tensor& tensor) {
  if (!tensor.defined()) {
    return "undefined";
  }
  std::ostringstream out;
  out << dtype_name(tensor.scalar_type()) << ' ';
  if (tensor.is_nested()) {
    out << "nested";
  } else {
    out << tensor.sym_sizes();
  }
  out << " on " << tensor.device();
  return out.str();
}

}  // namespace libgrad::detail
