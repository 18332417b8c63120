/// libgrad/detail/graph_names.h -- the names of a Function's nodes.
///
/// Relies on (covered by tests/cpp/test_internals.cpp): a node of a C++
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

/// "CubeBackward" for struct Cube : Function<Cube>, as torch names the nodes of
/// a Python Function.
inline std::string node_name(const std::type_info& function) {
  return std::string(without_namespace(c10::demangle(function.name()))) +
         "Backward";
}

}  // namespace libgrad::detail
