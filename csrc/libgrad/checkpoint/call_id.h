/// libgrad/checkpoint/call_id.h -- identifies a call of an operator in a run.

#pragma once

#include <libgrad/base/each_tensor.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/hash.h>

#include <cstdint>
#include <unordered_map>

namespace libgrad::detail {

/// A call of an operator in a run, known by its index among the calls of that
/// operator. Calls of other operators do not count, so a call that only one of
/// two runs makes, such as a cast that autocast caches, shifts no others.
struct CallId {
  const c10::FunctionSchema* op = nullptr;
  uint32_t number = 0;
  size_t shapes = 0;  // of the arguments, hashed

  bool is_same_place(const CallId& other) const {
    return op == other.op && number == other.number;
  }
};

class CallCounter {
 public:
  /// Identifies a call of `op`, whose arguments are the last entries of
  /// `stack`.
  CallId next(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
    CallId id{&op.schema(), counts_[&op.schema()]++};
    const size_t count = op.schema().arguments().size();
    for (size_t i = stack.size() - count; i < stack.size(); ++i) {
      each_defined(stack[i], [&](const at::Tensor& tensor) {
        id.shapes = c10::hash_combine(id.shapes, shape_of(tensor));
      });
    }
    return id;
  }

 private:
  static size_t shape_of(const at::Tensor& tensor) {
    auto hash = static_cast<size_t>(tensor.scalar_type());
    if (!tensor.is_nested() &&
        !tensor.unsafeGetTensorImpl()->has_symbolic_sizes_strides()) {
      for (const auto size : tensor.sizes()) {
        hash = c10::hash_combine(hash, static_cast<size_t>(size));
      }
    }
    return hash;
  }

  std::unordered_map<const c10::FunctionSchema*, uint32_t> counts_;
};

}  // namespace libgrad::detail
