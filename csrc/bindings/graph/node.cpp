#include "bindings/bindings.h"

#include <libgrad/draw.h>
#include <libgrad/graph.h>

#include <pybind11/stl.h>
#include <torch/csrc/DynamicTypes.h>

using libgrad::InputMetadata;
using libgrad::Node;

namespace {

py::object dtype(const InputMetadata& metadata) {
  return py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(torch::getTHPDtype(metadata.dtype)));
}

py::object shape(const InputMetadata& metadata) {
  return py::module_::import("torch").attr("Size")(py::cast(metadata.shape));
}

py::object variable(const Node& node) {
  const auto leaf = node.variable();
  return leaf.defined() ? py::cast(leaf) : py::none();
}

std::string repr(const InputMetadata& metadata) {
  std::ostringstream out;
  out << "InputMetadata(shape=" << c10::SymIntArrayRef(metadata.shape)
      << ", dtype=torch." << libgrad::detail::dtype_name(metadata.dtype)
      << ", device=" << metadata.device << ')';
  return out.str();
}

std::string repr(const Node& node) {
  std::string text = "Node(" + node.name() + ", next=[";
  for (const auto& [next, input_nr] : node.next()) {
    text += (text.back() == '[' ? "" : ", ") +
            (next ? next->name() : std::string("None"));
  }
  return text + "])";
}

}  // namespace

void bind_node(py::module_& m) {
  py::class_<InputMetadata>(m, "InputMetadata")
      .def_property_readonly("shape", shape)
      .def_property_readonly("dtype", dtype)
      .def_readonly("device", &InputMetadata::device)
      .def("__repr__", py::overload_cast<const InputMetadata&>(repr));

  py::class_<Node>(m, "Node")
      .def_property_readonly("name", &Node::name)
      .def_property_readonly(
          "next",
          [](const Node& node) { return py::tuple(py::cast(node.next())); })
      .def_property_readonly("sequence_nr", &Node::sequence_nr)
      .def_property_readonly(
          "inputs",
          [](const Node& node) { return py::tuple(py::cast(node.inputs())); })
      .def_property_readonly("variable", variable)
      .def("__repr__", py::overload_cast<const Node&>(repr))
      .def(
          "__eq__",
          [](const Node& a, const Node& b) { return a == b; },
          py::is_operator())
      .def("__hash__", [](const Node& node) {
        return std::hash<const void*>()(node.get().get());
      });

  for (const char* type : {"InputMetadata", "Node"}) {
    m.attr(type).attr("__module__") = "libgrad.types";  // as users import it
  }
  m.def("node", wrap_pybind_function(libgrad::node), "tensor"_a);
  m.def(
      "to_text",
      wrap_pybind_function([](const at::Tensor& tensor,
                              std::map<std::string, at::Tensor> params,
                              size_t max_depth) {
        return libgrad::to_text(tensor, {std::move(params), max_depth});
      }),
      "tensor"_a,
      "params"_a,
      "max_depth"_a);
}
