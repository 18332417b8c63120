#include "lens.h"

#include <libgrad/detail/graph_words.h>
#include <libgrad/detail/python_nodes.h>
#include <libgrad/detail/python_objects.h>
#include <libgrad/graph.h>

#include <pybind11/stl.h>
#include <torch/csrc/DynamicTypes.h>

using libgrad::Graph;
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

bool is_stale(const GraphSaved& saved) {
  return saved.version >= 0 && saved.saved_version >= 0 &&
         saved.version != saved.saved_version;
}

/// "float32 [2, 3]".
std::string describe(
    at::ScalarType dtype, bool nested, std::span<const int64_t> sizes) {
  std::string text = libgrad::detail::dtype_name(dtype);
  if (nested) {
    return text + " nested";
  }
  text += " [";
  for (const auto size : sizes) {
    text += (text.back() == '[' ? "" : ", ") +
            (size < 0 ? std::string("?") : std::to_string(size));
  }
  return text + "]";
}

std::string repr(const Part<GraphSaved>& part) {
  const auto& saved = part.get();
  std::string text = "SavedTensor(" + std::string(saved.field);
  if (saved.index != kNothing) {
    text += "[" + std::to_string(saved.index) + "]";
  }
  if (saved.state != SavedState::kHeld) {
    return text + ", " + std::string(word_of(saved.state)) + ")";
  }
  text +=
      ", " + describe(saved.dtype, saved.nested, part.graph->shape_of(saved));
  text += ", " + std::to_string(saved.nbytes) + " bytes";
  return text + (is_stale(saved) ? ", stale)" : ")");
}

std::string repr(const Part<GraphInput>& part) {
  const auto& input = part.get();
  return "GraphInput(" +
         describe(input.dtype, input.nested, part.graph->shape_of(input)) +
         " on " + input.device.str() + ")";
}

std::string repr(const Part<GraphNode>& part) {
  const auto& node = part.get();
  std::string text =
      "GraphNode(" + std::to_string(part.at) + ", " + std::string(node.name);
  if (!node.leaf.empty()) {
    text += " of " + std::string(node.leaf);
  }
  if (node.saved.count != 0) {
    text += ", " + std::to_string(node.saved.count) + " saved, " +
            std::to_string(node.nbytes) + " bytes";
  }
  return text + ")";
}

std::string repr(const Part<GraphEdge>& part) {
  const auto& edge = part.get();
  std::ostringstream out;
  out << "GraphEdge(output " << edge.output << " of node " << edge.from
      << " to input " << edge.input << " of node " << edge.to << ')';
  return out.str();
}

std::string repr(const Part<GraphRoot>& part) {
  const auto& root = part.get();
  return "GraphRoot(input " + std::to_string(root.input) + " of node " +
         std::to_string(root.node) + ")";
}

std::string repr(const Part<GraphStorage>& part) {
  const auto& storage = part.get();
  return "GraphStorage(" + std::to_string(storage.nbytes) + " bytes on " +
         storage.device.str() + ", owner " +
         std::string(word_of(storage.owner)) + ")";
}

std::string repr(const Graph& graph) {
  const auto count = [](size_t n, const char* what) {
    return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
  };
  return "Graph(" + count(graph.nodes.size(), "node") + ", " +
         count(graph.edges.size(), "edge") + ", " +
         count(graph.leaves.size(), "leaf") + ", " +
         count(graph.saved.size(), "saved tensor") + ", " +
         count(graph.nbytes, "byte") + ")";
}

/// A property that is a member of the entry, as Python has it by default.
template <auto Member, class T>
auto member(T*) {
  return [](const Part<T>& part) { return part.get().*Member; };
}

