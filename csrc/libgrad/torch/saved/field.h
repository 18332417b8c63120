/// libgrad/torch/saved/field.h -- the members of a node that hold what it
/// saved.

#pragma once

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cstdint>
#include <typeinfo>
#include <vector>

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

/// A class of nodes and its members in `kSavedFields`.
struct OperatorNode {
  const std::type_info* type;
  const char* name;  // "MulBackward0"
  uint32_t first;
  uint32_t end;
};

}  // namespace libgrad::detail
