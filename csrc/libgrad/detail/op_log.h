/// libgrad/detail/op_log.h -- what the operators of a run made, as long as
/// somebody has it.
///
/// Relies on (covered by tests/cpp/test_names.cpp):
/// - a result is memory of its own unless it lies in that of an argument;
/// - an operator that draws random numbers changes the state of a generator.

#pragma once

#include <libgrad/detail/call_counter.h>
#include <libgrad/detail/op_watcher.h>
#include <libgrad/detail/random_state.h>
#include <libgrad/detail/saved_access.h>

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The memory of a tensor; null for one that has none of its own.
inline c10::StorageImpl* memory_of(const at::Tensor& tensor) {
  return tensor.defined() && tensor.has_storage()
             ? tensor.unsafeGetTensorImpl()
                   ->unsafe_storage()
                   .unsafeGetStorageImpl()
             : nullptr;
}

/// A call whose results can stand for it: all of them are new memory, and it
/// did nothing else.
struct PureCall {
  CallId id;
  std::vector<c10::IValue> results;
  std::vector<int64_t> versions;  // of the tensors in them

  bool has(const c10::StorageImpl* memory) const {
    bool found = false;
    each_result([&](const at::Tensor& tensor) {
      found = found || memory_of(tensor) == memory;
    });
    return found;
  }

  /// True when nobody wrote into the results since.
  bool is_unchanged() const {
    bool same = true;
    size_t i = 0;
    each_result([&](const at::Tensor& tensor) {
      same = same && version_of(*tensor.unsafeGetTensorImpl()) == versions[i++];
    });
    return same;
  }

  /// True when nobody has the results but this.
  bool is_forgotten() const {
    bool forgotten = true;
    each_result([&](const at::Tensor& tensor) {
      forgotten = forgotten && tensor.use_count() == 1 &&
                  c10::raw::intrusive_ptr::use_count(memory_of(tensor)) == 1;
    });
    return forgotten;
  }

  template <class Use>
  void each_result(const Use& use) const {
    for (const auto& result : results) {
      each_defined(result, use);
    }
  }
};

/// The pure calls of a run.
class OpLog {
 public:
  /// `devices`, and the CPU, have the generators that operators draw from.
  explicit OpLog(std::vector<c10::Device> devices)
      : devices_(std::move(devices)) {}

  void before(const c10::OperatorHandle& op, const OpWatcher::Stack& stack) {
    forget();
    current_ = counter_.next(op, stack);
    taken_.clear();
    has_generator_ = false;
    const size_t count = op.schema().arguments().size();
    for (size_t i = stack.size() - count; i < stack.size(); ++i) {
      each_defined(stack[i], [&](const at::Tensor& tensor) {
        taken_.push_back(memory_of(tensor));
      });
      has_generator_ = has_generator_ || stack[i].isGenerator();
    }
    random_.reset();
    if (!writes(op.schema()) &&
        (op.hasTag(at::Tag::nondeterministic_seeded) || !is_of_torch(op))) {
      random_.emplace(devices_);
    }
  }

  void after(const c10::OperatorHandle& op, const OpWatcher::Stack& stack) {
    if (has_generator_ || writes(op.schema()) ||
        (random_ && !(*random_ == RandomState(devices_)))) {
      return;
    }
    PureCall call;
    call.id = current_;
    const size_t count = op.schema().returns().size();
    bool pure = true;
    for (size_t i = stack.size() - count; i < stack.size(); ++i) {
      const size_t before = call.versions.size();
      each_defined(stack[i], [&](const at::Tensor& tensor) {
        pure = pure && is_new(tensor);
        call.versions.push_back(version_of(*tensor.unsafeGetTensorImpl()));
      });
      pure = pure && (!stack[i].isList() || call.versions.size() - before ==
                                                stack[i].toListRef().size());
    }
    if (pure && !call.versions.empty()) {
      call.results.assign(stack.end() - count, stack.end());
      calls_.push_back(std::move(call));
    }
  }

  /// The call that made the memory of `tensor`, if it can be left out.
  const PureCall* find(const at::Tensor& tensor) const {
    const auto* const memory = memory_of(tensor);
    if (memory == nullptr) {
      return nullptr;
    }
    const auto found =
        std::find_if(calls_.rbegin(), calls_.rend(), [&](const PureCall& call) {
          return call.has(memory);
        });
    const bool usable =
        found != calls_.rend() && found->is_unchanged() &&
        version_of(*tensor.unsafeGetTensorImpl()) == found->versions[0];
    return usable ? &*found : nullptr;
  }

 private:
  static constexpr size_t kRecent = 64;

  static bool writes(const c10::FunctionSchema& op) {
    return std::any_of(
        op.arguments().begin(), op.arguments().end(), [](const auto& argument) {
          return argument.alias_info() && argument.alias_info()->isWrite();
        });
  }

  /// Operators of torch say whether they draw random numbers.
  static bool is_of_torch(const c10::OperatorHandle& op) {
    return op.schema().name().starts_with("aten::");
  }

  bool is_new(const at::Tensor& tensor) const {
    auto* const memory = memory_of(tensor);
    return memory != nullptr && !tensor.is_inference() &&
           !tensor.key_set().has(c10::DispatchKey::Python) &&
           std::find(taken_.begin(), taken_.end(), memory) == taken_.end() &&
           std::none_of(calls_.begin(), calls_.end(), [&](const auto& call) {
             return call.has(memory);
           });
  }

  /// Lets go what nobody else has: what was made lately each time, all when
  /// there is much.
  void forget() {
    const bool all = calls_.size() >= limit_;
    const size_t first =
        all || calls_.size() < kRecent ? 0 : calls_.size() - kRecent;
    calls_.erase(
        std::remove_if(
            calls_.begin() + static_cast<std::ptrdiff_t>(first),
            calls_.end(),
            [](const PureCall& call) { return call.is_forgotten(); }),
        calls_.end());
    if (all) {
      limit_ = std::max(2 * kRecent, 2 * calls_.size());
    }
  }

  const std::vector<c10::Device> devices_;
  CallCounter counter_;
  CallId current_;
  c10::SmallVector<c10::StorageImpl*, 8> taken_;  // memory of the arguments
  std::optional<RandomState> random_;
  bool has_generator_ = false;  // of the program's own
  std::vector<PureCall> calls_;
  size_t limit_ = 2 * kRecent;
};

}  // namespace libgrad::detail
