#include "bindings/grad/operands.h"
#include "bindings/grad/watch.h"
#include "bindings/python/arguments.h"

using libgrad::detail::EngineScope;
using libgrad::detail::root_edge;
using libgrad::detail::target_edge;

namespace {

void warn_deprecated(const char* message) {
  if (PyErr_WarnEx(PyExc_FutureWarning, message, /*stack_level=*/1) != 0) {
    throw py::error_already_set();
  }
}

/// Offers the call to __torch_function__:
/// libgrad._grad.overrides.<name>(*args).
template <size_t N>
PyObject* call_override(
    const char* name, const std::array<PyObject*, N>& args) {
  py::list list;
  for (PyObject* arg : args) {
    list.append(arg ? py::handle(arg) : py::handle(Py_None));
  }
  return py::module_::import("libgrad._grad.overrides")
      .attr(name)(*list)
      .release()
      .ptr();
}

PyObject* run_grad(const std::array<PyObject*, 9>& args, bool dispatch) {
  const auto ys = Operands::outputs(args[0], "grad", "outputs");
  const auto xs = Operands::inputs(args[1], "grad");
  if (dispatch && overridden(ys, xs)) {
    return call_override("grad", args);
  }
  if (!read_truth(args[5], true)) {
    warn_deprecated(
        "only_inputs argument is deprecated and is ignored now (defaults to "
        "True). To accumulate gradient for other parts of the graph, please "
        "use libgrad.backward.");
  }
  const auto y = ys.tensors();
  const auto x = xs.tensors();
  const libgrad::GradOptions options{
      .grad_outputs = read_seeds(args[2], libgrad::detail::kGrad, y.size()),
      .retain_graph = read_optional_flag(args[3], "grad", "retain_graph"),
      .create_graph = read_flag(args[4], "grad", "create_graph", false),
      .allow_unused = read_optional_flag(args[6], "grad", "allow_unused"),
      .is_grads_batched = read_truth(args[7], false),
      .materialize_grads =
          read_flag(args[8], "grad", "materialize_grads", false)};
  libgrad::variable_list grads;
  {
    EngineScope scope(ys.items());
    if (ys.has_edges() || xs.has_edges()) {
      const auto roots = ys.edges(y, root_edge);
      const auto targets = xs.edges(x, target_edge);
      py::gil_scoped_release no_gil;
      grads = libgrad::detail::grad_edges(roots, targets, x, options);
    } else {
      py::gil_scoped_release no_gil;
      grads = libgrad::grad(y, x, options);
    }
  }
  return xs.like_argument(std::move(grads)).release().ptr();
}

PyObject* run_backward(const std::array<PyObject*, 6>& args, bool dispatch) {
  const bool every_leaf = !args[5] || args[5] == Py_None;
  const auto ys = Operands::outputs(args[0], "backward", "tensors");
  const auto xs = every_leaf ? Operands::none("backward")
                             : Operands::inputs(args[5], "backward");
  TORCH_CHECK(
      every_leaf || !xs.items().empty(),
      "`inputs` argument to `backward()` cannot be empty.");
  PyObject* seed_argument = args[1];
  if (args[4] && args[4] != Py_None) {
    warn_deprecated(
        "`grad_variables` is deprecated. Use `grad_tensors` instead.");
    TORCH_CHECK(
        !seed_argument || seed_argument == Py_None,
        "`grad_tensors` and `grad_variables` (deprecated) arguments both "
        "passed to `backward()`. Please only use `grad_tensors`.");
    seed_argument = args[4];
  }
  if (dispatch && overridden(ys, xs)) {
    return call_override(
        "backward",
        std::array{args[0], seed_argument, args[2], args[3], args[5]});
  }
  const auto y = ys.tensors();
  const auto x = xs.tensors();
  auto seeds = read_seeds(seed_argument, libgrad::detail::kBackward, y.size());
  const auto retain = read_optional_flag(args[2], "backward", "retain_graph");
  const auto create = read_flag(args[3], "backward", "create_graph", false);
  EngineScope scope(ys.items());
  if (ys.has_edges() || xs.has_edges()) {
    const auto roots = ys.edges(y, root_edge);
    const auto targets = xs.edges(x, target_edge);
    py::gil_scoped_release no_gil;
    libgrad::detail::backward_edges(
        roots, targets, x, {std::move(seeds), retain, create, {}});
  } else {
    py::gil_scoped_release no_gil;
    libgrad::backward(y, {std::move(seeds), retain, create, x});
  }
  Py_RETURN_NONE;
}

PyObject* public_grad = nullptr;
PyObject* public_backward = nullptr;

/// `self` is the module for the public function, null for the one that
/// libgrad._grad.overrides calls when __torch_function__ has declined.
PyObject* grad(
    PyObject* self,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords) {
  HANDLE_TH_ERRORS
  static const ArgumentSpec<9> signature(
      "grad",
      2,
      {"outputs",
       "inputs",
       "grad_outputs",
       "retain_graph",
       "create_graph",
       "only_inputs",
       "allow_unused",
       "is_grads_batched",
       "materialize_grads"});
  if (const auto result = call_watch(public_grad, args, positional, keywords)) {
    return *result;
  }
  return run_grad(signature.parse(args, positional, keywords), self != nullptr);
  END_HANDLE_TH_ERRORS
}

PyObject* backward(
    PyObject* self,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords) {
  HANDLE_TH_ERRORS
  static const ArgumentSpec<6> signature(
      "backward",
      1,
      {"tensors",
       "grad_tensors",
       "retain_graph",
       "create_graph",
       "grad_variables",
       "inputs"});
  if (const auto result =
          call_watch(public_backward, args, positional, keywords)) {
    return *result;
  }
  return run_backward(
      signature.parse(args, positional, keywords), self != nullptr);
  END_HANDLE_TH_ERRORS
}

}  // namespace

void bind_grad(py::module_& m) {
  static PyMethodDef grad_def = fast_method("grad", grad);
  static PyMethodDef backward_def = fast_method("backward", backward);
  define(m, "grad", &grad_def, m.ptr());
  define(m, "backward", &backward_def, m.ptr());
  public_grad = m.attr("grad").ptr();  // the module keeps them
  public_backward = m.attr("backward").ptr();
  define(m, "_grad", &grad_def, nullptr);
  define(m, "_backward", &backward_def, nullptr);
}
