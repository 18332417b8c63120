/// libgrad/torch/dispatch/written_arguments.h -- which arguments an operator
/// writes to.
///
/// Relies on (covered by tests/cpp/doctor/test_doctor.cpp): an operator's
/// schema says which arguments it writes to, except for the statistics of batch
/// norm (kUntold).

#pragma once

#include <ATen/core/function_schema.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// Operators that write into arguments whose names start with "running_", while
/// their schemas do not say so.
inline constexpr std::string_view kUntold[] = {
    "aten::native_batch_norm",
    "aten::cudnn_batch_norm",
    "aten::miopen_batch_norm",
    "aten::batch_norm_update_stats"};

/// Operators whose schemas say that they write, but that leave the data
/// unchanged.
inline constexpr std::string_view kNoWrites[] = {
    "aten::detach_",
    "aten::record_stream",
    "aten::rename_",
    "aten::requires_grad_",
    "aten::retain_grad"};

template <size_t N>
bool is_one_of(std::string_view name, const std::string_view (&names)[N]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

/// Indices of the arguments that an operator writes to.
inline std::vector<size_t> written_arguments(const c10::FunctionSchema& op) {
  std::vector<size_t> written;
  if (is_one_of(op.name(), kNoWrites)) {
    return written;
  }
  const bool untold = is_one_of(op.name(), kUntold);
  for (size_t i = 0; i < op.arguments().size(); ++i) {
    const auto& argument = op.arguments()[i];
    const auto* alias = argument.alias_info();
    if ((alias != nullptr && alias->isWrite()) ||
        (untold && argument.name().starts_with("running_"))) {
      written.push_back(i);
    }
  }
  return written;
}

}  // namespace libgrad::detail
