/// hand_made.h -- graphs as plain data, without a tensor.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hand_made {

using libgrad::Graph;
using libgrad::Index;
using libgrad::NodeKind;

/// A saved tensor to be: its field, its shape, and how stale it is.
struct Saved {
  std::string_view field;
  std::vector<int64_t> shape;
  int64_t writes = 0;
};

/// A node to be.
struct Maker {
  std::string name;
  std::vector<std::pair<Index, Index>> next =
      {};  // to, input; kNothing for none
  std::vector<int64_t> shape = {2, 3};
  std::vector<Saved> saved = {};
  NodeKind kind = NodeKind::kOperator;
  std::string leaf = {};
  std::string module = {};
  std::string file = {};
  std::string note = {};
};

inline Maker leaf(std::string name, std::vector<int64_t> shape = {2, 3}) {
  return {
      .name = "AccumulateGrad",
      .next = {},
      .shape = std::move(shape),
      .kind = NodeKind::kLeaf,
      .leaf = std::move(name)};
}

inline void add_saved(Graph& graph, Index node, const Saved& from) {
  libgrad::GraphSaved saved;
  saved.node = node;
  saved.field = graph.keep(from.field);
  saved.state = libgrad::SavedState::kHeld;
  saved.shape = {
      static_cast<Index>(graph.ints.size()),
      static_cast<Index>(from.shape.size())};
  saved.dtype = at::ScalarType::Float;
  saved.saved_version = 0;
  saved.version = from.writes;
  saved.nbytes = 4;
  for (const auto size : from.shape) {
    graph.ints.push_back(size);
    saved.nbytes *= size;
  }
  saved.storage = static_cast<Index>(graph.storages.size());
  graph.storages.push_back(
      {saved.nbytes, saved.device, libgrad::Owner::kGraph});
  graph.saved.push_back(saved);
  graph.nodes[node].nbytes += saved.nbytes;
  graph.nodes[node].exclusive_nbytes += saved.nbytes;
  graph.nbytes += saved.nbytes;
  graph.exclusive_nbytes += saved.nbytes;
}

inline void add_node(Graph& graph, const Maker& maker, uint64_t sequence_nr) {
  const auto index = static_cast<Index>(graph.nodes.size());
  auto& node = graph.nodes.emplace_back();
  node.name = graph.keep(maker.name);
  node.kind = maker.kind;
  node.sequence_nr = maker.kind == NodeKind::kLeaf ? UINT64_MAX : sequence_nr;
  node.outputs = static_cast<Index>(maker.next.size());
  node.leaf = graph.keep(maker.leaf);
  node.note = graph.keep(maker.note);
  node.origin.module = graph.keep(maker.module);
  node.origin.file = graph.keep(maker.file);
  node.origin.line = maker.file.empty() ? 0 : 7;
  node.inputs = {static_cast<Index>(graph.inputs.size()), 1};
  libgrad::GraphInput input;
  input.shape = {
      static_cast<Index>(graph.ints.size()),
      static_cast<Index>(maker.shape.size())};
  input.dtype = at::ScalarType::Float;
  graph.inputs.push_back(input);
  graph.ints.insert(graph.ints.end(), maker.shape.begin(), maker.shape.end());
  node.edges.first = static_cast<Index>(graph.edges.size());
  for (Index i = 0; i < maker.next.size(); ++i) {
    if (maker.next[i].first != libgrad::kNothing) {
      graph.edges.push_back(
          {index, i, maker.next[i].first, maker.next[i].second});
      ++node.edges.count;
    }
  }
  node.saved = {
      static_cast<Index>(graph.saved.size()),
      static_cast<Index>(maker.saved.size())};
  if (maker.kind == NodeKind::kLeaf) {
    graph.leaves.push_back(index);
  }
  for (const auto& saved : maker.saved) {
    add_saved(graph, index, saved);
  }
}

/// A graph of these nodes; the first ones are the roots.
inline Graph graph(const std::vector<Maker>& makers, Index roots = 1) {
  Graph graph;
  for (size_t i = 0; i < makers.size(); ++i) {
    add_node(graph, makers[i], makers.size() - i);
    graph.nodes.back().order = static_cast<Index>(i);
  }
  for (Index i = 0; i < roots; ++i) {
    graph.roots.push_back({i, 0});
  }
  return graph;
}

}  // namespace hand_made
