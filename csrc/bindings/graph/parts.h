/// bindings/graph/parts.h -- entries of a Graph as Python objects, which keep
/// the Graph alive.

#pragma once

#include "bindings/bindings.h"

#include <libgrad/graph/snapshot.h>

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <string>

using GraphPtr = std::shared_ptr<const libgrad::Graph>;

/// Entry `at` of one of the lists of a graph.
template <class T>
struct Part {
  GraphPtr graph;
  libgrad::Index at;
  const T& get() const;
};

template <>
inline const libgrad::GraphNode& Part<libgrad::GraphNode>::get() const {
  return graph->nodes[at];
}
template <>
inline const libgrad::GraphEdge& Part<libgrad::GraphEdge>::get() const {
  return graph->edges[at];
}
template <>
inline const libgrad::GraphInput& Part<libgrad::GraphInput>::get() const {
  return graph->inputs[at];
}
template <>
inline const libgrad::GraphSaved& Part<libgrad::GraphSaved>::get() const {
  return graph->saved[at];
}
template <>
inline const libgrad::GraphStorage& Part<libgrad::GraphStorage>::get() const {
  return graph->storages[at];
}
template <>
inline const libgrad::GraphRoot& Part<libgrad::GraphRoot>::get() const {
  return graph->roots[at];
}

/// Some entries of a list, made into Python objects when they are read.
template <class T>
struct Parts {
  GraphPtr graph;
  libgrad::Slice slice;
  bool leaves = false;  // a slice of graph->leaves

  size_t size() const { return slice.count; }
  Part<T> operator[](size_t i) const {
    const auto place = static_cast<libgrad::Index>(slice.first + i);
    return {graph, leaves ? graph->leaves[place] : place};
  }
};

template <class T>
Parts<T> all(const GraphPtr& graph, const std::vector<T>& list) {
  return {graph, {0, static_cast<libgrad::Index>(list.size())}};
}

/// True for a saved tensor that was changed in place since.
inline bool is_stale(const libgrad::GraphSaved& saved) {
  return saved.version >= 0 && saved.saved_version >= 0 &&
         saved.version != saved.saved_version;
}

std::string repr(const Part<libgrad::GraphSaved>& part);
std::string repr(const Part<libgrad::GraphInput>& part);
std::string repr(const Part<libgrad::GraphNode>& part);
std::string repr(const Part<libgrad::GraphEdge>& part);
std::string repr(const Part<libgrad::GraphRoot>& part);
std::string repr(const Part<libgrad::GraphStorage>& part);
std::string repr(const libgrad::Graph& graph);

/// The root edges of `roots`, tensors and GradientEdges that are arguments of
/// `function`; and the tensors among `roots`.
std::pair<torch::autograd::edge_list, std::vector<at::Tensor>> roots_of(
    const py::tuple& roots, const char* function);

/// Binds the classes of the entries.
void bind_graph_parts(py::module_& m);
