/// libgrad/python.h -- a C++ autograd Function in Python, by one line.
/// The only public header that needs Python.

#pragma once

#include <libgrad/function.h>

#include <libgrad/detail/announce.h>
#include <libgrad/detail/python_tensors.h>
#include <libgrad/detail/vmap.h>

#include <ATen/TensorOperators.h>  // x * y, which few Functions do without
#include <torch/csrc/Exceptions.h>

#include <pybind11/stl.h>  // optional and list arguments

#include <string>

namespace libgrad {

/// Names the tensors that an in-place Function (mark_dirty) changes, by their
/// arguments: an option of def_function. A function whose name ends in "_"
/// changes its first tensor, unless told otherwise.
///
///     libgrad::def_function<Scale>(m, "scale", "x"_a, libgrad::mutates("x"));
struct mutates {
  template <class... Names>
  explicit mutates(Names... names) : names{names...} {}
  std::vector<std::string> names;
};

namespace detail {

/// What pybind11 reads an argument of `forward` into.
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

/// True for a tensor that the plain call would not do justice: a dual one, or
/// one of a subclass.
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

/// What def_function was told of one argument: (name, keyword_only) or (name,
/// keyword_only, default).
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

/// The Python function of `Fn`, once it is defined.
template <class Fn, class Args = args_t<Fn>>
struct Bound;

template <class Fn, class... Args>
struct Bound<Fn, std::tuple<Args...>> {
  using Result = std::conditional_t<
      std::is_same_v<result_t<Fn>, at::Tensor>,
      TensorResult,
      TupleResult>;

  py::object* special;  // leaked: the interpreter may be gone before it

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

/// pybind11's own options: everything but `mutates`.
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
/// (at::TensorList or std::vector<Tensor>), int, float, bool, str, a list of
/// int or float, std::optional of these, and whatever else pybind11 knows. The
/// result is a tensor, or a tuple where `forward` returns a variable_list;
/// LibTorch refuses undefined ones among them. The GIL is released while
/// `forward` runs.
///
/// The function works in torch.func's transforms, in forward mode and in
/// torch.compile, and is an operator as well: torch.ops.<module>.<name>. `Fn`
/// may have these beside `forward` and `backward`:
///
///     // Tangents of the outputs, from one tangent for each argument.
///     static variable_list jvp(AutogradContext*, variable_list tangents);
///     // The outputs for a batch, and the dimension of each that is mapped.
///     static std::pair<Tensor, libgrad::Dims> vmap(
///         const libgrad::VmapInfo&, const libgrad::Dims& in_dims,
///         /* the arguments of forward */);
///
/// Python sees TypeError for arguments that do not fit, and for exceptions of
/// c10 the type they stand for (TORCH_CHECK_VALUE: ValueError).
template <class Fn, class... Extra>
void def_function(py::module_& m, const char* name, const Extra&... extra) {
  static_assert(
      requires { &Fn::forward; },
      "def_function: Fn::forward must be one function; it is overloaded, a "
      "template or missing");
  static_assert(
      !detail::any_hides_tensors<detail::args_t<Fn>>,
      "def_function: LibTorch does not see the tensors in this argument of "
      "forward and would drop their gradients; take Tensor, "
      "std::optional<Tensor>, or a list of tensors");
  static_assert(
      !detail::any_is_bools<detail::args_t<Fn>>,
      "def_function: an at::ArrayRef<bool> cannot point into what C++ keeps a "
      "list of bool in; take std::vector<bool>");
  const detail::Bound<Fn> bound{new py::object()};
  detail::with_extras(
      [&](const auto&... options) {
        m.def(name, torch::wrap_pybind_function(bound), options...);
      },
      extra...);
  detail::Parameters parameters;
  (parameters.add(extra), ...);
  *bound.special =
      py::module_::import("libgrad._function.bound")
          .attr("bind")(
              m.attr(name),
              m.attr("__name__"),
              py::capsule(&detail::erase<Fn>(), detail::kErasedCapsule),
              parameters.list(),
              parameters.mutated());
}

/// Makes `function`, which reads the memory of its arguments (data_ptr), an
/// operator, torch.ops.<module>.<name>, that libgrad::kernel<function> calls.
/// `fake` takes the same arguments and returns an empty output of the right
/// shape: torch.compile and torch.export run it in place of `function`, which
/// does without them when there is none. `names` are those of the arguments.
///
///     Tensor square_fake(const Tensor& x) { return at::empty_like(x); }
///     libgrad::def_kernel<square_cpu, square_fake>(m, "square", "x"_a);
///
/// Differentiating the operator itself is an error; the Function that calls it
/// has the derivative.
template <auto function, auto fake = nullptr, class... Names>
void def_kernel(py::module_& m, const char* name, const Names&... names) {
  using Kernel = detail::KernelOf<function>;
  auto& erased = Kernel::erased();
  if constexpr (!std::is_null_pointer_v<decltype(fake)>) {
    static_assert(
        std::is_same_v<decltype(function), decltype(fake)>,
        "def_kernel: the fake must take and return what the kernel does");
    erased.fake = &Kernel::Signature::template run<fake>;
  }
  detail::Parameters parameters;
  (parameters.add(names), ...);
  py::module_::import("libgrad._function.bound")
      .attr("define_kernel")(
          m.attr("__name__"),
          name,
          py::capsule(&erased, detail::kKernelCapsule),
          parameters.list());
}

}  // namespace libgrad