template <class T>
py::class_<Part<T>> define_part(
    py::module_& m, const char* name, const char* doc) {
  py::class_<Part<T>> part(m, name, doc);
  part.attr("__module__") = "libgrad";
  part.def("__repr__", [](const Part<T>& self) { return repr(self); });
  py::class_<Parts<T>> parts(
      m, (std::string(name) + "s").c_str(), "A sequence, made as it is read.");
  parts.attr("__module__") = "libgrad";
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

/// The graph behind tensors and GradientEdges.
std::shared_ptr<Graph> graph_of(
    const py::tuple& roots,
    std::vector<std::pair<std::string, at::Tensor>> params) {
  libgrad::edge_list edges;
  libgrad::variable_list tensors;
  for (const auto& root : roots) {
    if (libgrad::detail::is_gradient_edge(root)) {
      edges.push_back(libgrad::detail::unpack_gradient_edge(root));
      libgrad::detail::check_edge(
          "graph", "tensors", edges.size() - 1, edges.back());
    } else {
      tensors.push_back(root.cast<at::Tensor>());
      libgrad::detail::check_root(tensors.back(), edges.size());
      edges.push_back(libgrad::detail::root_edge(tensors.back()));
    }
  }
  return std::make_shared<Graph>(
      libgrad::detail::take_graph(edges, tensors, params));
}

void bind_node(py::module_& m) {
  define_part<GraphNode>(m, "GraphNode", "A node of a graph.")
      .def_readonly("id", &Part<GraphNode>::at)
      .def_property_readonly(
          "name", [](const Part<GraphNode>& p) { return p.get().name; })
      .def_property_readonly(
          "kind",
          [](const Part<GraphNode>& p) { return word_of(p.get().kind); })
      .def_property_readonly(
          "op",
          [](const Part<GraphNode>& p) {
            return text_or_none(p.get().origin.op);
          })
      .def_property_readonly(
          "file",
          [](const Part<GraphNode>& p) {
            return text_or_none(p.get().origin.file);
          })
      .def_property_readonly(
          "line",
          [](const Part<GraphNode>& p) -> py::object {
            const auto line = p.get().origin.line;
            return line == 0 ? py::none() : py::object(py::int_(line));
          })
      .def_property_readonly(
          "module",
          [](const Part<GraphNode>& p) {
            return text_or_none(p.get().origin.module);
          })
      .def_property_readonly(
          "sequence_nr",
          [](const Part<GraphNode>& p) { return p.get().sequence_nr; })
      .def_property_readonly(
          "thread", [](const Part<GraphNode>& p) { return p.get().thread; })
      .def_property_readonly(
          "order", [](const Part<GraphNode>& p) { return p.get().order; })
      .def_property_readonly(
          "hooks", [](const Part<GraphNode>& p) { return p.get().hooks; })
      .def_property_readonly("inputs", inputs_of)
      .def_property_readonly("next", next_of)
      .def_property_readonly(
          "saved",
          [](const Part<GraphNode>& p) {
            return Parts<GraphSaved>{p.graph, p.get().saved};
          })
      .def_property_readonly(
          "leaf",
          [](const Part<GraphNode>& p) { return text_or_none(p.get().leaf); })
      .def_property_readonly(
          "note",
          [](const Part<GraphNode>& p) { return text_or_none(p.get().note); })
      .def_property_readonly(
          "stream",
          [](const Part<GraphNode>& p) { return text_or_none(p.get().stream); })
      .def_property_readonly(
          "nbytes", [](const Part<GraphNode>& p) { return p.get().nbytes; })
      .def_property_readonly("exclusive_nbytes", [](const Part<GraphNode>& p) {
        return p.get().exclusive_nbytes;
      });
}

void bind_saved(py::module_& m) {
  define_part<GraphSaved>(m, "SavedTensor", "A tensor that a node saved.")
      .def_property_readonly(
          "node", [](const Part<GraphSaved>& p) { return p.get().node; })
      .def_property_readonly(
          "field", [](const Part<GraphSaved>& p) { return p.get().field; })
      .def_property_readonly(
          "index",
          [](const Part<GraphSaved>& p) {
            return index_or_none(p.get().index);
          })
      .def_property_readonly(
          "state",
          [](const Part<GraphSaved>& p) { return word_of(p.get().state); })
      .def_property_readonly(
          "hooks", [](const Part<GraphSaved>& p) { return p.get().hooks; })
      .def_property_readonly(
          "is_output", [](const Part<GraphSaved>& p) { return p.get().output; })
      .def_property_readonly(
          "shape",
          [](const Part<GraphSaved>& p) -> py::object {
            const auto& saved = p.get();
            return saved.state != SavedState::kHeld || saved.nested
                       ? py::none()
                       : py::object(shape_object(p.graph->shape_of(saved)));
          })
      .def_property_readonly(
          "dtype",
          [](const Part<GraphSaved>& p) { return dtype_object(p.get().dtype); })
      .def_property_readonly(
          "device",
          [](const Part<GraphSaved>& p) -> py::object {
            return p.get().state == SavedState::kHeld ? py::cast(p.get().device)
                                                      : py::none();
          })
      .def_property_readonly(
          "saved_version",
          [](const Part<GraphSaved>& p) {
            return version_or_none(p.get().saved_version);
          })
      .def_property_readonly(
          "version",
          [](const Part<GraphSaved>& p) {
            return version_or_none(p.get().version);
          })
      .def_property_readonly(
          "stale", [](const Part<GraphSaved>& p) { return is_stale(p.get()); })
      .def_property_readonly(
          "storage",
          [](const Part<GraphSaved>& p) {
            return index_or_none(p.get().storage);
          })
      .def_property_readonly(
          "offset", [](const Part<GraphSaved>& p) { return p.get().offset; })
      .def_property_readonly(
          "nbytes", [](const Part<GraphSaved>& p) { return p.get().nbytes; })
      .def_property_readonly("leaf", [](const Part<GraphSaved>& p) {
        return index_or_none(p.get().leaf);
      });
}

void bind_small_parts(py::module_& m) {
  define_part<GraphInput>(m, "GraphInput", "A gradient that a node takes.")
      .def_property_readonly(
          "shape",
          [](const Part<GraphInput>& p) -> py::object {
            return p.get().nested
                       ? py::none()
                       : py::object(shape_object(p.graph->shape_of(p.get())));
          })
      .def_property_readonly(
          "dtype",
          [](const Part<GraphInput>& p) { return dtype_object(p.get().dtype); })
      .def_property_readonly(
          "device", [](const Part<GraphInput>& p) { return p.get().device; });
  define_part<GraphEdge>(m, "GraphEdge", "Where a gradient goes.")
      .def_property_readonly(
          "source", [](const Part<GraphEdge>& p) { return p.get().from; })
      .def_property_readonly(
          "output", [](const Part<GraphEdge>& p) { return p.get().output; })
      .def_property_readonly(
          "target", [](const Part<GraphEdge>& p) { return p.get().to; })
      .def_property_readonly(
          "input", [](const Part<GraphEdge>& p) { return p.get().input; });
  define_part<GraphRoot>(m, "GraphRoot", "Where a gradient enters.")
      .def_property_readonly(
          "node", [](const Part<GraphRoot>& p) { return p.get().node; })
      .def_property_readonly(
          "input", [](const Part<GraphRoot>& p) { return p.get().input; });
  define_part<GraphStorage>(m, "GraphStorage", "Memory of saved tensors.")
      .def_property_readonly(
          "nbytes", [](const Part<GraphStorage>& p) { return p.get().nbytes; })
      .def_property_readonly(
          "device", [](const Part<GraphStorage>& p) { return p.get().device; })
      .def_property_readonly("owner", [](const Part<GraphStorage>& p) {
        return word_of(p.get().owner);
      });
}

}  // namespace

