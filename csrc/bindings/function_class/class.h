/// bindings/function_class/class.h -- reads the members of a Function's Python
/// class, and calls them. Every function needs the GIL.
///
/// Relies on (covered by
/// tests/function_class/test_function_class_internals.py):
/// - torch.autograd.function.Function defines `backward`, `vjp` and
///   `setup_context`, so that a class overrides one where its attribute is
///   another object;
/// - the metaclass of Function stores the type of ctx, which is named after the
///   class, in `_backward_cls`; that type has the class in `_forward_cls`.

#pragma once

#include "bindings/function_class/node.h"

#ifdef LIBGRAD_HAS_PYTHON_FUNCTION

#include <pybind11/gil_safe_call_once.h>

namespace libgrad::detail {

/// torch's own `apply`, which takes the class as its first argument: a
/// classmethod, whose function it is, or a method of C.
inline py::object torch_apply(const py::object& base) {
  const py::object member = base.attr("__dict__")["apply"];
  return py::getattr(member, "__func__", member);
}

inline py::object interned(const char* name) {
  return py::reinterpret_steal<py::object>(PyUnicode_InternFromString(name));
}

/// Interned names and torch's default members; looked up once, never released.
struct FunctionNames {
  py::object base =
      py::module_::import("torch.autograd.function").attr("Function");
  py::object base_setup_context = base.attr("setup_context");
  py::object base_apply = torch_apply(base);
  py::object base_backward = base.attr("backward");
  py::object base_vjp = base.attr("vjp");
  py::object forward = interned("forward");
  py::object setup_context = interned("setup_context");
  py::object backward = interned("backward");
  py::object vjp = interned("vjp");
  py::object jvp = interned("jvp");
  py::object forward_cls = interned("_forward_cls");
  py::object backward_cls = interned("_backward_cls");
  py::object boxed = interned("boxed_grads_call");
  py::object clears = interned("clear_saved_tensors_on_access");

  /// The base class of every ctx; set once, when libgrad's module is made.
  static inline PyTypeObject* context = nullptr;

  static const FunctionNames& get() {
    PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<FunctionNames>
        storage;
    return storage.call_once_and_store_result([] { return FunctionNames(); })
        .get_stored();
  }
};

inline THPObjectPtr attribute(PyObject* object, const py::object& name) {
  return checked(PyObject_GetAttr(object, name.ptr()));
}

/// The Function's class that `ctx` belongs to.
inline THPObjectPtr forward_class(PyObject* ctx) {
  return attribute(
      reinterpret_cast<PyObject*>(Py_TYPE(ctx)),
      FunctionNames::get().forward_cls);
}

/// The arguments of a vectorcall, with a free slot in front of them
/// (PY_VECTORCALL_ARGUMENTS_OFFSET).
class CallArguments {
 public:
  explicit CallArguments(size_t capacity) {
    objects_.reserve(capacity + 1);
    objects_.push_back(nullptr);
  }
  CallArguments(const CallArguments&) = delete;
  CallArguments& operator=(const CallArguments&) = delete;
  ~CallArguments() {
    for (auto* object : objects_) {
      Py_XDECREF(object);
    }
  }
  void borrow(PyObject* object) { objects_.push_back(Py_NewRef(object)); }
  void steal(PyObject* object) {
    objects_.push_back(checked(object).release());
  }
  THPObjectPtr call(PyObject* function) {
    return checked(PyObject_Vectorcall(
        function,
        objects_.data() + 1,
        (objects_.size() - 1) | PY_VECTORCALL_ARGUMENTS_OFFSET,
        nullptr));
  }

 private:
  c10::SmallVector<PyObject*, 10> objects_;
};

/// The tensor `object`, undefined for None. Throws for any other object; `what`
/// is the end of the message.
inline at::Tensor tensor_or_none(PyObject* object, const char* what) {
  if (object == Py_None) {
    return {};
  }
  TORCH_CHECK(
      THPVariable_Check(object),
      "expected Variable or None (got ",
      Py_TYPE(object)->tp_name,
      ")",
      what);
  return THPVariable_Unpack(object);
}

inline bool read_class_flag(PyObject* cls, const py::object& name) {
  auto flag = attribute(cls, name);
  TORCH_CHECK(
      PyBool_Check(flag.get()),
      name.cast<std::string>(),
      " must be a bool, got ",
      Py_TYPE(flag.get())->tp_name);
  return flag.get() == Py_True;
}

/// The type of ctx for `cls`, named as torch names it. The first call makes it.
inline THPObjectPtr context_type(PyObject* cls) {
  const auto& names = FunctionNames::get();
  auto type = attribute(cls, names.backward_cls);
  if (!PyType_IsSubtype(
          reinterpret_cast<PyTypeObject*>(type.get()),
          FunctionNames::context)) {
    auto make = py::module_::import("libgrad._function.function")
                    .attr("_context_class");
    type = checked(PyObject_CallOneArg(make.ptr(), cls));
  }
  return type;
}

/// The class's `backward`, or its `vjp` where it defines that.
inline THPObjectPtr user_backward(PyObject* cls) {
  const auto& names = FunctionNames::get();
  auto backward = attribute(cls, names.backward);
  auto vjp = attribute(cls, names.vjp);
  if (vjp.get() == names.base_vjp.ptr()) {
    return backward;
  }
  TORCH_CHECK(
      backward.get() == names.base_backward.ptr(),
      "Implementing both 'backward' and 'vjp' for a custom Function is not "
      "allowed. You should only implement one of them.");
  return vjp;
}

}  // namespace libgrad::detail

#endif
