/// libgrad/torch/saved/variable.h -- what a SavedVariable holds, read without
/// unpacking it: no hook runs, no version is checked, and no reference count
/// changes.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp):
/// - SavedVariable keeps its tensor in `data_`, the version that the tensor had
///   in `saved_version_`, whether it was made without a tensor in
///   `was_default_constructed_`, whether the tensor is an output in
///   `is_output_`, and the hooks that packed it in `hooks_`;
/// - it keeps the node that made its tensor in `grad_fn_`, if the tensor itself
///   has none.

#pragma once

#include <libgrad/base/index.h>
#include <libgrad/torch/memory/tensor_impl.h>

#include <c10/core/TensorImpl.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <typeinfo>
#include <vector>

namespace libgrad {

/// The state of a tensor that a node saved.
enum class SavedState : uint8_t {
  kHeld,      // the node holds it
  kNone,      // no tensor was saved in this place
  kReleased,  // a backward freed it
  kPacked,    // a hook packed it; it is unknown until unpacked
};

}  // namespace libgrad

namespace libgrad::detail {

using torch::autograd::SavedVariable;

/// A member of a node: one tensor that it saved, or a list of them.
struct SavedField {
  using One = SavedVariable torch::autograd::Node::*;
  using List = std::vector<SavedVariable> torch::autograd::Node::*;
  using Flag = bool torch::autograd::Node::*;

  const char* name;   // "self"
  One one = nullptr;  // null for a list
  List list = nullptr;
  Flag released = nullptr;  // set when a backward has emptied the list
};

template <class N>
constexpr SavedField saved_one(const char* name, SavedVariable N::* member) {
  return {.name = name, .one = static_cast<SavedField::One>(member)};
}

template <class N>
constexpr SavedField saved_list(
    const char* name,
    std::vector<SavedVariable> N::* member,
    bool N::* released) {
  return {
      .name = name,
      .list = static_cast<SavedField::List>(member),
      .released = static_cast<SavedField::Flag>(released)};
}

/// A class of nodes; its members are entries `first` to `end` of
/// `kSavedFields`.
struct OperatorNode {
  const std::type_info* type;
  const char* name;  // "MulBackward0"
  uint32_t first;
  uint32_t end;
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

struct SavedGradFn {
  using type = decltype(torch::autograd::Edge::function) SavedVariable::*;
  friend type member(SavedGradFn);
};
template struct Reveal<SavedGradFn, &SavedVariable::grad_fn_>;

/// A tensor that a node saved, and its place among the saved tensors.
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
  const SavedVariable* variable = nullptr;  // read for this; null if none
  std::string_view label = {};              // its name, if not the tensor's own
};

/// What `saved` holds; `field` is the name of its member.
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
  if (tensor.defined()) {  // with hooks: they raised
    place.state = SavedState::kHeld;
    place.tensor = &tensor;
  } else if (place.hooks) {
    place.state = SavedState::kPacked;
    place.packed = &saved;
  } else {
    place.state = SavedState::kReleased;
  }
  return place;
}

}  // namespace libgrad::detail
