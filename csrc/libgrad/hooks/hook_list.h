/// libgrad/hooks/hook_list.h -- callables that run one after the other, and
/// can be taken out again.

#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace libgrad {

namespace detail {

/// A list that threads may add to, take out of and run at once.
template <class Signature>
class HookList {
 public:
  using Hook = std::function<Signature>;

  uint64_t add(Hook hook) {
    const std::lock_guard<std::mutex> lock(mutex_);
    hooks_.emplace_back(++last_, std::make_shared<const Hook>(std::move(hook)));
    return last_;
  }

  void remove(uint64_t number) {
    std::shared_ptr<const Hook> hook;  // goes when no lock is held
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto it = hooks_.begin(); it != hooks_.end(); ++it) {
      if (it->first == number) {
        hook = std::move(it->second);
        hooks_.erase(it);
        return;
      }
    }
  }

  /// Those of now, in the order in which they were added.
  std::vector<std::shared_ptr<const Hook>> now() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::shared_ptr<const Hook>> result;
    result.reserve(hooks_.size());
    for (const auto& [number, hook] : hooks_) {
      result.push_back(hook);
    }
    return result;
  }

 private:
  mutable std::mutex mutex_;
  uint64_t last_ = 0;
  std::vector<std::pair<uint64_t, std::shared_ptr<const Hook>>> hooks_;
};

}  // namespace detail

/// Takes hooks out again. They stay when it is destroyed.
class RemovableHandle {
 public:
  RemovableHandle() = default;

  template <class Signature>
  RemovableHandle(
      const std::shared_ptr<detail::HookList<Signature>>& list,
      uint64_t number) {
    removes_.push_back([list = std::weak_ptr(list), number] {
      if (const auto hooks = list.lock()) {
        hooks->remove(number);
      }
    });
  }

  /// May be called again, also when the tensor or node is gone.
  void remove() {
    for (const auto& remove : std::exchange(removes_, {})) {
      remove();
    }
  }

  /// Takes over what `other` removes.
  void add(RemovableHandle other) {
    for (auto& remove : other.removes_) {
      removes_.push_back(std::move(remove));
    }
  }

 private:
  std::vector<std::function<void()>> removes_;
};

}  // namespace libgrad
