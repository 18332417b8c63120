/// libgrad/doctor/contents_log.h -- the contents that saved tensors had when
/// their nodes were first seen.
///
/// Relies on (covered by tests/cpp/doctor/test_doctor.cpp): RecordFunction
/// reports the outputs of every call of the dispatcher.

#pragma once

#include <libgrad/doctor/contents.h>
#include <libgrad/doctor/writes.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/saved/of_node.h>

#include <c10/util/SmallVector.h>
#include <c10/util/flat_hash_map.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The thread and the sequence number of a node, which identify it as long as
/// it lives.
using NodeNumber = std::pair<uint64_t, uint64_t>;

struct NumberHash {
  size_t operator()(const NodeNumber& number) const {
    return (number.first << 40 ^ number.second) * 0x9e3779b97f4a7c15;
  }
};

inline NodeNumber number_of(const RawNode& node) {
  return {node.thread_id(), node.sequence_nr()};
}

/// True where the node's gradient depends on the contents of `field`. Batch
/// norm in training saves its running statistics, but does not use them.
inline bool content_matters(const RawNode& node, std::string_view field) {
  namespace made = torch::autograd::generated;
  if (!field.starts_with("running_")) {
    return true;
  }
  const auto in_training = [&]<class N>(const N*) {
    return typeid(node) == typeid(N) && static_cast<const N&>(node).training;
  };
  return !in_training(static_cast<made::NativeBatchNormBackward0*>(nullptr)) &&
         !in_training(
             static_cast<made::NativeBatchNormLegitBackward0*>(nullptr)) &&
         !in_training(static_cast<made::CudnnBatchNormBackward0*>(nullptr)) &&
         !in_training(static_cast<made::MiopenBatchNormBackward0*>(nullptr)) &&
         typeid(node) != typeid(made::BatchNormWithUpdateBackward0);
}

/// A saved tensor, as it was when its node was first seen.
struct SavedContent {
  std::optional<Kept> storage;  // nullopt for a tensor that is not read
  bool computed = false;        // by a node: its storage goes with the graph
  Span span;
  Content content;

  bool is_gone() const { return computed && storage->expired(); }
  bool is_in(const c10::TensorImpl& tensor) const {
    return storage->_unsafe_get_target() ==
           tensor.unsafe_storage().unsafeGetStorageImpl();
  }
  bool is_memory_of(const SavedContent& other) const {
    return storage && other.storage && *storage == *other.storage &&
           span.begin == other.span.begin && span.end == other.span.end;
  }
};

/// What a node saved, as it was when the node was first seen.
struct NodeContents {
  Here where;
  uint64_t writes = 0;  // writes seen until then
  uint64_t number = 0;  // from 1, in the order of reading
  c10::SmallVector<SavedContent, 2> saved = {};  // one for each saved tensor
};

/// The most nodes that are remembered, of those that may still exist.
inline constexpr size_t kRememberedContents = size_t{1} << 18;

class ContentsLog {
 public:
  static ContentsLog& instance() {
    static ContentsLog* const log = new ContentsLog;  // outlives Python
    return *log;
  }

  /// Reads what `node` saved, and the nodes behind it that are not known yet.
  void see(RawNode& node) {
    c10::SmallVector<RawNode*, 8> open{&node};
    while (!open.empty()) {
      auto& next = *open.back();
      open.pop_back();
      if (next.sequence_nr() == UINT64_MAX || !add(next)) {
        continue;
      }
      for (const auto& edge : next.next_edges()) {
        if (edge.is_valid()) {
          open.push_back(edge.function.get());
        }
      }
    }
  }

