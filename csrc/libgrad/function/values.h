/// libgrad/function/values.h -- converts arguments to IValues and back, and
/// names their types in the schema of an operator.

#pragma once

#include <libgrad/function/signature.h>

#include <string>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The name in an operator's schema of the type of an argument that is stored
/// as T; empty for a type that no operator takes.
template <class T>
std::string schema_type() {
  if constexpr (is_optional<T>) {
    const auto inner = schema_type<typename T::value_type>();
    return inner.empty() ? inner : inner + '?';
  } else if constexpr (is_vector<T>) {
    const auto inner = schema_type<typename T::value_type>();
    return inner.empty() ? inner : inner + "[]";
  } else if constexpr (std::is_same_v<T, at::Tensor>) {
    return "Tensor";
  } else if constexpr (std::is_same_v<T, bool>) {
    return "bool";
  } else if constexpr (std::is_same_v<T, c10::SymInt>) {
    return "SymInt";
  } else if constexpr (std::is_integral_v<T>) {
    return "int";
  } else if constexpr (std::is_floating_point_v<T>) {
    return "float";
  } else if constexpr (std::is_same_v<T, std::string>) {
    return "str";
  } else if constexpr (std::is_same_v<T, at::Scalar>) {
    return "Scalar";
  } else if constexpr (std::is_same_v<T, at::Device>) {
    return "Device";
  } else if constexpr (std::is_same_v<T, at::ScalarType>) {
    return "ScalarType";
  } else if constexpr (std::is_same_v<T, at::MemoryFormat>) {
    return "MemoryFormat";
  } else if constexpr (std::is_same_v<T, c10::complex<double>>) {
    return "complex";
  } else {
    return "";
  }
}

/// A value of a type that IValue does not know.
template <class T>
struct Opaque : torch::CustomClassHolder {
  explicit Opaque(T value) : value(std::move(value)) {}
  T value;
};

/// True for types that IValue takes as they are; numbers are widened first.
template <class T>
inline constexpr bool is_plain =
    std::is_same_v<T, at::Tensor> || std::is_same_v<T, bool> ||
    std::is_same_v<T, c10::SymInt> || std::is_same_v<T, std::string> ||
    std::is_same_v<T, at::Scalar> || std::is_same_v<T, at::Device> ||
    std::is_same_v<T, c10::complex<double>>;

template <class T>
at::IValue pack(const T& value) {
  if constexpr (is_plain<T>) {
    return at::IValue(value);
  } else if constexpr (std::is_integral_v<T>) {
    return at::IValue(static_cast<int64_t>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    return at::IValue(static_cast<double>(value));
  } else if constexpr (
      std::is_same_v<T, at::ScalarType> ||
      std::is_same_v<T, at::MemoryFormat>) {
    return at::IValue(static_cast<int64_t>(value));
  } else if constexpr (std::is_same_v<T, variable_list>) {
    return at::IValue(c10::List<at::Tensor>(at::TensorList(value)));
  } else if constexpr (is_optional<T>) {
    return value ? pack(*value) : at::IValue();
  } else if constexpr (is_vector<T>) {
    std::vector<at::IValue> items;
    items.reserve(value.size());
    for (const auto& item : value) {
      items.push_back(pack<typename T::value_type>(item));
    }
    return at::IValue(c10::ivalue::Tuple::create(std::move(items)));
  } else {
    return at::IValue::make_capsule(c10::make_intrusive<Opaque<T>>(value));
  }
}

template <class T>
T unpack(const at::IValue& value) {
  if constexpr (is_optional<T>) {
    using Inner = typename T::value_type;
    return value.isNone() ? T() : T(unpack<Inner>(value));
  } else if constexpr (is_plain<T>) {
    return value.to<T>();
  } else if constexpr (std::is_integral_v<T>) {
    return static_cast<T>(value.toInt());
  } else if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(value.toDouble());
  } else if constexpr (std::is_same_v<T, at::ScalarType>) {
    return value.toScalarType();
  } else if constexpr (std::is_same_v<T, at::MemoryFormat>) {
    return value.toMemoryFormat();
  } else if constexpr (std::is_same_v<T, variable_list>) {
    return value.toTensorVector();
  } else if constexpr (is_vector<T>) {
    // A tuple from `pack`, a list from an operator's stack.
    T items;
    const auto add = [&](const at::IValue& item) {
      items.push_back(unpack<typename T::value_type>(item));
    };
    if (value.isTuple()) {
      for (const auto& item : value.toTupleRef().elements()) {
        add(item);
      }
    } else {
      for (const at::IValue& item : value.toListRef()) {
        add(item);
      }
    }
    return items;
  } else {
    return static_cast<Opaque<T>*>(value.toCapsule().get())->value;
  }
}

}  // namespace libgrad::detail
