#include "bindings/grad/operands.h"

#include <ATen/PythonTorchFunctionTLS.h>

using libgrad::edge_list;
using libgrad::variable_list;
using libgrad::detail::is_gradient_edge;

namespace {

std::string type_name(py::handle object) {
  return Py_TYPE(object.ptr())->tp_name;
}

[[noreturn]] void raise(PyObject* type, const std::string& message) {
  PyErr_SetString(type, message.c_str());
  throw py::error_already_set();
}

bool is_plain_sequence(py::handle object) {
  return PyTuple_CheckExact(object.ptr()) || PyList_CheckExact(object.ptr());
}

/// hasattr(object, name), as Python's: other exceptions get through.
bool has_attribute(py::handle object, const char* name) {
  if (auto value = py::reinterpret_steal<py::object>(
          PyObject_GetAttrString(object.ptr(), name))) {
    return true;
  }
  if (!PyErr_ExceptionMatches(PyExc_AttributeError)) {
    throw py::error_already_set();
  }
  PyErr_Clear();
  return false;
}

/// True for a single operand: a tensor, an object that torch takes for one, or
/// an edge.
bool is_single(py::handle object) {
  return !is_plain_sequence(object) &&
         (THPVariable_Check(object.ptr()) ||
          has_attribute(object, "__torch_function__") ||
          is_gradient_edge(object));
}

/// tuple(object), with an error that says which argument is not iterable.
py::tuple to_tuple(py::handle object, const char* function, const char* name) {
  auto tuple = py::reinterpret_steal<py::tuple>(PySequence_Tuple(object.ptr()));
  if (tuple) {
    return tuple;
  }
  if (PyErr_ExceptionMatches(PyExc_TypeError) &&
      !py::hasattr(object, "__iter__")) {
    PyErr_Clear();
    raise(
        PyExc_TypeError,
        std::string(function) + ": `" + name + "` must be a tensor or a " +
            "sequence of tensors: '" + type_name(object) +
            "' object is not iterable");
  }
  throw py::error_already_set();
}

bool is_mapping(py::handle object) {
  return py::isinstance(
      object, py::module_::import("collections.abc").attr("Mapping"));
}

py::object wrap(at::Tensor&& tensor) {
  return py::reinterpret_steal<py::object>(THPVariable_Wrap(std::move(tensor)));
}

}  // namespace

Operands Operands::outputs(
    py::handle object, const char* function, const char* argument) {
  Operands operands(function, argument);
  operands.read(object);
  return operands;
}

Operands Operands::inputs(py::handle object, const char* function) {
  Operands operands(function, "inputs");
  if (PyDict_CheckExact(object.ptr())) {
    operands.keys_ = py::reinterpret_steal<py::list>(PyDict_Keys(object.ptr()));
    operands.read(py::reinterpret_steal<py::list>(PyDict_Values(object.ptr())));
    return operands;
  }
  operands.read(object);
  if (operands.owner_ && !is_plain_sequence(object) && is_mapping(object)) {
    raise(
        PyExc_TypeError,
        std::string("`inputs` argument to `") + function +
            "()` must be a dict, not " + type_name(object) +
            ". Other Mapping types are not supported.");
  }
  return operands;
}

void Operands::read(py::handle object) {
  if (is_single(object)) {
    add(object.ptr());
    return;
  }
  owner_ = to_tuple(object, function_, argument_);
  for (py::handle item : py::reinterpret_borrow<py::tuple>(owner_)) {
    add(item.ptr());
  }
}

void Operands::add(PyObject* item) {
  items_.push_back(item);
  if (!THPVariable_CheckExact(item)) {
    plain_ = false;
    has_edges_ |= !THPVariable_Check(item) && is_gradient_edge(item);
  }
}

