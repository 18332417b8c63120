/// libgrad/gradcheck/moved.h -- changes an input in place for a difference, and
/// restores it.

#pragma once

#include <libgrad/gradcheck/vector.h>

#include <ATen/TensorOperators.h>

namespace libgrad::detail {

/// The numbers of one input, changed in place and restored by the destructor.
/// Neither version counters nor graphs notice the change.
class Moved {
 public:
  explicit Moved(const at::Tensor& tensor)
      : tensor_(tensor),
        open_(is_open(tensor)),
        original_(copied(tensor)) {}
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;
  ~Moved() {
    try {
      restore();
    } catch (const std::exception&) {  // a lost device has thrown before
    }
  }

  /// Sets element `k` alone to its original value plus `step`.
  void one(int64_t k, const Complex& step) {
    if (moved_ != k) {
      restore();
    }
    moved_ = k;
    if (!open_) {
      const at::AutoGradMode grad_mode(false);
      place(k).copy_(original_.view(-1).select(0, k) + scalar(step));
      return;
    }
    with_type(tensor_.scalar_type(), [&](auto type) {
      using Number = decltype(type);
      using Wide = at::opmath_type<Number>;
      const auto from = original_.const_data_ptr<Number>()[k];
      numbers<Number>()[offset_of(tensor_, k)] = static_cast<Number>(
          static_cast<Wide>(from) + number_from<Wide>(step));
    });
  }

  /// Sets all elements to their original values plus `step` times `direction`,
  /// which has a number for each element.
  void all(const Vector& direction, const Complex& step) {
    moved_ = kAll;
    if (!open_) {
      const at::AutoGradMode grad_mode(false);
      const auto along = direction.like(original_).view_as(original_);
      tensor_.variable_data().copy_(original_ + along * scalar(step));
      return;
    }
    with_type(tensor_.scalar_type(), [&](auto type) {
      using Number = decltype(type);
      using Wide = at::opmath_type<Number>;
      const bool dense = tensor_.is_contiguous();
      const auto* along = direction.numbers.data();
      const auto* from = original_.const_data_ptr<Number>();
      auto* to = numbers<Number>();
      for (int64_t k = 0; k < original_.numel(); ++k) {
        to[dense ? k : offset_of(tensor_, k)] = static_cast<Number>(
            static_cast<Wide>(from[k]) + number_from<Wide>(step * along[k]));
      }
    });
  }

  /// Restores the original values bit for bit.
  void restore() {
    if (moved_ == kAll && open_ && tensor_.is_contiguous()) {
      std::memcpy(
          numbers<char>(), original_.const_data_ptr(), original_.nbytes());
    } else if (moved_ == kAll) {
      tensor_.variable_data().copy_(original_);
    } else if (moved_ >= 0 && open_) {
      const auto size = static_cast<int64_t>(original_.element_size());
      std::memcpy(
          numbers<char>() + offset_of(tensor_, moved_) * size,
          static_cast<const char*>(original_.const_data_ptr()) + moved_ * size,
          size);
    } else if (moved_ >= 0) {
      place(moved_).copy_(original_.view(-1).select(0, moved_));
    }
    moved_ = kNothing;
  }

 private:
  static constexpr int64_t kNothing = -2, kAll = -1;

  template <class Number>
  Number* numbers() const {
    return static_cast<Number*>(tensor_.mutable_data_ptr());
  }

  at::Tensor place(int64_t k) const {
    return tensor_.variable_data().as_strided(
        {}, {}, tensor_.storage_offset() + offset_of(tensor_, k));
  }

  at::Scalar scalar(const Complex& step) const {
    return tensor_.is_complex() ? at::Scalar(step) : at::Scalar(step.real());
  }

  at::Tensor tensor_;
  bool open_;
  at::Tensor original_;
  int64_t moved_ = kNothing;
};

}  // namespace libgrad::detail
