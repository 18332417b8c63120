/// libgrad/detail/gradcheck_values.h -- numbers of tensors, read and moved with
/// as few calls of the dispatcher as can be: a check makes thousands.

#pragma once

#include <libgrad/detail/edges.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Dispatch.h>
#include <ATen/Functions.h>
#include <ATen/OpMathType.h>
#include <c10/core/DefaultDtype.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace libgrad::detail {

using Complex = c10::complex<double>;

inline bool has_numbers(const at::Tensor& tensor) {
  return tensor.defined() &&
         (tensor.is_floating_point() || tensor.is_complex());
}

/// True where the numbers of `tensor` lie open in memory, as they are.
inline bool is_open(const at::Tensor& tensor) {
  return tensor.is_cpu() && tensor.layout() == at::kStrided &&
         !tensor.unsafeGetTensorImpl()->is_python_dispatch() &&
         !tensor.is_conj() && !tensor.is_neg();
}

/// Where element `k`, counted along the last dimension first, lies in memory.
inline int64_t offset_of(const at::Tensor& tensor, int64_t k) {
  int64_t offset = 0;
  for (int64_t d = tensor.dim() - 1; d >= 0; --d) {
    offset += k % tensor.size(d) * tensor.stride(d);
    k /= tensor.size(d);
  }
  return offset;
}

/// The indices of element `k` of a tensor of `shape`.
inline std::vector<int64_t> place_of(at::IntArrayRef shape, int64_t k) {
  std::vector<int64_t> place(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    place[d] = k % shape[d];
    k /= shape[d];
  }
  return place;
}

/// `tensor` on the CPU in double precision; complex if `complex`.
inline at::Tensor in_double(const at::Tensor& tensor, bool complex) {
  const auto dtype = complex ? at::kComplexDouble : at::kDouble;
  if (tensor.scalar_type() == dtype && is_open(tensor)) {
    return tensor;
  }
  return tensor.detach().to(at::kCPU, dtype).resolve_conj().resolve_neg();
}

template <class Number>
Number number_from(const Complex& value) {
  if constexpr (c10::is_complex<Number>::value) {
    return static_cast<Number>(value);
  } else {
    return static_cast<Number>(value.real());
  }
}

/// Calls `body` with a number of the type `dtype`.
template <class Body>
void with_type(at::ScalarType dtype, const Body& body) {
  AT_DISPATCH_FLOATING_AND_COMPLEX_TYPES_AND3(
      at::kHalf, at::kBFloat16, at::kComplexHalf, dtype, "gradcheck", [&] {
        body(scalar_t());
      });
}

/// The numbers of one input, moved in place and put back in the end, on every
/// way out. Neither version counters nor graphs see it.
class Moved {
 public:
  explicit Moved(const at::Tensor& tensor)
      : tensor_(tensor),
        open_(is_open(tensor)),
        original_(tensor.detach().clone(at::MemoryFormat::Contiguous)) {}
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;
  ~Moved() {
    try {
      restore();
    } catch (const std::exception&) {  // the device is lost, as was said
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
  /// real numbers in double precision, one for each.
  void all(const at::Tensor& direction, const Complex& step) {
    moved_ = kAll;
    if (!open_) {
      const at::AutoGradMode grad_mode(false);
      const auto along = direction.view_as(original_).to(
          original_.device(), c10::toRealValueType(original_.scalar_type()));
      tensor_.variable_data().copy_(original_ + along * scalar(step));
      return;
    }
    with_type(tensor_.scalar_type(), [&](auto type) {
      using Number = decltype(type);
      using Wide = at::opmath_type<Number>;
      const bool dense = tensor_.is_contiguous();
      const auto* along = direction.const_data_ptr<double>();
      const auto* from = original_.const_data_ptr<Number>();
      auto* to = numbers<Number>();
      for (int64_t k = 0; k < original_.numel(); ++k) {
        to[dense ? k : offset_of(tensor_, k)] = static_cast<Number>(
            static_cast<Wide>(from[k]) + number_from<Wide>(step * along[k]));
      }
    });
  }

  /// Puts back, to the bit, what was moved.
  void restore() {
    if (moved_ == kAll) {
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

/// Copies the numbers of `value` to row `k` of `rows`, a contiguous matrix.
inline void put_row(
    const at::Tensor& rows, int64_t k, const at::Tensor& value) {
  if (is_open(value) && is_open(rows) && value.is_contiguous() &&
      value.scalar_type() == rows.scalar_type()) {
    const auto bytes = value.numel() * static_cast<int64_t>(value.itemsize());
    if (bytes > 0) {
      std::memcpy(
          static_cast<char*>(rows.mutable_data_ptr()) + k * bytes,
          value.const_data_ptr(),
          bytes);
    }
    return;
  }
  const at::AutoGradMode grad_mode(false);
  const auto dense = value.layout() == at::kStrided ? value : value.to_dense();
  rows.select(0, k).copy_(dense.detach().reshape(-1));
}

/// Random numbers of its own: the same in every check, and none of the user's.
class Draw {
 public:
  /// `count` numbers from 0 to 1 in double precision, of length 1 together.
  at::Tensor unit(int64_t count) {
    auto vector =
        at::rand({count}, generator_, c10::get_default_dtype_as_scalartype())
            .to(at::kDouble);
    auto* numbers = vector.mutable_data_ptr<double>();
    double squares = 0;
    for (int64_t k = 0; k < count; ++k) {
      squares += numbers[k] * numbers[k];
    }
    for (int64_t k = 0; k < count; ++k) {
      numbers[k] /= std::sqrt(squares);
    }
    return vector;
  }

  /// Numbers from -1 to 1 like `tensor`, contiguous.
  at::Tensor like(const at::Tensor& tensor) {
    const auto dtype = tensor.is_complex() ? at::kComplexDouble : at::kDouble;
    const at::AutoGradMode grad_mode(false);
    auto numbers = at::rand(tensor.sizes(), generator_, at::dtype(dtype));
    if (tensor.is_complex()) {
      at::view_as_real(numbers).mul_(2).sub_(1);
    } else {
      numbers.mul_(2).sub_(1);
    }
    return numbers.to(tensor.device(), tensor.scalar_type());
  }

 private:
  at::Generator generator_ = at::detail::createCPUGenerator();
};

/// The sum of the products of `vector`, from Draw, and the numbers of `tensor`.
inline Complex sum_of_products(
    const at::Tensor& vector, const at::Tensor& tensor) {
  const auto* left = vector.const_data_ptr<double>();
  const auto values = in_double(tensor, tensor.is_complex()).contiguous();
  Complex sum = 0;
  with_type(values.scalar_type(), [&](auto type) {
    using Number = decltype(type);
    if constexpr (
        std::is_same_v<Number, double> || std::is_same_v<Number, Complex>) {
      const auto* right = values.const_data_ptr<Number>();
      for (int64_t k = 0; k < values.numel(); ++k) {
        sum += left[k] * right[k];
      }
    }
  });
  return sum;
}

inline double sum_of(const at::Tensor& vector) {
  const auto* numbers = vector.const_data_ptr<double>();
  double sum = 0;
  for (int64_t k = 0; k < vector.numel(); ++k) {
    sum += numbers[k];
  }
  return sum;
}

}  // namespace libgrad::detail
