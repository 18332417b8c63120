#include "bindings/function_class/context.h"

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION

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

/// The attribute `name` of torch's base class, for a ctx that torch's own
/// `apply` made.
PyObject* inherited(PyObject* self, const char* name) {
  auto* descriptor = PyDict_GetItemString(THPFunctionType.tp_dict, name);
  return Py_TYPE(descriptor)
      ->tp_descr_get(
          descriptor, self, reinterpret_cast<PyObject*>(Py_TYPE(self)));
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
      {nullptr, nullptr, 0, nullptr}};
  static PyGetSetDef properties[] = {
      {"saved_tensors", saved_tensors, nullptr, nullptr, nullptr},
      {"saved_variables", saved_variables, nullptr, nullptr, nullptr},
      {"_raw_saved_tensors", raw_saved_tensors, nullptr, nullptr, nullptr},
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
