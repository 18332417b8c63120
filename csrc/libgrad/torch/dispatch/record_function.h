/// libgrad/torch/dispatch/record_function.h -- calls of Functions, told to
/// those who listen to calls of operators: profilers, and libgrad's Record.

#pragma once

#include <libgrad/torch/autograd/node_names.h>

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>

#include <optional>
#include <typeinfo>
#include <utility>

namespace libgrad::detail {

/// What `run` returns, announced as a call of the struct `function`.
template <class Run>
auto announced(const std::type_info& function, const Run& run) {
  auto listeners = at::getStepCallbacksUnlessEmpty(at::RecordScope::FUNCTION);
  if (!listeners) [[likely]] {
    return run();
  }
  at::RecordFunction call(std::move(*listeners));
  const auto next = c10::GradMode::is_enabled()
                        ? static_cast<int64_t>(at::sequence_number::peek())
                        : -1;
  call.before(function_name(function), next);
  return run();
}

}  // namespace libgrad::detail
