#include "bindings/function_class/context.h"

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION

#include <torch/headeronly/version.h>

namespace libgrad::detail {

namespace {

THPFunction* unpack(PyObject* self) {
  return reinterpret_cast<THPFunction*>(self);
}

void keep(PyObject*& field, PyObject* value) {
  Py_XSETREF(field, Py_NewRef(value));
}

PyObject* save_for_backward(PyObject* self, PyObject* args) {
  keep(unpack(self)->to_save, args);
  Py_RETURN_NONE;
}

PyObject* save_for_forward(PyObject* self, PyObject* args) {
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(args); ++i) {
    auto* item = PyTuple_GET_ITEM(args, i);
    if (item != Py_None && !THPVariable_Check(item)) {
      return PyErr_Format(
          PyExc_AssertionError,
          "save_for_forward expects all arguments to be tensors, but argument "
          "%zd is of type %s; you should save non-tensors as attributes on "
          "ctx.",
          i,
          Py_TYPE(item)->tp_name);
    }
  }
  keep(unpack(self)->saved_for_forward, args);
  Py_RETURN_NONE;
}

PyObject* mark_dirty(PyObject* self, PyObject* args) {
  keep(unpack(self)->dirty_tensors, args);
  Py_RETURN_NONE;
}

PyObject* mark_non_differentiable(PyObject* self, PyObject* args) {
  keep(unpack(self)->non_differentiable, args);
  Py_RETURN_NONE;
}

PyObject* set_materialize_grads(PyObject* self, PyObject* value) {
  if (!PyBool_Check(value)) {
    return PyErr_Format(
        PyExc_TypeError,
        "set_materialize_grads received an invalid combination of arguments - "
        "got %s, but expected (bool)",
        Py_TYPE(value)->tp_name);
  }
  unpack(self)->materialize_grads = value == Py_True;
  Py_RETURN_NONE;
}

/// The attribute `name` of torch's base class.
PyObject* inherited(PyObject* self, const char* name) {
  auto* descriptor = PyDict_GetItemString(THPFunctionType.tp_dict, name);
  return Py_TYPE(descriptor)
      ->tp_descr_get(
          descriptor, self, reinterpret_cast<PyObject*>(Py_TYPE(self)));
}

/// Made from the node when it is first asked for.
PyObject* needs_input_grad(PyObject* self, void*) {
  auto* ctx = unpack(self);
  const auto* node = python_node(ctx);
  if (!node) {  // torch's own apply made this ctx
    return inherited(self, "needs_input_grad");
  }
  if (!ctx->needs_input_grad) {
    const auto& bits = node->needs_grad_;
    auto* tuple = PyTuple_New(static_cast<Py_ssize_t>(bits.size()));
    for (size_t i = 0; tuple && i < bits.size(); ++i) {
      PyTuple_SET_ITEM(tuple, i, Py_NewRef(bits[i] ? Py_True : Py_False));
    }
    ctx->needs_input_grad = tuple;
  }
  return Py_XNewRef(ctx->needs_input_grad);
}

int set_needs_input_grad(PyObject* self, PyObject* value, void*) {
  Py_XSETREF(unpack(self)->needs_input_grad, Py_XNewRef(value));
  return 0;
}

PyObject* output_grad_dtypes(PyObject* self, void*) {
  const auto* node = python_node(unpack(self));
  const auto* call = node ? node->call_ : nullptr;
  return Py_NewRef(
      call && call->grad_dtypes ? call->grad_dtypes.get() : Py_None);
}

/// For a ctx of torch's own `apply`: torch's method, where it has one.
PyObject* torchs_set_output_grad_dtype(PyObject* self, PyObject* dtypes) {
  const auto method = py::module_::import("torch.autograd.function")
                          .attr("FunctionCtx")
                          .attr("set_output_grad_dtype");
  return method(py::handle(self), *py::reinterpret_borrow<py::tuple>(dtypes))
      .release()
      .ptr();
}

PyObject* set_output_grad_dtype(PyObject* self, PyObject* dtypes) {
  HANDLE_TH_ERRORS
  const auto* node = python_node(unpack(self));
  if (!node) {
    return torchs_set_output_grad_dtype(self, dtypes);
  }
  TORCH_CHECK(
      node->call_,
      "set_output_grad_dtype must be called from forward or setup_context, but "
      "apply has returned");
  TORCH_CHECK(
      !node->call_->grad_dtypes,
      "set_output_grad_dtype can only be called once");
  node->call_->grad_dtypes = Py_NewRef(dtypes);
  Py_RETURN_NONE;
  END_HANDLE_TH_ERRORS
}

/// The engine's buffers of the gradients of the inputs, by torch's getter: it
/// finds the node in ctx, and asks ctx which arguments were tensors.
PyObject* input_grad_buffers(PyObject* self, void*) {
  auto* ctx = unpack(self);
  if (const auto* node = python_node(ctx)) {
    ctx->is_variable_input = node->is_variable_input_;
  }
  return inherited(self, "_input_grad_buffers");
}

/// Where torch has no such getter.
PyObject* no_input_grad_buffers(PyObject*, void*) {
  PyErr_SetString(
      PyExc_AttributeError,
      "ctx.input_grad_buffers: the engine of torch " TORCH_VERSION
      " does not hand out its buffers; that "
      "of " LIBGRAD_TORCH_WITH_INPUT_GRAD_BUFFERS
      " is the first that does. Return the gradient instead");
  return nullptr;
}

PyObject* saved(PyObject* self, const char* name) {
  HANDLE_TH_ERRORS
  auto* ctx = unpack(self);
  auto* node = python_node(ctx);
  if (!node) {
    return inherited(self, name);
  }
  TORCH_CHECK(
      !ctx->saved_tensors_accessed_and_cleared,
      "saved_tensors can only be accessed once when "
      "clear_saved_tensors_on_access=True is set on the autograd.Function. "
      "Either access saved_tensors only once, or set "
      "clear_saved_tensors_on_access=False.");
  if (ctx->saved_for_forward) {
    return Py_NewRef(ctx->saved_for_forward);
  }
  auto tensors = node->unpack(ctx->clear_saved_tensors_on_access);
  ctx->saved_tensors_accessed_and_cleared = ctx->clear_saved_tensors_on_access;
  auto tuple = checked(PyTuple_New(static_cast<Py_ssize_t>(tensors.size())));
  for (size_t i = 0; i < tensors.size(); ++i) {
    PyTuple_SET_ITEM(
        tuple.get(),
        i,
        checked(THPVariable_Wrap(std::move(tensors[i]))).release());
  }
  return tuple.release();
  END_HANDLE_TH_ERRORS
}

PyObject* saved_tensors(PyObject* self, void*) {
  return saved(self, "saved_tensors");
}

PyObject* saved_variables(PyObject* self, void*) {
  const bool raised =
      python_node(unpack(self)) &&
      PyErr_WarnEx(
          PyExc_DeprecationWarning,
          "'saved_variables' is deprecated; use 'saved_tensors'",
          0) != 0;
  return raised ? nullptr : saved(self, "saved_variables");
}

PyObject* raw_saved_tensors(PyObject* self, void*) {
  HANDLE_TH_ERRORS
  auto* node = python_node(unpack(self));
  if (!node) {
    return inherited(self, "_raw_saved_tensors");
  }
  auto& variables = node->saved_variables();
  py::tuple tuple(variables.size());
  for (size_t i = 0; i < variables.size(); ++i) {
    tuple[i] = py::cast(
        variables[i],
        py::return_value_policy::reference_internal,
        py::handle(self));
  }
  return tuple.release().ptr();
  END_HANDLE_TH_ERRORS
}

}  // namespace

}  // namespace libgrad::detail