void bind_lens(py::module_& m) {
  bind_node(m);
  bind_saved(m);
  bind_small_parts(m);
  py::class_<Graph, std::shared_ptr<Graph>>(m, "Graph", "See libgrad.graph.")
      .def("__len__", [](const Graph& graph) { return graph.nodes.size(); })
      .def("__repr__", [](const Graph& graph) { return repr(graph); })
      .def_readonly("nbytes", &Graph::nbytes)
      .def_readonly("exclusive_nbytes", &Graph::exclusive_nbytes)
      .def_property_readonly(
          "nodes",
          [](const std::shared_ptr<Graph>& g) { return all(g, g->nodes); })
      .def_property_readonly(
          "edges",
          [](const std::shared_ptr<Graph>& g) { return all(g, g->edges); })
      .def_property_readonly(
          "saved",
          [](const std::shared_ptr<Graph>& g) { return all(g, g->saved); })
      .def_property_readonly(
          "storages",
          [](const std::shared_ptr<Graph>& g) { return all(g, g->storages); })
      .def_property_readonly(
          "roots",
          [](const std::shared_ptr<Graph>& g) { return all(g, g->roots); })
      .def_property_readonly("leaves", [](const std::shared_ptr<Graph>& g) {
        return Parts<GraphNode>{
            g, {0, static_cast<Index>(g->leaves.size())}, true};
      });
  m.attr("Graph").attr("__module__") = "libgrad";
  m.def("graph", wrap_pybind_function(graph_of), "roots"_a, "params"_a);
}
