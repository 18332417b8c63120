/// libgrad/questions/gradient_memory.h -- the gradients that are alive in a
/// simulated backward, and their memory.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// How the elements of a gradient lie in its memory.
enum class Lie : uint8_t {
  kInOrder,
  kPermuted,  // in another order, all of them once
  kUniform,   // one element that stands for all
  kOther,     // some elements stand for several, or there are gaps
};

/// Counts references to gradients, by which LibTorch decides whether it may
/// write into one, and the bytes of all gradients.
class GradientMemory {
 public:
  /// A new tensor in memory of its own.
  Index make(int64_t nbytes) {
    now_ += nbytes;
    touch(0);
    const Storage storage{nbytes, 0};
    return make_tensor(
        take_place(free_storages_, storages_, storage), Lie::kInOrder, false);
  }

  /// A view of `tensor`. It keeps the storage alive.
  Index view(Index tensor, Lie lie) {
    return make_tensor(tensors_[tensor].storage, lie, true);
  }

  /// Adds a reference.
  Index hold(Index tensor) {
    ++tensors_[tensor].references;
    return tensor;
  }

  /// Drops a reference; a storage without references is freed.
  void drop(Index tensor) {
    if (--tensors_[tensor].references > 0) {
      return;
    }
    auto& storage = storages_[tensors_[tensor].storage];
    if (--storage.tensors == 0) {
      now_ -= storage.nbytes;
      free_storages_.push_back(tensors_[tensor].storage);
    }
    free_tensors_.push_back(tensor);
  }

  /// Whether there is only one reference to the tensor.
  bool is_own(Index tensor) const { return tensors_[tensor].references == 1; }
  Lie lie(Index tensor) const { return tensors_[tensor].lie; }
  /// Whether each element has memory of its own, without gaps.
  bool is_dense(Index tensor) const {
    return lie(tensor) == Lie::kInOrder || lie(tensor) == Lie::kPermuted;
  }
  /// Whether nobody else sees a write into the tensor.
  bool is_writable(Index tensor) const {
    return is_own(tensor) && !tensors_[tensor].is_view &&
           storages_[tensors_[tensor].storage].tensors == 1;
  }

  /// Counts `nbytes` of temporaries besides the gradients, for the peak.
  void touch(int64_t nbytes) { peak_ = std::max(peak_, now_ + nbytes); }

  int64_t now() const { return now_; }
  /// The peak since the last call.
  int64_t take_peak() { return std::exchange(peak_, now_); }

 private:
  struct Tensor {
    Index storage;
    uint32_t references;
    Lie lie;
    bool is_view;
  };
  struct Storage {
    int64_t nbytes;
    uint32_t tensors;
  };

  Index make_tensor(Index storage, Lie lie, bool is_view) {
    ++storages_[storage].tensors;
    const Tensor tensor{storage, 1, lie, is_view};
    return take_place(free_tensors_, tensors_, tensor);
  }

  template <class T>
  static Index take_place(
      std::vector<Index>& free, std::vector<T>& all, T value) {
    if (free.empty()) {
      all.push_back(value);
      return static_cast<Index>(all.size() - 1);
    }
    const Index place = free.back();
    free.pop_back();
    all[place] = value;
    return place;
  }

  std::vector<Tensor> tensors_;
  std::vector<Storage> storages_;
  std::vector<Index> free_tensors_;
  std::vector<Index> free_storages_;
  int64_t now_ = 0;
  int64_t peak_ = 0;
};

}  // namespace libgrad::detail
