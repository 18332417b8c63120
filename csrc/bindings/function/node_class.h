/// bindings/function/node_class.h -- the Python class of a C++ Function's
/// nodes. Every function must be called with the GIL held.
///
/// Relies on (covered by tests/function/test_function.py):
/// - registerCppFunction sets the class of `grad_fn` for a type of node;
/// - _initFunctionPyTypeObject fills in the slots that all such classes share.

#pragma once

#include <libgrad/python/arguments.h>
#include <libgrad/torch/autograd/node_names.h>

#include <pybind11/pybind11.h>
#include <torch/csrc/autograd/python_cpp_function.h>
#include <torch/csrc/autograd/python_variable.h>

#include <array>
#include <charconv>
#include <memory>
#include <unordered_map>

namespace libgrad::detail {

/// The Python class for the nodes of one Function; never freed.
struct NodeClass {
  const Erased* function;
  std::string name;
  std::array<PyGetSetDef, 6> properties;
  std::array<PyMethodDef, 7> methods;
  PyTypeObject type{};
};

inline std::unordered_map<PyTypeObject*, NodeClass*>& node_classes() {
  static auto* classes = new std::unordered_map<PyTypeObject*, NodeClass*>();
  return *classes;
}

inline const NodeClass& node_class_of(PyObject* self) {
  return *node_classes().at(Py_TYPE(self));
}

/// The tensors that the Function saved, in a tuple; None for undefined tensors.
inline py::tuple saved_tensors(PyObject* self) {
  auto& node = *reinterpret_cast<torch::autograd::THPCppFunction*>(self)->cdata;
  const auto saved =
      node_class_of(self).function->context(node)->get_saved_variables();
  py::tuple result(saved.size());
  for (size_t i = 0; i < saved.size(); ++i) {
    result[i] =
        saved[i].defined() ? py::cast(saved[i]) : py::object(py::none());
  }
  return result;
}

inline PyObject* get_saved_tensors(PyObject* self, void*) {
  HANDLE_TH_ERRORS
  return saved_tensors(self).release().ptr();
  END_HANDLE_TH_ERRORS
}

inline PyObject* get_node_name(PyObject* self, PyObject*) {
  HANDLE_TH_ERRORS
  return py::str(node_class_of(self).name).release().ptr();
  END_HANDLE_TH_ERRORS
}

inline constexpr std::string_view kSavedPrefix = "_saved_";

/// The number in "_saved_<number>", or -1.
inline int64_t saved_index(PyObject* name) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(name, &size);
  if (text == nullptr) {
    PyErr_Clear();
    return -1;
  }
  auto digits = std::string_view(text, size);
  if (!digits.starts_with(kSavedPrefix)) {
    return -1;
  }
  digits.remove_prefix(kSavedPrefix.size());
  int64_t index = -1;
  const auto end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, index);
  return error == std::errc() && stop == end ? index : -1;
}

/// The attributes `_saved_0`, `_saved_1`, ..., besides those of the class.
inline PyObject* get_node_attribute(PyObject* self, PyObject* name) {
  HANDLE_TH_ERRORS
  const auto index = saved_index(name);
  if (index >= 0) {
    const auto saved = saved_tensors(self);
    if (index < static_cast<int64_t>(saved.size())) {
      return py::object(saved[index]).release().ptr();
    }
  }
  END_HANDLE_TH_ERRORS
  return PyObject_GenericGetAttr(self, name);
}

/// The names that dir() lists: those of the class and of the saved tensors.
inline PyObject* get_node_names(PyObject* self, PyObject*) {
  HANDLE_TH_ERRORS
  const auto& type = node_class_of(self).type;
  py::list names =
      py::module_::import("builtins")
          .attr("dir")(py::handle(
              reinterpret_cast<PyObject*>(const_cast<PyTypeObject*>(&type))));
  auto& node = *reinterpret_cast<torch::autograd::THPCppFunction*>(self)->cdata;
  const auto count =
      Context::variables(*node_class_of(self).function->context(node)).size();
  for (size_t i = 0; i < count; ++i) {
    names.append(std::string(kSavedPrefix) + std::to_string(i));
  }
  return names.release().ptr();
  END_HANDLE_TH_ERRORS
}

inline PyGetSetDef property(const char* name, getter get) {
  return {name, get, nullptr, nullptr, nullptr};
}

inline PyMethodDef method(const char* name, PyCFunction call, int flags) {
  return {name, call, flags, nullptr};
}

/// Makes the Python class of `function`'s nodes and registers it with torch.
inline py::object register_node_class(const Erased& function) {
  namespace autograd = torch::autograd;
  auto* made = new NodeClass();
  made->function = &function;
  made->name = node_name(*function.function);
  made->properties = {
      property("next_functions", autograd::THPCppFunction_next_functions),
      property("requires_grad", autograd::THPCppFunction_requires_grad),
      property("metadata", autograd::THPCppFunction_metadata),
      property("_input_metadata", autograd::THPCppFunction_input_metadata),
      property("saved_tensors", get_saved_tensors),
      {}};
  made->methods = {
      method("register_hook", autograd::THPCppFunction_register_hook, METH_O),
      method(
          "register_prehook",
          autograd::THPCppFunction_register_prehook,
          METH_O),
      method(
          "_register_hook_dict",
          autograd::THPCppFunction_register_hook_dict,
          METH_O),
      method("_sequence_nr", autograd::THPCppFunction_sequence_nr, METH_NOARGS),
      method("name", get_node_name, METH_NOARGS),
      method("__dir__", get_node_names, METH_NOARGS),
      {}};
  made->type.tp_getattro = get_node_attribute;
  autograd::_initFunctionPyTypeObject(
      made->type,
      made->name.c_str(),
      made->properties.data(),
      made->methods.data());
  node_classes()[&made->type] = made;
  autograd::registerCppFunction(*function.node, &made->type);
  return py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(&made->type));
}

}  // namespace libgrad::detail
