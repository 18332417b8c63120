/// Parts of a Graph as Python objects: a place in it, and what keeps it.

#pragma once

#include "bindings.h"

#include <libgrad/detail/snapshot.h>

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

/// Some entries of a list, made into objects when they are asked for.
template <class T>
struct Parts {
  GraphPtr graph;
  libgrad::Slice slice;
  bool leaves = false;  // places in graph->leaves

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

/// Makes the classes of the parts.
void bind_graph_parts(py::module_& m);
