/// libgrad/torch/dispatch/record_function.h -- reports calls of Functions to
/// the observers of operators (profilers, libgrad's Record), and observes which
/// operator runs.

#pragma once

#include <libgrad/torch/autograd/node_names.h>

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <optional>
#include <string>
#include <typeinfo>
#include <utility>

namespace libgrad::detail {

/// Returns `run()`, reported as a call of the struct `function`.
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

/// The operator that runs, known while a CurrentOpScope lives.
struct CurrentOp {
  const char* name = "";
  const char* overload = "";

  /// "aten::mul.Tensor"; empty outside of operators.
  std::string text() const {
    return *overload == '\0' ? name : std::string(name) + "." + overload;
  }
};

inline thread_local CurrentOp current_op;

/// Keeps the outer operator while an inner one runs.
struct OuterOp : at::ObserverContext {
  explicit OuterOp(CurrentOp op) : op(op) {}
  CurrentOp op;
};

inline std::unique_ptr<at::ObserverContext> op_begins(
    const at::RecordFunction& call) {
  auto outer = std::make_unique<OuterOp>(current_op);
  current_op = {call.name(), call.overload_name()};
  return outer;
}

inline void op_ends(const at::RecordFunction&, at::ObserverContext* outer) {
  current_op = static_cast<OuterOp*>(outer)->op;
}

/// While it lives, `current_op` is up to date, also in threads that work for
/// this one. To be destroyed by the thread that made it.
class CurrentOpScope {
 public:
  CurrentOpScope() {
    if (depth_++ == 0) {
      handle_ = at::addThreadLocalCallback(
          at::RecordFunctionCallback(op_begins, op_ends)
              .scopes({at::RecordScope::FUNCTION}));
    }
  }
  CurrentOpScope(const CurrentOpScope&) = delete;
  CurrentOpScope& operator=(const CurrentOpScope&) = delete;
  ~CurrentOpScope() {
    if (--depth_ == 0) {
      at::removeCallback(handle_);
    }
  }

 private:
  static inline thread_local int depth_ = 0;  // of nested scopes
  static inline thread_local at::CallbackHandle handle_ = 0;
};

}  // namespace libgrad::detail
