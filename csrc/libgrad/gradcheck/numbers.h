/// libgrad/gradcheck/numbers.h -- reads and writes the numbers of tensors with
/// as few calls of the dispatcher as possible: a check does so thousands of
/// times.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp): the dispatch keys
/// of an ordinary CPU tensor; other tensors have further keys.

#pragma once

#include <libgrad/gradcheck/types.h>

#include <libgrad/torch/autograd/edges.h>

#include <ATen/Dispatch.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <ATen/OpMathType.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace libgrad::detail {

using Complex = c10::complex<double>;

inline bool has_numbers(const at::Tensor& tensor) {
  return tensor.defined() &&
         (tensor.is_floating_point() || tensor.is_complex());
}

/// True when the memory of `tensor` holds its numbers: an ordinary tensor on
/// the CPU, and not a zero tensor without memory, a conjugate view, a batched
/// tensor of vmap or a subclass.
inline bool is_open(const at::Tensor& tensor) {
  constexpr c10::DispatchKeySet ordinary{
      c10::DispatchKey::CPU,
      c10::DispatchKey::AutogradCPU,
      c10::DispatchKey::ADInplaceOrView,
      c10::DispatchKey::AutocastCPU};
  return ordinary.has_all(tensor.key_set());
}

/// The offset in memory, in elements, of element `k` in row-major order.
inline int64_t offset_of(const at::Tensor& tensor, int64_t k) {
  int64_t offset = 0;
  for (int64_t d = tensor.dim() - 1; d >= 0; --d) {
    offset += k % tensor.size(d) * tensor.stride(d);
    k /= tensor.size(d);
  }
  return offset;
}

/// The indices of element `k` of a tensor of `shape`.
inline std::vector<int64_t> unravel_index(at::IntArrayRef shape, int64_t k) {
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

/// Calls `body` with a number of the C++ type of `dtype`.
template <class Body>
void with_type(at::ScalarType dtype, const Body& body) {
  AT_DISPATCH_FLOATING_AND_COMPLEX_TYPES_AND3(
      at::kHalf, at::kBFloat16, at::kComplexHalf, dtype, "gradcheck", [&] {
        body(scalar_t());
      });
}

/// True when `tensor` is open and contiguous.
inline bool is_row(const at::Tensor& tensor) {
  return is_open(tensor) && tensor.is_contiguous();
}

/// An uninitialized contiguous tensor of `shape` like `like`.
inline at::Tensor room(at::IntArrayRef shape, const at::Tensor& like) {
  return is_open(like)
             ? at::Tensor(at::detail::empty_cpu(shape, like.scalar_type()))
             : at::empty(shape, like.options());
}

/// A contiguous tensor of zeros of `shape` like `like`.
inline at::Tensor zeros(at::IntArrayRef shape, const at::Tensor& like) {
  if (!is_open(like)) {
    return at::zeros(shape, like.options());
  }
  auto result = room(shape, like);
  if (result.nbytes() > 0) {
    std::memset(result.mutable_data_ptr(), 0, result.nbytes());
  }
  return result;
}

/// A contiguous, detached copy of `tensor`.
inline at::Tensor copied(const at::Tensor& tensor) {
  if (!is_row(tensor)) {
    return tensor.detach().clone(at::MemoryFormat::Contiguous);
  }
  auto result = room(tensor.sizes(), tensor);
  if (result.nbytes() > 0) {
    std::memcpy(
        result.mutable_data_ptr(), tensor.const_data_ptr(), result.nbytes());
  }
  return result;
}

/// True where `tensor` has a number that is not zero.
inline bool any_nonzero(const at::Tensor& tensor) {
  if (!is_row(tensor) || !has_numbers(tensor)) {
    const at::AutoGradMode grad_mode(false);
    return tensor.any().item<bool>();
  }
  bool any = false;
  with_type(tensor.scalar_type(), [&](auto type) {
    using Number = decltype(type);
    const auto* numbers = tensor.const_data_ptr<Number>();
    any = std::any_of(numbers, numbers + tensor.numel(), [](const Number& n) {
      return n != Number(0);
    });
  });
  return any;
}

/// Overwrites `plus` with (plus - minus) / (2 eps); both are contiguous.
inline void make_quotient(
    const at::Tensor& plus, const at::Tensor& minus, double eps) {
  if (!is_row(plus)) {
    const at::AutoGradMode grad_mode(false);
    plus.sub_(minus).div_(2 * eps);
    return;
  }
  with_type(plus.scalar_type(), [&](auto type) {
    using Number = decltype(type);
    using Wide = at::opmath_type<Number>;
    auto* to = static_cast<Number*>(plus.mutable_data_ptr());
    const auto* from = minus.const_data_ptr<Number>();
    const auto width = number_from<Wide>(2 * eps);
    for (int64_t k = 0; k < plus.numel(); ++k) {
      to[k] = static_cast<Number>(
          (static_cast<Wide>(to[k]) - static_cast<Wide>(from[k])) / width);
    }
  });
}

/// Copies the numbers of `value` to row `k` of `rows`, a contiguous matrix.
inline void put_row(
    const at::Tensor& rows, int64_t k, const at::Tensor& value) {
  if (is_row(value) && is_open(rows) &&
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

}  // namespace libgrad::detail
