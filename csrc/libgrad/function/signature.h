/// libgrad/function/signature.h -- the argument types of a Function's `forward`
/// at compile time, and how its arguments are stored and passed on.

#pragma once

#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <class>
struct Signature;
template <class R, class... A>
struct Signature<R (*)(AutogradContext*, A...)> {
  using Result = std::decay_t<R>;
  using Args = std::tuple<A...>;
};
template <class R, class... A>
struct Signature<R (*)(AutogradContext*, A...) noexcept>
    : Signature<R (*)(AutogradContext*, A...)> {};

template <class Fn>
using signature_t = Signature<decltype(&Fn::forward)>;
template <class Fn>
using args_t = typename signature_t<Fn>::Args;
template <class Fn>
using result_t = typename signature_t<Fn>::Result;

/// The type that stores an argument between the call and `forward`.
template <class T>
struct Stored {
  using type = T;
};
template <class T>
struct Stored<c10::ArrayRef<T>> {
  using type = std::vector<T>;
};
template <class T>
struct Stored<at::OptionalArrayRef<T>> {
  using type = std::optional<std::vector<T>>;
};
template <>
struct Stored<std::string_view> {
  using type = std::string;
};
template <class T>
struct Stored<std::optional<T>> {
  using type = std::optional<typename Stored<T>::type>;
};
template <class Arg>
using stored_t = typename Stored<std::decay_t<Arg>>::type;

/// The stored argument as LibTorch's `apply` must get it. A list of tensors
/// becomes a TensorList, the only list whose tensors LibTorch tracks.
template <class Arg>
decltype(auto) pass(const stored_t<Arg>& value) {
  using T = std::decay_t<Arg>;
  if constexpr (std::is_same_v<T, variable_list>) {
    return at::TensorList(value);
  } else if constexpr (std::is_rvalue_reference_v<Arg>) {
    return T(value);
  } else if constexpr (
      std::is_lvalue_reference_v<Arg> &&
      !std::is_const_v<std::remove_reference_t<Arg>>) {
    return const_cast<T&>(value);  // the stored value was made for this call
  } else if constexpr (std::is_same_v<T, stored_t<Arg>>) {
    return (value);
  } else {
    return T(value);
  }
}

/// The argument as `forward` declares it.
template <class Arg, class Value>
decltype(auto) declared(Value&& value) {
  if constexpr (std::is_same_v<std::decay_t<Arg>, variable_list>) {
    return at::TensorList(value).vec();
  } else {
    return std::forward<Value>(value);
  }
}

/// The number of gradients that LibTorch expects for an argument.
template <class Arg, class Value>
int64_t size_of(const Value& value) {
  if constexpr (std::is_same_v<std::decay_t<Arg>, variable_list>) {
    return static_cast<int64_t>(value.size());
  } else {
    return 1;
  }
}

/// The gradients that a backward returned, with one gradient for each tensor of
/// a list; `sizes` has the number of gradients for each argument. A struct that
/// was written for LibTorch alone returns one undefined tensor for a whole
/// std::vector<Tensor>, which is expanded here.
inline variable_list widened(
    variable_list gradients, const std::vector<int64_t>& sizes) {
  int64_t wanted = 0;
  for (const auto size : sizes) {
    wanted += size;
  }
  const auto given = static_cast<int64_t>(gradients.size());
  if (given == wanted || given < static_cast<int64_t>(sizes.size())) {
    return gradients;
  }
  variable_list result;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] == 1) {
      result.push_back(gradients[i]);
    } else if (gradients[i].defined()) {
      return gradients;
    } else {
      result.resize(result.size() + static_cast<size_t>(sizes[i]));
    }
  }
  for (size_t i = sizes.size(); i < gradients.size(); ++i) {
    result.push_back(gradients[i]);  // LibTorch judges surplus gradients
  }
  return result;
}

/// Fn with a TensorList in place of each std::vector<Tensor> of `forward`,
/// whose gradients LibTorch would drop.
template <class Fn, class Args>
struct Tracked;
template <class Fn, class... Args>
struct Tracked<Fn, std::tuple<Args...>>
    : torch::autograd::Function<Tracked<Fn, std::tuple<Args...>>> {
  static constexpr bool is_traceable = Fn::is_traceable;

  static constexpr const char* kSizes = "libgrad::sizes";

  template <class... Values>
  static auto forward(AutogradContext* ctx, Values&&... values) {
    const std::vector<int64_t> sizes{size_of<Args>(values)...};
    auto outputs =
        Fn::forward(ctx, declared<Args>(std::forward<Values>(values))...);
    ctx->saved_data[kSizes] = sizes;
    return outputs;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto sizes = ctx->saved_data[kSizes].toIntVector();
    return widened(Fn::backward(ctx, grads), sizes);
  }
};

template <class Args>
inline constexpr bool has_vector_of_tensors = false;
template <class... Args>
inline constexpr bool has_vector_of_tensors<std::tuple<Args...>> =
    (std::is_same_v<std::decay_t<Args>, variable_list> || ...);

template <class Fn>
struct Applied {
  using type = std::conditional_t<
      has_vector_of_tensors<args_t<Fn>>,
      Tracked<Fn, args_t<Fn>>,
      Fn>;
};
template <class Fn>
using applied_t = typename Applied<Fn>::type;

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;

/// True for a type that holds tensors. LibTorch finds only some of them (see
/// hides_tensors) and silently drops the gradients of the others.
template <class T>
inline constexpr bool holds_tensors = std::is_same_v<T, at::Tensor>;
template <class T>
inline constexpr bool holds_tensors<std::optional<T>> = holds_tensors<T>;
template <class T>
inline constexpr bool holds_tensors<std::vector<T>> = holds_tensors<T>;
template <class T>
inline constexpr bool holds_tensors<c10::List<T>> = holds_tensors<T>;
template <class T, size_t size>
inline constexpr bool holds_tensors<std::array<T, size>> = holds_tensors<T>;
template <class... T>
inline constexpr bool holds_tensors<std::tuple<T...>> =
    (holds_tensors<T> || ...);
template <class T, class U>
inline constexpr bool holds_tensors<std::pair<T, U>> =
    holds_tensors<T> || holds_tensors<U>;

template <class K, class V>
inline constexpr bool holds_tensors<std::map<K, V>> = holds_tensors<V>;
template <class K, class V>
inline constexpr bool holds_tensors<std::unordered_map<K, V>> =
    holds_tensors<V>;
template <class K, class V>
inline constexpr bool holds_tensors<c10::Dict<K, V>> = holds_tensors<V>;

template <class T>
inline constexpr bool hides_tensors =
    holds_tensors<T> && !std::is_same_v<T, at::Tensor> &&
    !std::is_same_v<T, variable_list> &&
    !std::is_same_v<T, std::optional<at::Tensor>>;

template <class Args>
inline constexpr bool any_hides_tensors = false;
template <class... Args>
inline constexpr bool any_hides_tensors<std::tuple<Args...>> =
    (hides_tensors<stored_t<Args>> || ...);

template <class Args>
inline constexpr bool any_is_bools = false;
template <class... Args>
inline constexpr bool any_is_bools<std::tuple<Args...>> =
    (std::is_same_v<std::decay_t<Args>, c10::ArrayRef<bool>> || ...);

}  // namespace libgrad::detail
