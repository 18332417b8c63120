/// libgrad/detail/current_op.h -- the operator that this thread is in.
///
/// Relies on (covered by tests/cpp/memory/test_hooks.cpp): a RecordFunction
/// begins in front of the kernel that saves tensors and ends behind it, and its
/// names are those of the operator's schema.

#pragma once

#include <ATen/record_function.h>

#include <memory>
#include <string>

namespace libgrad::detail {

/// The names of an operator, where somebody watches.
struct CurrentOp {
  const char* name = "";
  const char* overload = "";

  /// "aten::mul.Tensor"; empty outside of operators.
  std::string text() const {
    return *overload == '\0' ? name : std::string(name) + "." + overload;
  }
};

inline thread_local CurrentOp current_op;

/// Keeps the operator around one that begins.
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

/// While it lives, `current_op` is right, also in threads that work for this
/// one. To be destroyed by the thread that made it.
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
  static inline thread_local int depth_ = 0;  // of those inside each other
  static inline thread_local at::CallbackHandle handle_ = 0;
};

}  // namespace libgrad::detail
