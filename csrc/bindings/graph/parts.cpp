#include "bindings/graph/parts.h"

#include <libgrad/graph/words.h>

#include <torch/csrc/DynamicTypes.h>

using libgrad::GraphEdge;
using libgrad::GraphInput;
using libgrad::GraphNode;
using libgrad::GraphRoot;
using libgrad::GraphSaved;
using libgrad::GraphStorage;
using libgrad::Index;
using libgrad::kNothing;
using libgrad::SavedState;
using libgrad::detail::word_of;

namespace {

py::object text_or_none(std::string_view text) {
  return text.empty() ? py::none() : py::object(py::str(text));
}

py::object index_or_none(Index index) {
  return index == kNothing ? py::none() : py::object(py::int_(index));
}

py::object version_or_none(int64_t version) {
  return version < 0 ? py::none() : py::object(py::int_(version));
}

py::object dtype_object(at::ScalarType dtype) {
  if (dtype == at::ScalarType::Undefined) {
    return py::none();
  }
  return py::reinterpret_borrow<py::object>(
      reinterpret_cast<PyObject*>(torch::getTHPDtype(dtype)));
}

py::tuple shape_object(std::span<const int64_t> sizes) {
  py::tuple shape(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) {
    shape[i] = sizes[i];
  }
  return shape;
}

template <class T, class M>
T entry_of(M T::*);

/// A property: a member of an entry, as it is.
template <auto Member>
auto value() {
  using T = decltype(entry_of(Member));
  return [](const Part<T>& part) { return part.get().*Member; };
}

/// A property: a member of an entry, converted.
template <auto Member, class Convert>
auto value(const Convert& convert) {
  using T = decltype(entry_of(Member));
  return [convert](const Part<T>& part) { return convert(part.get().*Member); };
}

/// A property: a member of a node's origin, converted.
template <auto Member, class Convert>
auto origin(const Convert& convert) {
  return [convert](const Part<GraphNode>& part) {
    return convert(part.get().origin.*Member);
  };
}

py::object line_or_none(Index line) {
  return line == 0 ? py::none() : py::object(py::int_(line));
}

template <class T>
py::class_<Part<T>> define_part(py::module_& m, const char* name) {
  py::class_<Part<T>> part(m, name);
  part.attr("__module__") = "libgrad.types";
  part.def("__repr__", [](const Part<T>& self) { return repr(self); });
  py::class_<Parts<T>> parts(
      part, "Sequence", "Entries of a graph, made as they are read.");
  parts.attr("__module__") = "libgrad.types";
  parts.def("__len__", &Parts<T>::size)
      .def(
          "__getitem__",
          [](const Parts<T>& self, int64_t i) {
            const auto size = static_cast<int64_t>(self.size());
            const auto place = i < 0 ? i + size : i;
            if (place < 0 || place >= size) {
              throw py::index_error(
                  "index " + std::to_string(i) + " is out of range for " +
                  std::to_string(size) + " entries");
            }
            return self[place];
          })
      .def(
          "__getitem__",
          [](const Parts<T>& self, const py::slice& slice) {
            size_t start = 0, stop = 0, step = 0, count = 0;
            if (!slice.compute(self.size(), &start, &stop, &step, &count)) {
              throw py::error_already_set();
            }
            py::list list(count);
            for (size_t i = 0; i < count; ++i, start += step) {
              list[i] = self[start];
            }
            return list;
          })
      .def("__repr__", [](const Parts<T>& self) {
        return "<" + std::to_string(self.size()) + " entries of a graph>";
      });
  return part;
}

py::tuple next_of(const Part<GraphNode>& part) {
  py::list next;
  for (Index i = 0; i < part.get().outputs; ++i) {
    next.append(py::none());
  }
  for (const auto& edge : part.graph->edges_of(part.get())) {
    next[edge.output] = py::make_tuple(edge.to, edge.input);
  }
  return next;
}

py::tuple inputs_of(const Part<GraphNode>& part) {
  const auto slice = part.get().inputs;
  py::tuple inputs(slice.count);
  for (Index i = 0; i < slice.count; ++i) {
    const Part<GraphInput> input{part.graph, slice.first + i};
    inputs[i] =
        input.get().dtype == at::ScalarType::Undefined && !input.get().nested
            ? py::none()
            : py::cast(input);
  }
  return inputs;
}

/// True when the tensor, or the tensor that a hook packed, could be read.
bool is_known(const GraphSaved& saved) {
  return saved.dtype != at::ScalarType::Undefined;
}

py::object shape_of(const Part<GraphSaved>& part) {
  return is_known(part.get()) && !part.get().nested
             ? py::object(shape_object(part.graph->shape_of(part.get())))
             : py::none();
}

py::object device_of(const Part<GraphSaved>& part) {
  return is_known(part.get()) ? py::cast(part.get().device) : py::none();
}

void bind_nodes(py::module_& m) {
  define_part<GraphNode>(m, "GraphNode")
      .def_readonly("id", &Part<GraphNode>::at)
      .def_property_readonly("name", value<&GraphNode::name>())
      .def_property_readonly(
          "kind",
          [](const Part<GraphNode>& part) { return word_of(part.get().kind); })
      .def_property_readonly(
          "op", origin<&libgrad::GraphOrigin::op>(text_or_none))
      .def_property_readonly(
          "file", origin<&libgrad::GraphOrigin::file>(text_or_none))
      .def_property_readonly(
          "line", origin<&libgrad::GraphOrigin::line>(line_or_none))
      .def_property_readonly(
          "module", origin<&libgrad::GraphOrigin::module>(text_or_none))
      .def_property_readonly("sequence_nr", value<&GraphNode::sequence_nr>())
      .def_property_readonly("thread", value<&GraphNode::thread>())
      .def_property_readonly("order", value<&GraphNode::order>())
      .def_property_readonly("hooks", value<&GraphNode::hooks>())
      .def_property_readonly("inputs", inputs_of)
      .def_property_readonly("next", next_of)
      .def_property_readonly(
          "saved",
          [](const Part<GraphNode>& part) {
            return Parts<GraphSaved>{part.graph, part.get().saved};
          })
      .def_property_readonly("leaf", value<&GraphNode::leaf>(text_or_none))
      .def_property_readonly("label", value<&GraphNode::label>(text_or_none))
      .def_property_readonly("note", value<&GraphNode::note>(text_or_none))
      .def_property_readonly("stream", value<&GraphNode::stream>(text_or_none))
      .def_property_readonly("nbytes", value<&GraphNode::nbytes>())
      .def_property_readonly(
          "exclusive_nbytes", value<&GraphNode::exclusive_nbytes>());
}

void bind_saved_tensors(py::module_& m) {
  define_part<GraphSaved>(m, "SavedTensor")
      .def_property_readonly("node", value<&GraphSaved::node>())
      .def_property_readonly("field", value<&GraphSaved::field>())
      .def_property_readonly("index", value<&GraphSaved::index>(index_or_none))
      .def_property_readonly(
          "state",
          [](const Part<GraphSaved>& part) {
            return word_of(part.get().state);
          })
      .def_property_readonly("hooks", value<&GraphSaved::hooks>())
      .def_property_readonly("is_output", value<&GraphSaved::output>())
      .def_property_readonly("shape", shape_of)
      .def_property_readonly("dtype", value<&GraphSaved::dtype>(dtype_object))
      .def_property_readonly("device", device_of)
      .def_property_readonly(
          "saved_version", value<&GraphSaved::saved_version>(version_or_none))
      .def_property_readonly(
          "version", value<&GraphSaved::version>(version_or_none))
      .def_property_readonly(
          "stale",
          [](const Part<GraphSaved>& part) { return is_stale(part.get()); })
      .def_property_readonly(
          "storage", value<&GraphSaved::storage>(index_or_none))
      .def_property_readonly("offset", value<&GraphSaved::offset>())
      .def_property_readonly("nbytes", value<&GraphSaved::nbytes>())
      .def_property_readonly("leaf", value<&GraphSaved::leaf>(index_or_none))
      .def_property_readonly("label", value<&GraphSaved::label>(text_or_none));
}

void bind_other_parts(py::module_& m) {
  define_part<GraphInput>(m, "GraphInput")
      .def_property_readonly(
          "shape",
          [](const Part<GraphInput>& part) -> py::object {
            const auto& input = part.get();
            return input.nested
                       ? py::none()
                       : py::object(shape_object(part.graph->shape_of(input)));
          })
      .def_property_readonly("dtype", value<&GraphInput::dtype>(dtype_object))
      .def_property_readonly("device", value<&GraphInput::device>());
  define_part<GraphEdge>(m, "GraphEdge")
      .def_property_readonly("source", value<&GraphEdge::from>())
      .def_property_readonly("output", value<&GraphEdge::output>())
      .def_property_readonly("target", value<&GraphEdge::to>())
      .def_property_readonly("input", value<&GraphEdge::input>());
  define_part<GraphRoot>(m, "GraphRoot")
      .def_property_readonly("node", value<&GraphRoot::node>())
      .def_property_readonly("input", value<&GraphRoot::input>());
  define_part<GraphStorage>(m, "GraphStorage")
      .def_property_readonly("nbytes", value<&GraphStorage::nbytes>())
      .def_property_readonly("device", value<&GraphStorage::device>())
      .def_property_readonly("owner", [](const Part<GraphStorage>& part) {
        return word_of(part.get().owner);
      });
}

}  // namespace

void bind_graph_parts(py::module_& m) {
  bind_nodes(m);
  bind_saved_tensors(m);
  bind_other_parts(m);
}
