#include "bindings/functional/callable.h"
#include "bindings/functional/split.h"
#include "bindings/grad/operands.h"
#include "bindings/python/arguments.h"

#include <torch/csrc/utils/python_numbers.h>

using libgrad::Strategy;
using libgrad::variable_list;

namespace {

constexpr const char* kInputs = "inputs";

/// True for an error that no other attempt may follow: a Python exception that
/// is not an Exception, such as KeyboardInterrupt. torch's engine leaves the
/// Python exception of a backward set on the thread; any other is cleared.
bool is_interrupt(const std::exception& error) {
  py::gil_scoped_acquire gil;
  if (const auto* ours = dynamic_cast<const py::error_already_set*>(&error)) {
    return !ours->matches(PyExc_Exception);
  }
  if (PyErr_Occurred() == nullptr) {
    return false;
  }
  const bool interrupt = PyErr_ExceptionMatches(PyExc_Exception) == 0;
  if (!interrupt) {
    PyErr_Clear();
  }
  return interrupt;
}

/// func, inputs, v, create_graph, strict.
using ProductArguments = std::array<PyObject*, 5>;

PyObject* run_vjp(const ProductArguments& args) {
  const auto inputs = Nest::read(args[1], "vjp", kInputs);
  libgrad::ProductOptions options{
      .create_graph = read_truth(args[3], false),
      .strict = read_truth(args[4], false)};
  // v is grouped like the outputs, so it is read when the function has returned
  // them; the library uses v only after that.
  NestFunction f(args[0], "vjp", inputs, [&](const Nest& outputs) {
    if (is_given(args[2])) {
      options.v = outputs.read_alike(args[2], "vjp", "v");
    }
  });
  const auto result = unlocked(
      [&] { return libgrad::vjp(f.reference(), inputs.tensors(), options); });
  return py::make_tuple(
             f.outputs().group(result.outputs), inputs.group(result.product))
      .release()
      .ptr();
}

PyObject* run_jvp(const ProductArguments& args) {
  const auto inputs = Nest::read(args[1], "jvp", kInputs);
  libgrad::JvpOptions options{
      .create_graph = read_truth(args[3], false),
      .strict = read_truth(args[4], false)};
  if (is_given(args[2])) {
    options.v = inputs.read_alike(args[2], "jvp", "v");
  }
  NestFunction f(args[0], "jvp", inputs);
  const auto result = unlocked(
      [&] { return libgrad::jvp(f.reference(), inputs.tensors(), options); });
  const auto& outputs = f.outputs();
  return py::make_tuple(
             outputs.group(result.outputs), outputs.group(result.product))
      .release()
      .ptr();
}

/// vhp and hvp.
template <class Run>
PyObject* run_hessian_product(
    const char* name, const ProductArguments& args, const Run& run) {
  const auto inputs = Nest::read(args[1], name, kInputs);
  libgrad::ProductOptions options{
      .create_graph = read_truth(args[3], false),
      .strict = read_truth(args[4], false)};
  if (is_given(args[2])) {
    options.v = inputs.read_alike(args[2], name, "v");
  }
  NestFunction f(args[0], name, inputs, single_output(name));
  const auto result =
      unlocked([&] { return run(f.reference(), inputs.tensors(), options); });
  return py::make_tuple(
             f.outputs().group(result.outputs), inputs.group(result.product))
      .release()
      .ptr();
}

PyObject* run_vhp(const ProductArguments& args) {
  return run_hessian_product(
      "vhp", args, [](const auto&... all) { return libgrad::vhp(all...); });
}

PyObject* run_hvp(const ProductArguments& args) {
  return run_hessian_product(
      "hvp", args, [](const auto&... all) { return libgrad::hvp(all...); });
}

PyObject* run_value_and_grad(const std::array<PyObject*, 4>& args) {
  constexpr const char* kName = "value_and_grad";
  const auto inputs = Nest::read(args[1], kName, kInputs);
  const libgrad::GradientOptions options{
      .create_graph = read_truth(args[2], false),
      .strict = read_truth(args[3], false)};
  NestFunction f(args[0], kName, inputs, single_output(kName));
  const auto result = unlocked([&] {
    return libgrad::value_and_grad(f.reference(), inputs.tensors(), options);
  });
  return py::make_tuple(
             f.outputs().group({result.value}), inputs.group(result.grads))
      .release()
      .ptr();
}

/// func, inputs, create_graph, strict, vectorize, strategy, chunk_size, check,
/// group.
using MatrixArguments = std::array<PyObject*, 9>;

/// The strategy that `strategy` and `vectorize` name; automatic where neither
/// is given.
Strategy read_strategy(const MatrixArguments& args) {
  const bool named = args[5] != nullptr;
  const auto name =
      named ? py::str(py::handle(args[5])).cast<std::string>() : "reverse-mode";
  if (name == "forward-mode") {
    TORCH_CHECK_NOT_IMPLEMENTED(
        read_truth(args[4], true),
        "Computing Jacobian using forward-AD or forward-over-reverse Hessian "
        "is only implemented for `vectorize=True`.");
    return Strategy::forward;
  }
  if (name == "double-reverse") {
    return Strategy::double_reverse;
  }
  if (name != "reverse-mode") {
    PyErr_SetString(
        PyExc_AssertionError,
        "Expected strategy to be either \"forward-mode\" or \"reverse-mode\" "
        "(or libgrad's own \"double-reverse\"). Hint: If your function has "
        "more outputs than inputs, \"forward-mode\" tends to be more "
        "performant. Otherwise, prefer to use \"reverse-mode\".");
    throw py::error_already_set();
  }
  if (args[4]) {
    return read_truth(args[4], false) ? Strategy::batched : Strategy::loop;
  }
  if (named) {
    return read_truth(args[3], false) ? Strategy::loop : Strategy::batched;
  }
  return Strategy::automatic;
}

std::optional<int64_t> read_chunk_size(PyObject* argument, const char* name) {
  if (!is_given(argument)) {
    return std::nullopt;
  }
  TORCH_CHECK_TYPE(
      PyLong_Check(argument),
      name,
      ": chunk_size must be an int or None, but it is a ",
      Py_TYPE(argument)->tp_name);
  return THPUtils_unpackLong(argument);
}

libgrad::JacobianOptions read_options(
    const MatrixArguments& args, const char* name) {
  return {
      .create_graph = read_truth(args[2], false),
      .strict = read_truth(args[3], false),
      .strategy = read_strategy(args),
      .chunk_size = read_chunk_size(args[6], name),
      .check = read_truth(args[7], false)};
}

/// The matrix over the processes of a group; `rows_of` makes its rows.
template <class RowsOf>
PyObject* run_split(
    const MatrixArguments& args,
    const char* name,
    bool is_hessian,
    const RowsOf& rows_of) {
  const auto rows = [&]() -> GroupedRows {
    const auto options = read_options(args, name);
    auto inputs = Nest::read(args[1], name, kInputs);
    NestFunction f(
        args[0],
        name,
        inputs,
        is_hessian ? NestFunction::Inspect(single_output(name)) : nullptr);
    auto made = unlocked(
        [&] { return rows_of(f.reference(), inputs.tensors(), options); });
    return {std::move(made), is_hessian ? inputs : f.outputs(), inputs};
  };
  return split_matrix(args[8], name, rows).release().ptr();
}

PyObject* run_jacobian(const MatrixArguments& args) {
  if (is_given(args[8])) {
    return run_split(args, "jacobian", false, libgrad::jacobian_rows);
  }
  const auto options = read_options(args, "jacobian");
  const auto inputs = Nest::read(args[1], "jacobian", kInputs);
  NestFunction f(args[0], "jacobian", inputs);
  const auto matrix = unlocked([&] {
    return libgrad::jacobian(f.reference(), inputs.tensors(), options);
  });
  return grouped(f.outputs(), inputs, matrix).release().ptr();
}

PyObject* run_hessian(const MatrixArguments& args) {
  if (is_given(args[8])) {
    return run_split(args, "hessian", true, libgrad::hessian_rows);
  }
  const auto options = read_options(args, "hessian");
  const auto inputs = Nest::read(args[1], "hessian", kInputs);
  NestFunction f(args[0], "hessian", inputs, single_output("hessian"));
  const auto matrix = unlocked([&] {
    return libgrad::hessian(f.reference(), inputs.tensors(), options);
  });
  return grouped(inputs, inputs, matrix).release().ptr();
}

/// A Python function that reads its arguments by `kSignature` and passes them
/// to `run`.
template <auto& kSignature, auto run>
PyObject* entry(
    PyObject* /*self*/,
    PyObject* const* args,
    Py_ssize_t positional,
    PyObject* keywords) {
  HANDLE_TH_ERRORS
  return run(kSignature().parse(args, positional, keywords));
  END_HANDLE_TH_ERRORS
}

template <size_t N>
struct Name {
  char text[N];
  constexpr Name(const char (&from)[N]) { std::copy_n(from, N, text); }
};

template <Name name>
const ArgumentSpec<5>& product() {
  static const ArgumentSpec<5> signature(
      name.text, 2, {"func", "inputs", "v", "create_graph", "strict"});
  return signature;
}

const ArgumentSpec<4>& gradient() {
  static const ArgumentSpec<4> signature(
      "value_and_grad", 2, {"func", "inputs", "create_graph", "strict"});
  return signature;
}

template <Name name, Name strategy>
const ArgumentSpec<9>& matrix() {
  static const ArgumentSpec<9> signature(
      name.text,
      2,
      {"func",
       "inputs",
       "create_graph",
       "strict",
       "vectorize",
       strategy.text,
       "chunk_size",
       "check",
       "group"},
      /*positional=*/6);
  return signature;
}

template <auto& kSignature, auto run>
void add(py::module_& m, const char* name) {
  static PyMethodDef def = fast_method(name, entry<kSignature, run>);
  define(m, name, &def, m.ptr(), "libgrad.functional");
}

}  // namespace

void bind_functional(py::module_& m) {
  libgrad::detail::host().is_final = is_interrupt;
  auto sub = m.def_submodule("functional", "Bindings of libgrad/functional.h.");
  add<product<"vjp">, run_vjp>(sub, "vjp");
  add<product<"jvp">, run_jvp>(sub, "jvp");
  add<product<"vhp">, run_vhp>(sub, "vhp");
  add<product<"hvp">, run_hvp>(sub, "hvp");
  add<gradient, run_value_and_grad>(sub, "value_and_grad");
  add<matrix<"jacobian", "strategy">, run_jacobian>(sub, "jacobian");
  add<matrix<"hessian", "outer_jacobian_strategy">, run_hessian>(
      sub, "hessian");
  bind_split(sub);
}
