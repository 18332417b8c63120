/// libgrad/python.h -- a C++ autograd Function in Python, by one line.
/// The only public header that needs Python.

#pragma once

#include <ATen/TensorOperators.h>  // x * y, which few Functions do without
#include <torch/csrc/Exceptions.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/utils/pybind.h>

#include <pybind11/stl.h>  // optional and list arguments

#include <string>
#include <type_traits>
#include <vector>

namespace libgrad {

namespace detail {

/// What pybind11 reads an argument of `forward` into.
template <class T>
struct Stored {
  static_assert(
      !std::is_same_v<T, std::vector<at::Tensor>>,
      "def_function: take a list of tensors as at::TensorList; LibTorch does "
      "not differentiate with respect to std::vector<at::Tensor>");
  using type = T;
};
template <class T>
struct Stored<c10::ArrayRef<T>> {
  using type = std::vector<T>;
};
template <>
struct Stored<std::string_view> {
  using type = std::string;
};
template <class Arg>
using stored_t = typename Stored<std::decay_t<Arg>>::type;

/// The same argument as `apply` must see it: lists of tensors as TensorList,
/// the only list whose tensors LibTorch tracks.
template <class Arg>
decltype(auto) pass(const stored_t<Arg>& value) {
  if constexpr (std::is_same_v<std::decay_t<Arg>, stored_t<Arg>>) {
    return (value);
  } else {
    return std::decay_t<Arg>(value);
  }
}

inline pybind11::object to_python(const at::Tensor& tensor) {
  return tensor.defined() ? pybind11::cast(tensor) : pybind11::none();
}

inline pybind11::object to_python(
    const torch::autograd::variable_list& tensors) {
  pybind11::tuple result(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    result[i] = to_python(tensors[i]);
  }
  return result;
}

template <class Fn, class Result, class... Args, class... Extra>
void def_function(
    pybind11::module_& m,
    const char* name,
    Result (*)(torch::autograd::AutogradContext*, Args...),
    const Extra&... extra) {
  auto call = [](const stored_t<Args>&... args) {
    auto result = [&] {
      pybind11::gil_scoped_release no_gil;
      return Fn::apply(pass<Args>(args)...);
    }();
    return to_python(result);
  };
  m.def(name, torch::wrap_pybind_function(std::move(call)), extra...);
}

}  // namespace detail

/// Defines the Python function `m.name`, which calls `Fn::apply`. `Fn` is an
/// ordinary torch::autograd::Function<Fn>; `extra` are pybind11's: names and
/// defaults of the arguments ("x"_a, "scale"_a = 2.0), and a docstring.
///
///     struct Cube : torch::autograd::Function<Cube> { ... };
///     PYBIND11_MODULE(cube, m) {
///       using namespace pybind11::literals;
///       libgrad::def_function<Cube>(m, "cube", "x"_a, "x * x * x");
///     }
///
/// The arguments' types are those of `Fn::forward`: Tensor, a list of tensors
/// (at::TensorList), int, float, bool, str, a list of int or float, and
/// std::optional of these. The result is a tensor, or a tuple where `forward`
/// returns a variable_list; LibTorch refuses undefined ones among them. The GIL
/// is released while `forward` runs.
///
/// Python sees TypeError for arguments that do not fit, and for exceptions of
/// c10 the type they stand for (TORCH_CHECK_VALUE: ValueError).
template <class Fn, class... Extra>
void def_function(
    pybind11::module_& m, const char* name, const Extra&... extra) {
  static_assert(
      requires { &Fn::forward; },
      "def_function: Fn::forward must be one function; it is overloaded, a "
      "template or missing");
  detail::def_function<Fn>(m, name, &Fn::forward, extra...);
}

}  // namespace libgrad
