/// Converts Python objects to IValues by the types of a schema.

#pragma once

#include "bindings/bindings.h"

#include <libgrad/function/forward_mode.h>
#include <libgrad/function/values.h>
#include <libgrad/python/arguments.h>

#include <torch/csrc/autograd/python_variable.h>

#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

namespace libgrad::detail {

/// True for a tensor that the plain call cannot handle: a dual tensor, or a
/// tensor of a subclass.
inline bool is_special(py::handle tensor) {
  return !THPVariable_CheckExact(tensor.ptr()) ||
         is_dual(THPVariable_Unpack(tensor.ptr()));
}

/// Reads `object` into `value`; false when it is of another type. Sets
/// `special` when it is a special tensor.
using Read = bool (*)(py::handle object, at::IValue& value, bool& special);

inline bool read_tensor(py::handle object, at::IValue& value, bool& special) {
  if (!THPVariable_Check(object.ptr())) {
    return false;
  }
  value = THPVariable_Unpack(object.ptr());
  special = special || is_special(object);
  return true;
}

template <class T>
bool read(py::handle object, at::IValue& value, bool&) {
  py::detail::make_caster<T> caster;
  if (!caster.load(object, /*convert=*/true)) {
    return false;
  }
  value = pack<T>(py::detail::cast_op<T>(caster));
  return true;
}

inline bool read_scalar(py::handle object, at::IValue& value, bool&) {
  py::detail::make_caster<ScalarArgument> caster;
  if (!caster.load(object, /*convert=*/true)) {
    return false;
  }
  value = py::detail::cast_op<ScalarArgument&>(caster).scalar;
  return true;
}

inline Read reader_of(const std::string& type) {
  static const auto* readers = new std::unordered_map<std::string, Read>{
      {"Tensor", &read_tensor},
      {"bool", &read<bool>},
      {"SymInt", &read<c10::SymInt>},
      {"int", &read<int64_t>},
      {"float", &read<double>},
      {"str", &read<std::string>},
      {"Scalar", &read_scalar},
      {"complex", &read<c10::complex<double>>},
      {"MemoryFormat", &read<at::MemoryFormat>},
      {"Device", &read<at::Device>},
      {"ScalarType", &read<at::ScalarType>}};
  const auto found = readers->find(type);
  return found == readers->end() ? nullptr : found->second;
}

/// The type of an argument by its name in a schema, such as "Tensor" or
/// "int[]?".
struct Type {
  Read read;
  std::string suffixes;  // '?' and '[', innermost first

  explicit Type(const std::string& text) {
    const auto end = std::min(text.find_first_of("?["), text.size());
    read = reader_of(text.substr(0, end));
    for (const auto c : text.substr(end)) {
      if (c != ']') {
        suffixes += c;
      }
    }
  }

  bool load(
      py::handle object, at::IValue& value, bool& special, size_t depth) const {
    if (depth == 0) {
      return read(object, value, special);
    }
    if (suffixes[depth - 1] == '?') {
      if (object.is_none()) {
        value = at::IValue();
        return true;
      }
      return load(object, value, special, depth - 1);
    }
    return load_list(object, value, special, depth - 1);
  }

  bool load_list(
      py::handle object, at::IValue& value, bool& special, size_t depth) const {
    if (!PySequence_Check(object.ptr()) || PyUnicode_Check(object.ptr()) ||
        PyBytes_Check(object.ptr())) {
      return false;
    }
    const auto items = py::reinterpret_borrow<py::sequence>(object);
    std::vector<at::IValue> values(items.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (!load(py::object(items[i]), values[i], special, depth)) {
        return false;
      }
    }
    if (depth > 0 || read != &read_tensor) {
      value = c10::ivalue::Tuple::create(std::move(values));
      return true;
    }
    c10::List<at::Tensor> tensors;
    for (const auto& item : values) {
      tensors.push_back(item.toTensor());
    }
    value = std::move(tensors);
    return true;
  }
};

}  // namespace libgrad::detail
