/// libgrad/torch/autograd/node_names.h -- the names of a Function's nodes.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp): a node of a C++
/// Function calls itself "torch::autograd::CppNode<" and the Function's type.

#pragma once

#include <c10/util/Type.h>

#include <string>
#include <string_view>
#include <typeinfo>

namespace libgrad::detail {

/// "Cube" for "ns::Cube", "Scale<ns::A>" for "ns::Scale<ns::A>".
inline std::string_view without_namespace(std::string_view type) {
  size_t depth = 0;
  size_t start = 0;
  for (size_t i = 0; i < type.size(); ++i) {
    if (type[i] == '<' || type[i] == '(') {
      ++depth;
    } else if (type[i] == '>' || type[i] == ')') {
      --depth;
    } else if (depth == 0 && type.substr(i).starts_with("::")) {
      start = i + 2;
    }
  }
  return type.substr(start);
}

/// `type` up to its first comma that is not within brackets.
inline std::string_view first_argument(std::string_view type) {
  size_t depth = 0;
  for (size_t i = 0; i < type.size(); ++i) {
    if (type[i] == '<' || type[i] == '(') {
      ++depth;
    } else if (type[i] == '>' || type[i] == ')') {
      --depth;
    } else if (depth == 0 && type[i] == ',') {
      return type.substr(0, i);
    }
  }
  return type;
}

/// "Cube" for struct Cube, whatever namespace it is in.
inline std::string function_name(const std::type_info& function) {
  return std::string(without_namespace(c10::demangle(function.name())));
}

/// "CubeBackward" for struct Cube : Function<Cube>, as torch names the nodes of
/// a Python Function.
inline std::string node_name(const std::type_info& function) {
  return function_name(function) + "Backward";
}

/// The same, made from the name that a node reports:
/// "torch::autograd::CppNode<Cube>". The names of other nodes lose
/// "torch::autograd::".
inline std::string node_name(std::string_view name) {
  constexpr std::string_view space = "torch::autograd::";
  constexpr std::string_view node = "torch::autograd::CppNode<";
  constexpr std::string_view tracked = "libgrad::detail::Tracked<";
  if (!name.starts_with(node)) {
    name.remove_prefix(name.starts_with(space) ? space.size() : 0);
    return std::string(name);
  }
  name = name.substr(node.size(), name.size() - node.size() - 1);
  if (name.starts_with(tracked)) {
    name = first_argument(name.substr(tracked.size()));
  }
  name = without_namespace(name);
  name = name.substr(0, name.find_last_not_of(' ') + 1);
  return std::string(name) + "Backward";
}

}  // namespace libgrad::detail
