/// libgrad/base/each_tensor.h -- the tensors in a value.

#pragma once

#include <ATen/core/ivalue.h>

#include <utility>
#include <vector>

namespace libgrad::detail {

/// Calls `visit(tensor)` for each tensor in `value`, also in lists, tuples and
/// dicts.
template <class Visit>
void each_tensor(const at::IValue& value, const Visit& visit) {
  if (value.isTensor()) {
    visit(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& element : value.toTupleRef().elements()) {
      each_tensor(element, visit);
    }
  } else if (value.isList()) {
    for (const at::IValue& element : value.toListRef()) {
      each_tensor(element, visit);
    }
  } else if (value.isGenericDict()) {
    for (const auto& entry : value.toGenericDict()) {
      each_tensor(entry.value(), visit);
    }
  }
}

/// Calls `use` with each tensor in `value` that is defined.
template <class Use>
void each_defined(const c10::IValue& value, const Use& use) {
  each_tensor(value, [&](const at::Tensor& tensor) {
    if (tensor.defined()) {
      use(tensor);
    }
  });
}

/// `value` with every tensor in it replaced by `change(tensor)`, also in lists,
/// tuples and dicts.
template <class Change>
at::IValue changed(const at::IValue& value, const Change& change) {
  if (value.isTensor()) {
    return change(value.toTensor());
  }
  if (value.isTuple()) {
    std::vector<at::IValue> elements;
    for (const auto& element : value.toTupleRef().elements()) {
      elements.push_back(changed(element, change));
    }
    return c10::ivalue::Tuple::create(std::move(elements));
  }
  if (value.isList()) {
    const auto list = value.toList();
    c10::impl::GenericList result(list.elementType());
    for (const at::IValue& element : value.toListRef()) {
      result.push_back(changed(element, change));
    }
    return result;
  }
  if (value.isGenericDict()) {
    const auto dict = value.toGenericDict();
    c10::impl::GenericDict result(dict.keyType(), dict.valueType());
    for (const auto& entry : dict) {
      result.insert(entry.key(), changed(entry.value(), change));
    }
    return result;
  }
  return value;
}

}  // namespace libgrad::detail
