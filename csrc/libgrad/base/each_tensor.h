/// libgrad/base/each_tensor.h -- the tensors in a value.

#pragma once

#include <ATen/core/ivalue.h>

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

}  // namespace libgrad::detail
