/// bindings/graph/holders.h -- the nodes that Python objects keep, and
/// what else refers to them. Needs Python; called with the GIL held.
///
/// Relies on (covered by tests/graph/test_alive.py):
/// - the Python object of a tensor owns one reference to its TensorImpl (in
///   an older torch it may be the other way round, then owns_pyobj() says so);
/// - the TensorImpl owns one reference to the node that made it;
/// - a node has at most one Python object and knows it; this object owns one
///   reference to the node (in an older torch the object of a PyNode owns none,
///   and pyobj() does not return it).

#pragma once

#include "bindings/python/torch_objects.h"

#include <vector>

namespace libgrad::detail {

/// True when the type of `object` is `type` or derived from it. `__class__` is
/// ignored, and no code of the object runs.
inline bool has_type(py::handle object, PyObject* type) {
  return PyObject_TypeCheck(
      object.ptr(), reinterpret_cast<PyTypeObject*>(type));
}

/// The tensor in `object`, or null for anything else.
inline const at::Tensor* tensor_in(py::handle object) {
  return has_type(object, THPVariableClass) ? &THPVariable_Unpack(object.ptr())
                                            : nullptr;
}

/// The node that made the tensor in `object`, or that `object` is; null when
/// there is none.
inline NodePtr node_in(py::handle object) {
  if (const auto* tensor = tensor_in(object)) {
    return tensor->defined() ? tensor->grad_fn() : nullptr;
  }
  if (torch::autograd::THPCppFunction_Check(object.ptr())) {
    return reinterpret_cast<torch::autograd::THPCppFunction*>(object.ptr())
        ->cdata;
  }
  return has_type(object, reinterpret_cast<PyObject*>(&THPFunctionType))
             ? node_of(*reinterpret_cast<THPFunction*>(object.ptr()))
             : nullptr;
}

/// The number of references to `target` that its Python object owns.
template <class T>
size_t references_of_object(T& target) {
  if constexpr (requires { target.pyobj_slot()->owns_pyobj(); }) {
    return target.pyobj_slot()->owns_pyobj() ? 0 : 1;
  } else if constexpr (requires { target.pyobj_slot()->load_pyobj(); }) {
    return target.pyobj_slot()->load_pyobj() != nullptr ? 1 : 0;
  } else {
    return target.pyobj() != nullptr ? 1 : 0;
  }
}

/// The number of C++ references that keep the graph behind `objects` alive:
/// those to their tensors, and those to their node other than the tensors' own.
/// All `objects` have the same node.
inline size_t count_references_of_cpp(const std::vector<py::object>& objects) {
  size_t count = 0;
  size_t ours = 1;  // references to the node that do not count
  NodePtr node;
  for (const auto& object : objects) {
    node = node_in(object);
    if (const auto* tensor = tensor_in(object)) {
      auto& impl = *tensor->unsafeGetTensorImpl();
      count += tensor->use_count() - references_of_object(impl);
      ++ours;
    }
  }
  if (!node) {
    return 0;
  }
  ours += references_of_object(*node);
  return count + (node.use_count() > ours ? node.use_count() - ours : 0);
}

}  // namespace libgrad::detail
