/// libgrad/python.h -- a C++ autograd Function bound to Python by one line.
/// The only public header that needs Python.

#pragma once

#include <libgrad/function.h>
#include <libgrad/python/bound.h>

#include <ATen/TensorOperators.h>  // x * y, which few Functions do without
#include <pybind11/stl.h>          // optional and list arguments
#include <torch/csrc/Exceptions.h>

namespace libgrad {

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
/// result is a tensor, or a tuple of tensors where `forward` returns a
/// variable_list; LibTorch refuses undefined outputs. The GIL is released while
/// `forward` runs.
///
/// The function works in torch.func's transforms, in forward mode and in
/// torch.compile. It is also an operator: torch.ops.<module>.<name>. Besides
/// `forward` and `backward`, `Fn` may have these members:
///
///     // Tangents of the outputs, from one tangent for each argument.
///     static variable_list jvp(AutogradContext*, variable_list tangents);
///     // The outputs for a batch, and the dimension of each that is mapped.
///     static std::pair<Tensor, libgrad::Dims> vmap(
///         const libgrad::VmapInfo&, const libgrad::Dims& in_dims,
///         /* the arguments of forward */);
///
/// Python sees a TypeError for arguments of the wrong type, and for c10's
/// exceptions the corresponding Python type (TORCH_CHECK_VALUE: ValueError).
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

/// Makes an operator, torch.ops.<module>.<name>, of `function`, which reads the
/// memory of its arguments (data_ptr). libgrad::kernel<function> calls the
/// operator. `fake` takes the same arguments and returns an empty output of the
/// right shape: torch.compile and torch.export run it in place of `function`.
/// Without a `fake` neither can trace the operator. `names` are the names of
/// the arguments.
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