  /// What `node` saved; null when it was not seen.
  std::shared_ptr<const NodeContents> of(const RawNode& node) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = contents_.find(number_of(node));
    return found == contents_.end() ? nullptr : found->second;
  }

  /// The contents seen in the memory of `like` in nodes after the node
  /// `number`, and where, in the order of time.
  std::vector<std::pair<Here, SavedContent>> since(
      uint64_t number, const SavedContent& like) const {
    std::vector<std::pair<Here, SavedContent>> result;
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto* list : {&order_, &recent_}) {
      for (const auto& id : *list) {
        const auto& node = *contents_.at(id);
        for (const auto& saved : node.saved) {
          if (node.number > number && saved.is_memory_of(like)) {
            result.emplace_back(node.where, saved);
          }
        }
      }
    }
    return result;
  }

 private:
  static constexpr size_t kRecent = 256;

  /// Returns false when the node is known. Reading may wait for another lock
  /// (the GIL), so it happens without our mutex.
  bool add(RawNode& node) {
    const auto id = number_of(node);
    if (knows(id)) {
      return false;
    }
    const auto contents = std::make_shared<NodeContents>();
    contents->where = where_called();
    contents->writes = writes_seen.load(std::memory_order_relaxed);
    read_saved(node, known_node(typeid(node)), [&](const SavedPlace& place) {
      contents->saved.push_back(read(node, place));
    });
    const std::lock_guard<std::mutex> lock(mutex_);
    contents->number = ++read_;
    if (contents_.emplace(id, contents).second) {
      recent_.push_back(id);
    }
    if (recent_.size() == kRecent) {
      settle();
    }
    return true;
  }

  bool knows(const NodeNumber& id) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return contents_.count(id) != 0;
  }

  static SavedContent read(const RawNode& node, const SavedPlace& place) {
    if (place.tensor == nullptr || !Content::can_read(*place.tensor) ||
        !content_matters(node, place.field)) {
      return {};
    }
    const auto& impl = *place.tensor->unsafeGetTensorImpl();
    const bool computed = place.output || torch::autograd::impl::grad_fn_unsafe(
                                              *place.tensor) != nullptr;
    return {
        keep_address(impl.unsafe_storage().unsafeGetStorageImpl()),
        computed,
        span_of(impl),
        Content(*place.tensor)};
  }

  /// Drops nodes that are gone: most live for one step.
  void settle() {
    for (const auto& id : recent_) {
      const auto& saved = contents_.at(id)->saved;
      if (std::any_of(saved.begin(), saved.end(), [](const auto& content) {
            return content.is_gone();
          })) {
        contents_.erase(id);
      } else {
        order_.push_back(id);
      }
    }
    recent_.clear();
    while (order_.size() > kRememberedContents) {
      contents_.erase(order_.front());
      order_.pop_front();
    }
  }

  mutable std::mutex mutex_;
  ska::
      flat_hash_map<NodeNumber, std::shared_ptr<const NodeContents>, NumberHash>
          contents_;
  std::deque<NodeNumber> recent_;
  std::deque<NodeNumber> order_;  // older than those in `recent_`
  uint64_t read_ = 0;
};

inline std::unique_ptr<at::ObserverContext> nothing_starts(
    const at::RecordFunction&) {
  return nullptr;
}

/// Reads the nodes behind the outputs of a call.
inline void see_outputs(
    const at::RecordFunction& call, at::ObserverContext* /*context*/) {
  for (const auto& output : call.outputs()) {
    each_tensor(output, [](const at::Tensor& tensor) {
      if (!tensor.defined()) {
        return;
      }
      if (auto* node = torch::autograd::impl::grad_fn_unsafe(tensor)) {
        ContentsLog::instance().see(*node);
      }
    });
  }
}

/// While a ContentsScope lives, the contents of the tensors that this thread's
/// nodes save are read.
class ContentsScope {
 public:
  ContentsScope() {
    if (depth_++ == 0) {
      handle_ = watch();
    }
  }
  /// Stops reading until `resume`: a backward that makes no graph has many
  /// calls, but no new nodes.
  static void pause() {
    if (depth_ > 0) {
      at::removeCallback(handle_);
    }
  }
  static void resume() {
    if (depth_ > 0) {
      handle_ = watch();
    }
  }

  ContentsScope(const ContentsScope&) = delete;
  ContentsScope& operator=(const ContentsScope&) = delete;
  ~ContentsScope() {
    if (--depth_ == 0) {
      at::removeCallback(handle_);
    }
  }

 private:
  static at::CallbackHandle watch() {
    return at::addThreadLocalCallback(
        at::RecordFunctionCallback(nothing_starts, see_outputs)
            .needsOutputs(true)
            .scopes({at::RecordScope::FUNCTION}));
  }

  static inline thread_local int depth_ = 0;
  static inline thread_local at::CallbackHandle handle_ = 0;
};

}  // namespace libgrad::detail
