/// libgrad/function/inline.h -- what a library built by libgrad.load_inline
/// exports. It includes few headers, and neither Python nor pybind11: parsing
/// headers is most of the time that compiling a few lines of C++ takes.

#pragma once

// GCC's vector intrinsics are a quarter of all code to parse. torch's headers
// use none of them unless AVX is on. A source may still include them itself.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && \
    !defined(__AVX__) && !defined(_IMMINTRIN_H_INCLUDED)
#include <x86gprintrin.h>
#define LIBGRAD_WITHOUT_INTRINSICS
#define _X86INTRIN_H_INCLUDED
#define _IMMINTRIN_H_INCLUDED
#endif

#include <libgrad/function/erased.h>

#include <ATen/TensorOperators.h>  // x * y, which few Functions do without

#ifdef LIBGRAD_WITHOUT_INTRINSICS
#undef LIBGRAD_WITHOUT_INTRINSICS
#undef _X86INTRIN_H_INCLUDED
#undef _IMMINTRIN_H_INCLUDED
#endif

#include <limits>
#include <type_traits>

namespace torch {
using namespace at;  // torch::Tensor, torch::sin, as <torch/types.h> has them
}

namespace libgrad::detail {

/// True when the numbers in `value` are in the range of T: an IValue holds
/// every integer as int64.
template <class T>
bool fits(const at::IValue& value) {
  if constexpr (is_optional<T>) {
    return value.isNone() || fits<typename T::value_type>(value);
  } else if constexpr (is_vector<T>) {
    using Item = typename T::value_type;
    if constexpr (!std::is_same_v<Item, at::Tensor>) {
      for (const auto& item : value.toTupleRef().elements()) {
        if (!fits<Item>(item)) {
          return false;
        }
      }
    }
    return true;
  } else if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    const auto number = value.toInt();
    return std::is_unsigned_v<T> && sizeof(T) == sizeof(number)
               ? number >= 0
               : number >=
                         static_cast<int64_t>(std::numeric_limits<T>::min()) &&
                     number <=
                         static_cast<int64_t>(std::numeric_limits<T>::max());
  } else {
    return true;
  }
}

/// A Function, and for each argument a test whether a value is in its range.
struct Inlined {
  const Erased* function;
  std::vector<bool (*)(const at::IValue&)> fits;
};

template <class Args>
struct Fits;
template <class... Args>
struct Fits<std::tuple<Args...>> {
  static std::vector<bool (*)(const at::IValue&)> make() {
    return {&fits<stored_t<Args>>...};
  }
};

/// The Inlined of `Fn`, made once and never freed.
template <class Fn>
const Inlined* inlined() {
  static_assert(
      std::is_base_of_v<torch::autograd::Function<Fn>, Fn>,
      "load_inline: the struct must be a torch::autograd::Function of itself");
  static_assert(
      requires { &Fn::forward; },
      "load_inline: forward must be one function; it is overloaded, a template "
      "or missing");
  static const auto* inlined =
      new Inlined{&erase<Fn>(), Fits<args_t<Fn>>::make()};
  return inlined;
}

}  // namespace libgrad::detail
