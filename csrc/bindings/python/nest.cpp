#include "bindings/python/nest.h"

#include <pybind11/gil_safe_call_once.h>
#include <torch/csrc/autograd/python_variable.h>

using torch::autograd::variable_list;

namespace {

/// libgrad._functional.nest, which knows torch's pytrees.
const py::module_& pytrees() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::module_>
      storage;
  return storage
      .call_once_and_store_result(
          [] { return py::module_::import("libgrad._functional.nest"); })
      .get_stored();
}

bool is_tensor(py::handle object) {
  return THPVariable_Check(object.ptr());
}

at::Tensor unwrapped(py::handle tensor) {
  return THPVariable_Unpack(tensor.ptr());
}

py::object wrapped(const at::Tensor& tensor) {
  auto object = py::reinterpret_steal<py::object>(THPVariable_Wrap(tensor));
  if (!object) {
    throw py::error_already_set();
  }
  return object;
}

/// The tensors of a tuple; nothing when something else is among them.
bool read_tuple(py::handle tuple, variable_list& tensors) {
  const auto size = PyTuple_GET_SIZE(tuple.ptr());
  tensors.reserve(size);
  for (Py_ssize_t i = 0; i < size; ++i) {
    const py::handle item = PyTuple_GET_ITEM(tuple.ptr(), i);
    if (!is_tensor(item)) {
      tensors.clear();
      return false;
    }
    tensors.push_back(unwrapped(item));
  }
  return true;
}

py::tuple as_tuple(std::vector<py::object> items) {
  py::tuple tuple(items.size());
  for (size_t i = 0; i < items.size(); ++i) {
    PyTuple_SET_ITEM(
        tuple.ptr(), static_cast<Py_ssize_t>(i), items[i].release().ptr());
  }
  return tuple;
}

py::object call(py::handle function, const py::tuple& arguments) {
  auto result = py::reinterpret_steal<py::object>(
      PyObject_Call(function.ptr(), arguments.ptr(), nullptr));
  if (!result) {
    throw py::error_already_set();
  }
  return result;
}

}  // namespace

Nest Nest::read(py::handle object, const char* function, const char* what) {
  Nest nest;
  if (is_tensor(object)) {
    nest.tensors_.push_back(unwrapped(object));
  } else if (PyTuple_Check(object.ptr())) {
    nest.kind_ = Kind::tuple;
    if (!read_tuple(object, nest.tensors_)) {
      nest.kind_ = Kind::tuple_of_trees;
      nest.read_tree(object, function, what);
    }
  } else {
    nest.kind_ = Kind::tree;
    nest.read_tree(object, function, what);
  }
  return nest;
}

void Nest::read_tree(
    py::handle object, const char* function, const char* what) {
  const py::tuple flat = pytrees().attr("flatten")(object, function, what);
  spec_ = flat[1];
  for (const auto& leaf : flat[0]) {
    tensors_.push_back(unwrapped(leaf));
  }
}

variable_list Nest::read_alike(
    py::handle object, const char* function, const char* what) const {
  variable_list tensors;
  if (spec_) {
    for (const auto& leaf : pytrees().attr("flatten_like")(
             spec_, object, kind_ == Kind::tuple_of_trees, function, what)) {
      tensors.push_back(unwrapped(leaf));
    }
    return tensors;
  }
  if (is_tensor(object)) {
    tensors.push_back(unwrapped(object));
  } else if (!PyTuple_Check(object.ptr()) || !read_tuple(object, tensors)) {
    pytrees().attr("refuse")(object, function, what);
  }
  TORCH_CHECK(
      !tensors.empty(),
      function,
      ": ",
      is_single() ? "The given v should contain a single Tensor."
                  : "v is a tuple of invalid length: should be " +
                        std::to_string(tensors_.size()) + " but got 0.");
  return tensors;
}

py::object Nest::group(std::vector<py::object> items) const {
  switch (kind_) {
    case Kind::single:
      return std::move(items[0]);
    case Kind::tuple:
      return as_tuple(std::move(items));
    default:
      return pytrees().attr("unflatten")(spec_, as_tuple(std::move(items)));
  }
}

py::object Nest::group(const variable_list& tensors) const {
  std::vector<py::object> items;
  items.reserve(tensors.size());
  for (const auto& tensor : tensors) {
    items.push_back(wrapped(tensor));
  }
  return group(std::move(items));
}

py::object Nest::pass(py::handle function, const variable_list& tensors) const {
  if (kind_ == Kind::single || kind_ == Kind::tree) {
    return call(function, as_tuple({group(tensors)}));
  }
  return call(function, group(tensors));
}