py::object make_function_context() {
  using namespace libgrad::detail;
  static PyMethodDef methods[] = {
      {"save_for_backward", save_for_backward, METH_VARARGS, nullptr},
      {"save_for_forward", save_for_forward, METH_VARARGS, nullptr},
      {"mark_dirty", mark_dirty, METH_VARARGS, nullptr},
      {"mark_non_differentiable",
       mark_non_differentiable,
       METH_VARARGS,
       nullptr},
      {"set_materialize_grads", set_materialize_grads, METH_O, nullptr},
      {"set_output_grad_dtype", set_output_grad_dtype, METH_VARARGS, nullptr},
      {nullptr, nullptr, 0, nullptr}};
  const bool torch_has_buffers =
      PyDict_GetItemString(THPFunctionType.tp_dict, "_input_grad_buffers");
  static PyGetSetDef properties[] = {
      {"saved_tensors", saved_tensors, nullptr, nullptr, nullptr},
      {"saved_variables", saved_variables, nullptr, nullptr, nullptr},
      {"_raw_saved_tensors", raw_saved_tensors, nullptr, nullptr, nullptr},
      {"needs_input_grad",
       needs_input_grad,
       set_needs_input_grad,
       nullptr,
       nullptr},
      {"output_grad_dtypes", output_grad_dtypes, nullptr, nullptr, nullptr},
      torch_has_buffers
          ? PyGetSetDef{"_input_grad_buffers", input_grad_buffers, nullptr, nullptr, nullptr}
          : PyGetSetDef{"input_grad_buffers", no_input_grad_buffers, nullptr, nullptr, nullptr},
      {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyType_Slot slots[] = {
      {Py_tp_methods, methods}, {Py_tp_getset, properties}, {0, nullptr}};
  static PyType_Spec spec{
      "libgrad._C.FunctionContext",
      0,  // as its base
      0,
      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
      slots};
  return py::reinterpret_steal<py::object>(
      checked(PyType_FromSpecWithBases(
                  &spec,
                  py::make_tuple(
                      py::handle(reinterpret_cast<PyObject*>(&THPFunctionType)))
                      .ptr()))
          .release());
}

#endif