variable_list Operands::tensors() const {
  variable_list tensors;
  tensors.reserve(items_.size());
  for (PyObject* item : items_) {
    if (THPVariable_Check(item)) {
      tensors.push_back(THPVariable_Unpack(item));
    } else if (has_edges_ && is_gradient_edge(item)) {
      tensors.emplace_back();
    } else {
      const std::string where = std::string(function_) + ": " + argument_ +
                                "[" + std::to_string(tensors.size()) + "]: ";
      if (std::string(argument_) == "inputs") {
        raise(
            PyExc_RuntimeError,
            where + "all inputs have to be Tensors or GradientEdges, but got " +
                type_name(item));
      }
      raise(
          PyExc_AssertionError,
          where + "Expected output to be a torch.Tensor, but got " +
              type_name(item));
    }
  }
  return tensors;
}

edge_list Operands::edges(
    const variable_list& tensors,
    libgrad::Edge (*edge_of)(const at::Tensor&)) const {
  edge_list edges;
  edges.reserve(items_.size());
  for (size_t i = 0; i < items_.size(); ++i) {
    edges.push_back(
        tensors[i].defined()
            ? edge_of(tensors[i])
            : libgrad::detail::unpack_gradient_edge(items_[i]));
  }
  return edges;
}

py::object Operands::like_argument(variable_list grads) const {
  if (keys_) {
    py::dict result;
    for (size_t i = 0; i < grads.size(); ++i) {
      result[keys_[py::int_(i)]] = wrap(std::move(grads[i]));
    }
    return result;
  }
  py::tuple result(grads.size());
  for (size_t i = 0; i < grads.size(); ++i) {
    PyTuple_SET_ITEM(
        result.ptr(), i, wrap(std::move(grads[i])).release().ptr());
  }
  return result;
}

bool overridden(const Operands& outputs, const Operands& inputs) {
  if (outputs.plain() && inputs.plain() &&
      !at::impl::torch_function_mode_enabled()) {
    return false;
  }
  return libgrad::detail::has_torch_function(outputs.items(), inputs.items());
}

variable_list read_seeds(
    py::handle object, const libgrad::detail::Call& call, size_t outputs) {
  if (!object || object.is_none()) {
    return {};
  }
  variable_list seeds;
  if (THPVariable_Check(object.ptr())) {
    seeds.push_back(THPVariable_Unpack(object.ptr()));
  } else {
    for (py::handle item : to_tuple(object, call.name, call.seeds)) {
      if (THPVariable_Check(item.ptr())) {
        seeds.push_back(THPVariable_Unpack(item.ptr()));
      } else if (item.is_none()) {
        seeds.emplace_back();
      } else {
        raise(
            PyExc_TypeError,
            std::string(call.name) + ": " + call.seeds + "[" +
                std::to_string(seeds.size()) +
                "]: gradients can be either Tensors or None, but got " +
                type_name(item));
      }
    }
  }
  libgrad::detail::check_count(call, outputs, seeds.size());
  return seeds;
}

bool read_truth(py::handle object, bool otherwise) {
  const int truth = object ? PyObject_IsTrue(object.ptr()) : otherwise;
  if (truth < 0) {
    throw py::error_already_set();
  }
  return truth == 1;
}

bool read_flag(
    py::handle object,
    const char* function,
    const char* argument,
    bool otherwise) {
  if (!object) {
    return otherwise;
  }
  if (PyBool_Check(object.ptr())) {
    return object.ptr() == Py_True;
  }
  const int truth =
      PyIndex_Check(object.ptr()) ? PyObject_IsTrue(object.ptr()) : -1;
  if (truth < 0) {
    PyErr_Clear();
    raise(
        PyExc_TypeError,
        std::string(function) + ": " + argument + " must be a bool, but '" +
            type_name(object) + "' object cannot be interpreted as an integer");
  }
  return truth == 1;
}

std::optional<bool> read_optional_flag(
    py::handle object, const char* function, const char* argument) {
  if (!object || object.is_none()) {
    return std::nullopt;
  }
  return read_flag(object, function, argument, false);
}
