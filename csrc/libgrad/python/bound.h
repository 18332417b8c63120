/// libgrad/python/bound.h -- the Python callable of a C++ Function: reads the
/// arguments and calls it. Needs Python.

#pragma once

#include <libgrad/function/forward_mode.h>
#include <libgrad/python/arguments.h>
#include <libgrad/torch/dispatch/record_function.h>
#include <libgrad/torch/transforms/vmap.h>

#include <string>
#include <vector>

namespace libgrad {

/// An option of def_function: the names of the arguments that an in-place
/// Function (mark_dirty) changes. Without it, a function whose name ends in "_"
/// changes its first tensor.
///
///     libgrad::def_function<Scale>(m, "scale", "x"_a, libgrad::mutates("x"));
struct mutates {
  template <class... Names>
  explicit mutates(Names... names) : names{names...} {}
  std::vector<std::string> names;
};

namespace detail {

/// The type into which pybind11 reads an argument of `forward`.
template <class T>
struct Loaded {
  using type = T;
  static const T& value(const T& loaded) { return loaded; }
};
template <>
struct Loaded<at::Tensor> {
  using type = TensorArgument;
  static const at::Tensor& value(const type& loaded) { return loaded.tensor; }
};
template <>
struct Loaded<at::Scalar> {
  using type = ScalarArgument;
  static const at::Scalar& value(const type& loaded) { return loaded.scalar; }
};
template <class T>
concept LoadedApart = !std::is_same_v<typename Loaded<T>::type, T>;
template <LoadedApart T>
struct Loaded<std::optional<T>> {
  using type = std::optional<typename Loaded<T>::type>;
  static std::optional<T> value(const type& loaded) {
    return loaded ? std::optional<T>(Loaded<T>::value(*loaded)) : std::nullopt;
  }
};
template <LoadedApart T>
struct Loaded<std::vector<T>> {
  using type = std::vector<typename Loaded<T>::type>;
  static std::vector<T> value(const type& loaded) {
    std::vector<T> values;
    values.reserve(loaded.size());
    for (const auto& argument : loaded) {
      values.push_back(Loaded<T>::value(argument));
    }
    return values;
  }
};
template <class Arg>
using loaded_t = typename Loaded<stored_t<Arg>>::type;

/// True for a tensor that the plain call cannot handle: a dual tensor, or a
/// tensor of a subclass.
inline bool is_special(const TensorArgument& argument) {
  return !THPVariable_CheckExact(argument.object) || is_dual(argument.tensor);
}
template <class T>
bool is_special(const T&) {
  return false;
}
template <class T>
bool is_special(const std::optional<T>& argument) {
  return argument && is_special(*argument);
}
template <class T>
bool is_special(const std::vector<T>& arguments) {
  for (const auto& argument : arguments) {
    if (is_special(argument)) {
      return true;
    }
  }
  return false;
}

/// The options of def_function about its arguments, for Python: a tuple (name,
/// keyword_only) or (name, keyword_only, default) for each argument, and the
/// names given to `mutates`.
class Parameters {
 public:
  void add(const py::arg& argument) {
    list_.append(py::make_tuple(argument.name, keyword_only_));
  }
  void add(const py::arg_v& argument) {
    list_.append(py::make_tuple(argument.name, keyword_only_, argument.value));
  }
  void add(const py::kw_only&) { keyword_only_ = true; }
  void add(const mutates& option) { mutated_ = option.names; }
  template <class Other>
  void add(const Other&) {}

  const py::list& list() const { return list_; }
  const std::vector<std::string>& mutated() const { return mutated_; }

 private:
  py::list list_;
  bool keyword_only_ = false;
  std::vector<std::string> mutated_;
};

/// The callable that def_function binds: the plain call in C++, any other call
/// by `special`, an object of Python's Bound class.
template <class Fn, class Args = args_t<Fn>>
struct Bound;

template <class Fn, class... Args>
struct Bound<Fn, std::tuple<Args...>> {
  using Result = std::conditional_t<
      std::is_same_v<result_t<Fn>, at::Tensor>,
      TensorResult,
      TupleResult>;

  py::object* special;  // leaked: the interpreter may end before this object

  Result operator()(const loaded_t<Args>&... args) const {
    if (functorch_active() || at::impl::torch_function_mode_enabled() ||
        c10::impl::TorchDispatchModeTLS::any_modes_set() ||
        (is_special(args) || ...)) [[unlikely]] {
      return Result(call_special(args...));
    }
    auto outputs = [&] {
      py::gil_scoped_release no_gil;
      return announced(typeid(Fn), [&] {
        return applied_t<Fn>::apply(
            pass<Args>(Loaded<stored_t<Args>>::value(args))...);
      });
    }();
    return Result(to_python(outputs));
  }

  py::object call_special(const loaded_t<Args>&... args) const {
    using Values = std::vector<at::IValue>;
    auto* values = new Values{
        pack<stored_t<Args>>(Loaded<stored_t<Args>>::value(args))...};
    const py::capsule capsule(values, kValuesCapsule, [](PyObject* capsule) {
      delete static_cast<Values*>(
          PyCapsule_GetPointer(capsule, kValuesCapsule));
    });
    return (*special)(capsule, args...);
  }
};

/// Calls `define` with the options that pybind11 knows: all but `mutates`.
template <class Define>
void with_extras(const Define& define) {
  define();
}
template <class Define, class First, class... Rest>
void with_extras(
    const Define& define, const First& first, const Rest&... rest) {
  if constexpr (std::is_same_v<First, mutates>) {
    with_extras(define, rest...);
  } else {
    with_extras(
        [&](const auto&... others) { define(first, others...); }, rest...);
  }
}

}  // namespace detail

}  // namespace libgrad
