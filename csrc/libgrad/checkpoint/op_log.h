/// libgrad/checkpoint/op_log.h -- the calls of operators in a run, as long as
/// somebody holds their results.
///
/// Relies on (covered by tests/cpp/memory/test_names.cpp):
/// - a result has a storage of its own unless it shares that of an argument;
/// - an operator that draws random numbers changes the state of a generator.

#pragma once

#include <libgrad/checkpoint/call_id.h>
#include <libgrad/torch/dispatch/op_watcher.h>
#include <libgrad/torch/memory/random_state.h>
#include <libgrad/torch/memory/tensor_impl.h>
#include <libgrad/torch/saved/variable.h>

#include <c10/util/SmallVector.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A tensor without its TensorImpl, which would keep the graph and the Python
/// object alive.
class PlainTensor {
 public:
  explicit PlainTensor(const at::Tensor& tensor)
      : storage_(tensor.storage()),
        keys_(tensor.key_set()),
        dtype_(tensor.dtype()),
        sizes_(tensor.sizes()),
        strides_(tensor.strides()),
        offset_(tensor.storage_offset()),
        counter_(tensor.unsafeGetTensorImpl()->version_counter()) {}

  const c10::StorageImpl* memory() const {
    return storage_.unsafeGetStorageImpl();
  }
  bool is_forgotten() const { return storage_.use_count() == 1; }

  at::Tensor make() const {
    auto tensor = at::detail::make_tensor<c10::TensorImpl>(
        c10::Storage(storage_), keys_, dtype_);
    tensor.unsafeGetTensorImpl()->set_sizes_and_strides(
        sizes_, strides_, offset_);
    tensor.unsafeGetTensorImpl()->set_version_counter(counter_);
    return tensor;
  }

 private:
  c10::Storage storage_;
  c10::DispatchKeySet keys_;
  caffe2::TypeMeta dtype_;
  c10::SmallVector<int64_t, 5> sizes_;
  c10::SmallVector<int64_t, 5> strides_;
  int64_t offset_;
  c10::VariableVersion counter_;
};

/// A call that can be skipped when its results are supplied: every result has a
/// new storage, and the call has no other effect.
struct PureCall {
  /// One tensor, several tensors, or a value that is no tensor.
  struct Result {
    std::vector<PlainTensor> tensors;
    c10::IValue value;
    bool is_list = false;
  };
  CallId id;
  int64_t version = 0;  // of the tensors
  std::vector<Result> results;
  std::vector<uint32_t> writes;  // into each tensor's storage, when made

  template <class Use>
  void each(const Use& use) const {
    for (const auto& result : results) {
      std::for_each(result.tensors.begin(), result.tensors.end(), use);
    }
  }

  bool is_forgotten() const {
    bool forgotten = true;
    each([&](const PlainTensor& tensor) {
      forgotten = forgotten && tensor.is_forgotten();
    });
    return forgotten;
  }
};

/// The pure calls of a run.
class OpLog {
 public:
  /// Operators draw from the generators of `devices` and of the CPU.
  explicit OpLog(std::vector<c10::Device> devices)
      : devices_(std::move(devices)) {}

  void before(const c10::OperatorHandle& op, const OpWatcher::Stack& stack) {
    forget();
    id_ = counter_.next(op, stack);
    info_ = &infos_.try_emplace(&op.schema(), op).first->second;
    taken_.clear();
    has_generator_ = false;
    const auto& arguments = op.schema().arguments();
    for (size_t i = 0; i < arguments.size(); ++i) {
      const auto& value = stack[stack.size() - arguments.size() + i];
      const auto* alias = info_->writes ? arguments[i].alias_info() : nullptr;
      each_defined(value, [&](const at::Tensor& tensor) {
        const auto* const memory = memory_of(tensor);
        taken_.push_back(memory);
        if (alias != nullptr && alias->isWrite() && memory != nullptr) {
          ++writes_[memory];
        }
      });
      has_generator_ = has_generator_ || value.isGenerator();
    }
    random_.reset();
    if (info_->may_draw && !info_->writes) {
      random_.emplace(devices_);
    }
  }

  void after(const c10::OperatorHandle& op, const OpWatcher::Stack& stack) {
    if (info_->writes || info_->is_factory || has_generator_ ||
        (random_ && !(*random_ == RandomState(devices_)))) {
      return;
    }
    auto call = std::make_shared<PureCall>();
    call->id = id_;
    const size_t count = op.schema().returns().size();
    for (size_t i = stack.size() - count; i < stack.size(); ++i) {
      if (!add_result(stack[i], *call)) {
        return;
      }
    }
    if (!call->writes.empty()) {
      call->each([&](const PlainTensor& tensor) {
        calls_.emplace(tensor.memory(), call);
      });
      order_.push_back(std::move(call));
    }
  }

