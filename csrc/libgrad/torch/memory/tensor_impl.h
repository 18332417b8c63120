/// libgrad/torch/memory/tensor_impl.h -- the fields of a TensorImpl, read
/// without asking Python, running an operator or changing a reference count.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp and
/// test_doctor.cpp):
/// - TensorImpl keeps its device in `device_opt_`: device() may ask Python;
/// - a VariableVersion is a pointer to the version counter, which is shared by
///   tensors whose versions move together;
/// - an explicit instantiation may name a private member (`Reveal`).

#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/TensorImpl.h>

#include <cstdint>
#include <cstring>
#include <optional>

namespace libgrad::detail {

/// Defines `member(Tag())`, a friend of Tag that returns the pointer to a
/// private member, which an explicit instantiation may name.
template <class Tag, typename Tag::type Member>
struct Reveal {
  friend typename Tag::type member(Tag) { return Member; }
};

struct DeviceOfImpl {
  using type = std::optional<c10::Device> c10::TensorImpl::*;
  friend type member(DeviceOfImpl);
};
template struct Reveal<DeviceOfImpl, &c10::TensorImpl::device_opt_>;

/// The version of `impl`; -1 if it has no version counter.
inline int64_t version_of(const c10::TensorImpl& impl) {
  const auto& counter = impl.version_counter();
  return counter.enabled() ? int64_t{counter.current_version()} : -1;
}

/// The device that `impl` itself is on, whatever a subclass says.
inline c10::Device device_of(const c10::TensorImpl& impl) {
  return (impl.*member(DeviceOfImpl())).value_or(c10::Device(c10::kCPU));
}

/// The version counter of `tensor`; null if there is none.
inline const void* counter_of(const c10::TensorImpl& tensor) {
  const auto& version = tensor.version_counter();
  static_assert(sizeof(version) == sizeof(void*));
  const void* counter = nullptr;
  std::memcpy(&counter, &version, sizeof counter);
  return counter;
}

/// The storage of a tensor; null if it has none.
inline c10::StorageImpl* memory_of(const at::Tensor& tensor) {
  return tensor.defined() && tensor.has_storage()
             ? tensor.unsafeGetTensorImpl()
                   ->unsafe_storage()
                   .unsafeGetStorageImpl()
             : nullptr;
}

/// True for a tensor that its storage, dtype and strided layout describe
/// completely.
inline bool has_plain_memory(const at::Tensor& tensor) {
  using K = c10::DispatchKey;
  constexpr auto others = c10::DispatchKeySet(
      {K::Python, K::Functionalize, K::Conjugate, K::Negative, K::ZeroTensor});
  return memory_of(tensor) != nullptr && tensor.layout() == at::kStrided &&
         !tensor.is_nested() && !tensor.is_quantized() &&
         !tensor.is_inference() && !tensor.key_set().has_any(others) &&
         !tensor.unsafeGetTensorImpl()->has_symbolic_sizes_strides();
}

}  // namespace libgrad::detail
