/// libgrad/doctor/frozen.h -- memory that nobody may write to.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/record/origins.h>
#include <libgrad/torch/memory/storage.h>

#include <c10/util/Exception.h>

#include <atomic>
#include <list>
#include <mutex>
#include <string>
#include <vector>

namespace libgrad::detail {

/// The bytes of its storage that a tensor has.
class Bytes {
 public:
  explicit Bytes(const c10::TensorImpl& tensor) : span_(span_of(tensor)) {
    if (known_ = !tensor.is_nested() && !tensor.has_symbolic_sizes_strides();
        known_ && !tensor.is_non_overlapping_and_dense_default()) {
      has_.resize(span_.end - span_.begin);
      mark(tensor, 0, 0);
    }
  }

  /// True when both have a byte in common, or may have: where the bytes are not
  /// known, the spans decide.
  bool meet(const Bytes& other) const {
    if (!span_.meets(other.span_) || !known_ || !other.known_) {
      return span_.meets(other.span_);
    }
    const auto end = std::min(span_.end, other.span_.end);
    for (auto i = std::max(span_.begin, other.span_.begin); i < end; ++i) {
      if (has(i) && other.has(i)) {
        return true;
      }
    }
    return false;
  }

 private:
  bool has(int64_t byte) const {
    return has_.empty() || has_[byte - span_.begin];
  }

  void mark(const c10::TensorImpl& tensor, int64_t dim, int64_t at) {
    const auto itemsize = static_cast<int64_t>(tensor.dtype().itemsize());
    if (dim == tensor.dim()) {
      std::fill_n(has_.begin() + at * itemsize, itemsize, true);
      return;
    }
    for (int64_t i = 0; i < tensor.sizes()[dim]; ++i) {
      mark(tensor, dim + 1, at + i * tensor.strides()[dim]);
    }
  }

  Span span_;
  std::vector<bool> has_;  // by byte of the span; empty: all of them
  bool known_ = true;
};

/// The frozen memory of this process.
class Frozen {
 public:
  struct Memory {
    Kept storage;
    Bytes bytes;
    std::string tensor;  // in words
    Here where;          // where it was frozen
  };
  using Handle = std::list<Memory>::iterator;

  static Frozen& instance() {
    static Frozen* const frozen = new Frozen;  // outlives the interpreter
    return *frozen;
  }

  Handle add(Memory memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    count_.fetch_add(1);
    return memories_.insert(memories_.end(), std::move(memory));
  }

  void remove(Handle memory) {
    const std::lock_guard<std::mutex> lock(mutex_);
    memories_.erase(memory);
    count_.fetch_sub(1);
  }

  /// Throws c10::Error when `op` would write into frozen memory.
  void check(const c10::TensorImpl& tensor, uint32_t op) const {
    if (count_.load(std::memory_order_relaxed) == 0) {
      return;
    }
    std::string tensor_in_words;
    Here where;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      const auto* memory = find(tensor);
      if (memory == nullptr) {
        return;
      }
      tensor_in_words = memory->tensor;
      where = memory->where;
    }
    TORCH_CHECK(
        false,
        "freeze: ",
        Origins::instance().text(op),
        " would write into a frozen tensor (",
        tensor_in_words,
        where.place.key == nullptr ? std::string()
                                   : ", frozen at " + line_of(where.place),
        "); write into a clone() of it, or thaw() it first");
  }

 private:
  static std::string line_of(const Place& place) {
    const auto [file, line] = source_of(place);
    return file + ":" + std::to_string(line);
  }

  const Memory* find(const c10::TensorImpl& tensor) const {
    const auto* storage = tensor.unsafe_storage().unsafeGetStorageImpl();
    for (const auto& memory : memories_) {
      if (memory.storage._unsafe_get_target() == storage &&
          memory.bytes.meet(Bytes(tensor))) {
        return &memory;
      }
    }
    return nullptr;
  }

  mutable std::mutex mutex_;
  std::atomic<size_t> count_ = 0;
  std::list<Memory> memories_;
};

/// Freezes the memory of `tensor`.
inline Frozen::Handle freeze(const at::Tensor& tensor) {
  TORCH_CHECK(tensor.defined(), "freeze: the tensor is undefined");
  const auto& impl = *tensor.unsafeGetTensorImpl();
  auto* storage = impl.has_storage()
                      ? impl.unsafe_storage().unsafeGetStorageImpl()
                      : nullptr;
  TORCH_CHECK(
      storage != nullptr && !tensor.is_nested(),
      "freeze: expected a tensor with memory of its own, but the tensor (",
      describe(tensor),
      ", ",
      tensor.layout(),
      ") has none that could be watched; freeze its parts, such as values()");
  return Frozen::instance().add(
      {keep_address(storage), Bytes(impl), describe(tensor), where_called()});
}

}  // namespace libgrad::detail