  /// The call that made the storage of `tensor`, if it can be skipped; else
  /// null.
  std::shared_ptr<const PureCall> find(const at::Tensor& tensor) const {
    const auto found = calls_.find(memory_of(tensor));
    return found != calls_.end() && is_unchanged(*found->second) &&
                   version_of(*tensor.unsafeGetTensorImpl()) ==
                       found->second->version
               ? found->second
               : nullptr;
  }

  /// How many times operators wrote into `memory`.
  uint32_t writes(const c10::StorageImpl* memory) const {
    const auto found = writes_.find(memory);
    return found == writes_.end() ? 0 : found->second;
  }

  /// True when no operator has written into the results since.
  bool is_unchanged(const PureCall& call) const {
    bool same = true;
    size_t i = 0;
    call.each([&](const PlainTensor& tensor) {
      same = same && writes(tensor.memory()) == call.writes[i++];
    });
    return same;
  }

 private:
  static constexpr size_t kRecent = 64;

  /// What is known of an operator.
  struct Info {
    explicit Info(const c10::OperatorHandle& op) {
      const std::string_view name = op.schema().name();
      bool takes_tensors = false;
      for (const auto& argument : op.schema().arguments()) {
        const auto* alias = argument.alias_info();
        writes = writes || (alias != nullptr && alias->isWrite());
        takes_tensors = takes_tensors || argument.type()->str().find(
                                             "Tensor") != std::string::npos;
      }
      // Code other than operators may fill the result.
      is_factory = !takes_tensors || name.starts_with("aten::new_") ||
                   name.ends_with("_like");
      may_draw = op.hasTag(at::Tag::nondeterministic_seeded) ||
                 !name.starts_with("aten::");  // torch's own have the tag
    }
    bool writes = false;
    bool is_factory = false;
    bool may_draw = false;
  };

  bool add_result(const c10::IValue& value, PureCall& call) const {
    auto& result = call.results.emplace_back();
    result.is_list = value.isList();
    bool pure = true;
    each_defined(value, [&](const at::Tensor& tensor) {
      pure = pure && has_plain_memory(tensor) && is_new(memory_of(tensor));
      if (pure) {
        result.tensors.emplace_back(tensor);
        call.writes.push_back(writes(memory_of(tensor)));
        const auto version = version_of(*tensor.unsafeGetTensorImpl());
        pure = call.writes.size() == 1 || call.version == version;
        call.version = version;
      }
    });
    if (result.tensors.empty()) {
      result.value = value;
    }
    return pure && (!result.is_list ||
                    result.tensors.size() == value.toListRef().size());
  }

  bool is_new(const c10::StorageImpl* memory) const {
    return std::find(taken_.begin(), taken_.end(), memory) == taken_.end() &&
           !calls_.contains(memory);
  }

  /// Drops the calls whose results nobody else holds: before each operator
  /// among the last kRecent, and among all when there are many.
  void forget() {
    const bool all = order_.size() >= limit_;
    const size_t first =
        all || order_.size() < kRecent ? 0 : order_.size() - kRecent;
    const auto gone = std::remove_if(
        order_.begin() + static_cast<std::ptrdiff_t>(first),
        order_.end(),
        [this](const std::shared_ptr<PureCall>& call) {
          if (call.use_count() > 1 + static_cast<long>(call->writes.size()) ||
              !call->is_forgotten()) {
            return false;
          }
          call->each([this](const PlainTensor& tensor) {
            calls_.erase(tensor.memory());
            writes_.erase(tensor.memory());
          });
          return true;
        });
    order_.erase(gone, order_.end());
    if (all) {
      limit_ = std::max(2 * kRecent, 2 * order_.size());
    }
  }

  const std::vector<c10::Device> devices_;
  CallCounter counter_;
  std::unordered_map<const c10::FunctionSchema*, Info> infos_;
  std::unordered_map<const c10::StorageImpl*, uint32_t> writes_;
  std::unordered_map<const c10::StorageImpl*, std::shared_ptr<PureCall>> calls_;
  std::vector<std::shared_ptr<PureCall>> order_;
  size_t limit_ = 2 * kRecent;

  CallId id_;  // of the operator that runs
  const Info* info_ = nullptr;
  c10::SmallVector<const c10::StorageImpl*, 8> taken_;
  std::optional<RandomState> random_;
  bool has_generator_ = false;  // of the program's own
};

}  // namespace libgrad::detail
