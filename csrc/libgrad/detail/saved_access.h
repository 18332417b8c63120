/// libgrad/detail/saved_access.h -- what a SavedVariable holds, read without
/// unpacking it: no hook runs, no version is checked, no count changes.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp):
/// - SavedVariable keeps its tensor in `data_`, the version that it had in
///   `saved_version_`, whether it was made with none in
///   `was_default_constructed_`, whether it is an output in `is_output_`, and
///   what packed it in `hooks_`;
/// - TensorImpl keeps its device in `device_opt_`: device() may ask Python.

#pragma once

#include <libgrad/detail/saved_field.h>
#include <libgrad/detail/snapshot.h>

#include <c10/core/TensorImpl.h>

#include <memory>
#include <optional>

namespace libgrad::detail {

/// Tells `member(Tag())`, a friend of Tag, of a private member: an explicit
/// instantiation may name it.
template <class Tag, typename Tag::type Member>
struct Reveal {
  friend typename Tag::type member(Tag) { return Member; }
};

struct SavedData {
  using type = at::Tensor SavedVariable::*;
  friend type member(SavedData);
};
template struct Reveal<SavedData, &SavedVariable::data_>;

struct SavedVersion {
  using type = uint32_t SavedVariable::*;
  friend type member(SavedVersion);
};
template struct Reveal<SavedVersion, &SavedVariable::saved_version_>;

struct SavedNothing {
  using type = bool SavedVariable::*;
  friend type member(SavedNothing);
};
template struct Reveal<SavedNothing, &SavedVariable::was_default_constructed_>;

struct SavedOutput {
  using type = bool SavedVariable::*;
  friend type member(SavedOutput);
};
template struct Reveal<SavedOutput, &SavedVariable::is_output_>;

struct SavedHooks {
  using type =
      std::unique_ptr<torch::autograd::SavedVariableHooks> SavedVariable::*;
  friend type member(SavedHooks);
};
template struct Reveal<SavedHooks, &SavedVariable::hooks_>;

struct DeviceOfImpl {
  using type = std::optional<c10::Device> c10::TensorImpl::*;
  friend type member(DeviceOfImpl);
};
template struct Reveal<DeviceOfImpl, &c10::TensorImpl::device_opt_>;

/// A tensor in its place among those that a node saved.
struct SavedPlace {
  std::string_view field;
  Index index = kNothing;
  SavedState state = SavedState::kNone;
  bool hooks = false;
  bool output = false;
  int64_t version = -1;                   // when it was saved
  const at::Tensor* tensor = nullptr;     // where it is held
  bool by_python = false;                 // held by a Python object, not by C++
  const SavedVariable* packed = nullptr;  // where hooks packed it
  const SavedVariable* variable = nullptr;  // that says so, where one does
  std::string_view label = {};              // its name, if not the tensor's own
};

/// What `saved` says of itself, under the name `field`.
inline SavedPlace saved_place(
    const SavedVariable& saved,
    std::string_view field,
    Index index = kNothing) {
  SavedPlace place{.field = field, .index = index, .variable = &saved};
  const auto& tensor = saved.*member(SavedData());
  if (saved.*member(SavedNothing())) {
    return place;
  }
  place.hooks = saved.has_hooks();
  place.output = saved.*member(SavedOutput());
  place.version = saved.*member(SavedVersion());
  if (place.hooks) {
    place.state = SavedState::kPacked;
    place.packed = &saved;
  } else if (tensor.defined()) {
    place.state = SavedState::kHeld;
    place.tensor = &tensor;
  } else {
    place.state = SavedState::kReleased;
  }
  return place;
}

/// The version that `impl` has now; -1 for one that counts none.
inline int64_t version_of(const c10::TensorImpl& impl) {
  const auto& counter = impl.version_counter();
  return counter.enabled() ? int64_t{counter.current_version()} : -1;
}

/// The device that `impl` itself is on, whatever a subclass says.
inline c10::Device device_of(const c10::TensorImpl& impl) {
  return (impl.*member(DeviceOfImpl())).value_or(c10::Device(c10::kCPU));
}

}  // namespace libgrad::detail
