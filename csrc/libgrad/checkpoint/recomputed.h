/// libgrad/checkpoint/recomputed.h -- recomputed tensors, until backward takes
/// them.

#pragma once

#include <libgrad/torch/autograd/backward_id.h>

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Recomputed tensors, by the thread that computed them and the backward that
/// it works for. So no thread waits for another while that one runs the
/// program's code.
class Recomputed {
 public:
  /// Takes tensor `number` out. Undefined when it was taken before; nothing
  /// when this thread has not computed it.
  std::optional<at::Tensor> take(const BackwardId& backward, size_t number) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& one : all_) {
      if (one.thread == std::this_thread::get_id() &&
          one.backward == backward && number < one.tensors.size()) {
        return std::exchange(one.tensors[number], {});
      }
    }
    return std::nullopt;
  }

  /// Puts in the tensors that this thread has computed; true when they are its
  /// first ones in this backward.
  bool put(const BackwardId& backward, std::vector<at::Tensor> tensors) {
    const auto thread = std::this_thread::get_id();
    One gone{thread, backward, std::move(tensors)};  // destroyed after unlock
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t mine = 0;
    for (auto& one : all_) {
      if (one.thread == thread && one.backward == backward) {
        std::swap(one, gone);
        return false;
      }
      mine += one.thread == thread && !one.backward.is_group();
    }
    all_.push_back(std::exchange(gone, {}));
    if (mine == kMost) {  // left by failed backwards
      const auto oldest =
          std::find_if(all_.begin(), all_.end(), [thread](const One& one) {
            return one.thread == thread && !one.backward.is_group();
          });
      gone = std::move(*oldest);
      all_.erase(oldest);
    }
    return true;
  }

  void forget(const BackwardId& backward, std::thread::id thread) {
    One gone;  // destroyed without the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found =
        std::find_if(all_.begin(), all_.end(), [&](const One& one) {
          return one.thread == thread && one.backward == backward;
        });
    if (found != all_.end()) {
      gone = std::move(*found);
      all_.erase(found);
    }
  }

 private:
  struct One {
    std::thread::id thread;
    BackwardId backward;
    std::vector<at::Tensor> tensors;  // undefined once taken
  };
  static constexpr size_t kMost = 8;  // of nested backwards

  std::mutex mutex_;
  std::vector<One> all_;
};

}  // namespace libgrad::detail
