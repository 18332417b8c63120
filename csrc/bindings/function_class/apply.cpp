#include "bindings/function_class/context.h"

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION

#include <c10/util/ScopeExit.h>

namespace libgrad::detail {

namespace {

/// True inside torch.func's transforms and under the JIT tracer, which torch's
/// own `apply` supports.
bool is_transformed() {
  static constexpr c10::DispatchKeySet keys{
      c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
      c10::DispatchKey::FuncTorchDynamicLayerBackMode,
      c10::DispatchKey::Tracer};
  return c10::impl::tls_local_dispatch_key_set().included_.has_any(keys);
}

/// True when `count` positional arguments match the parameters of `forward`
/// without binding: it is a plain function and no default has to be filled in.
bool takes_exactly(PyObject* forward, size_t count) {
  if (!PyFunction_Check(forward)) {
    return false;
  }
  const auto* function = reinterpret_cast<PyFunctionObject*>(forward);
  if (function->func_dict && PyDict_GET_SIZE(function->func_dict) != 0) {
    return false;  // perhaps __wrapped__
  }
  const auto* code = reinterpret_cast<PyCodeObject*>(function->func_code);
  const auto parameters = static_cast<size_t>(code->co_argcount);
  return code->co_kwonlyargcount == 0 &&
         (code->co_flags & CO_VARARGS ? parameters <= count
                                      : parameters == count);
}

/// Reads the tensors among the arguments. True when a tensor has outlived the
/// transform of torch.func that wrapped it.
bool read_tensors(PythonCall& call) {
  call.is_variable.assign(call.count, false);
  call.tensors.clear();
  call.needs_grad.assign(call.count, false);
  bool any_needs_grad = false;
  bool any_dead = false;
  for (size_t i = 0; i < call.count; ++i) {
    if (!THPVariable_Check(call.args[i])) {
      continue;
    }
    const auto& tensor = THPVariable_Unpack(call.args[i]);
    call.is_variable[i] = true;
    call.tensors.push_back(tensor);
    call.needs_grad[i] = tensor.requires_grad();
    any_needs_grad |= call.needs_grad[i];
    any_dead |= tensor.key_set().has(c10::DispatchKey::FuncTorchGradWrapper);
  }
  call.is_executable = any_needs_grad && at::GradMode::is_enabled();
  return any_dead;
}

PyObject* wrap(PythonCall& call, PythonOutputs& outputs) {
  const auto item = [&](size_t i, PyObject* raw) {
    auto& tensor = outputs.tensors[i];
    return tensor ? THPVariable_Wrap(std::move(*tensor)) : Py_NewRef(raw);
  };
  auto* result = call.result.get();
  if (!PyTuple_Check(result)) {
    return item(0, result);
  }
  auto tuple = checked(PyTuple_New(PyTuple_GET_SIZE(result)));
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(result); ++i) {
    PyTuple_SET_ITEM(
        tuple.get(),
        i,
        checked(item(i, PyTuple_GET_ITEM(result, i))).release());
  }
  return tuple.release();
}

/// Reports a call to profilers by the name of its class, as torch does for its
/// own Functions.
void record(at::RecordFunction& guard, const PythonCall& call) {
  std::vector<c10::IValue> inputs;
  if (guard.needsInputs()) {
    inputs.assign(call.tensors.begin(), call.tensors.end());
  }
  at::detail::record_function_with_scope(
      guard,
      reinterpret_cast<PyTypeObject*>(call.cls)->tp_name,
      inputs,
      static_cast<int64_t>(at::sequence_number::peek()));
}

PyObject* run(PythonCall& call) {
  py::tuple alive;
  if (read_tensors(call)) {
    py::tuple args(call.count);
    for (size_t i = 0; i < call.count; ++i) {
      args[i] = py::reinterpret_borrow<py::object>(call.args[i]);
    }
    alive = py::module_::import("torch._functorch.utils")
                .attr("unwrap_dead_wrappers")(args);
    call.args = &PyTuple_GET_ITEM(alive.ptr(), 0);
    read_tensors(call);
  }
  // Its ctx, and with it the node, may outlive the call.
  const auto leave = c10::make_scope_exit([&call] {
    if (call.context) {
      python_node(call.ctx())->call_ = nullptr;
    }
  });
  auto outputs = [&] {
    at::RecordFunction guard(at::RecordScope::FUNCTION);
    if (C10_UNLIKELY(guard.isActive())) {
      record(guard, call);
    }
    return PythonFunction::apply(&call, at::TensorList(call.tensors));
  }();
  Py_CLEAR(call.ctx()->saved_for_forward);
  return wrap(call, outputs);
}

/// apply(cls, *args, **kwargs): a classmethod of libgrad.Function.
PyObject* apply_class(
    PyObject*, PyObject* const* args, Py_ssize_t count, PyObject* keywords) {
  HANDLE_TH_ERRORS
  const auto& names = FunctionNames::get();
  if (C10_UNLIKELY(is_transformed())) {
    return PyObject_Vectorcall(
        names.base_apply.ptr(), args, static_cast<size_t>(count), keywords);
  }
  PythonCall call{args[0], args + 1, static_cast<size_t>(count - 1)};
  call.has_setup_context = attribute(call.cls, names.setup_context).get() !=
                           names.base_setup_context.ptr();
  const bool has_keywords = keywords && PyTuple_GET_SIZE(keywords) != 0;
  if (!has_keywords &&
      (!call.has_setup_context ||
       takes_exactly(attribute(call.cls, names.forward), call.count))) {
    return run(call);
  }
  auto bind = py::module_::import("libgrad._function.function").attr("_bind");
  auto bound = checked(PyObject_Vectorcall(
      bind.ptr(), args, static_cast<size_t>(count), keywords));
  call.args = &PyTuple_GET_ITEM(bound.get(), 0);
  call.count = static_cast<size_t>(PyTuple_GET_SIZE(bound.get()));
  return run(call);
  END_HANDLE_TH_ERRORS
}

}  // namespace

}  // namespace libgrad::detail

void bind_function_class(py::module_& m) {
  using namespace libgrad::detail;
  static PyMethodDef def{
      "apply",
      reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(apply_class)),
      METH_FASTCALL | METH_KEYWORDS,
      "apply(*args, **kwargs)\n--\n\nRun forward on the arguments and record a "
      "node.\n"};
  auto context = make_function_context();
  m.attr("FunctionContext") = context;
  FunctionNames::context =
      reinterpret_cast<PyTypeObject*>(context.release().ptr());
  FunctionNames::get();  // before a program can replace torch's members
  m.attr("_apply") = py::reinterpret_steal<py::object>(
      PyCFunction_NewEx(&def, nullptr, py::str("libgrad").ptr()));
}

#else

void bind_function_class(py::module_&) {
}  // the `apply` of libgrad.Function raises an error instead

#endif
