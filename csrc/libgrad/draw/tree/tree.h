/// libgrad/draw/tree/tree.h -- a graph as a tree of blocks, before the lines
/// are written.
///
/// A long chain of nodes is a trunk: its nodes stand below each other, and
/// their other successors branch off. So each skip connection of a deep network
/// is one line, and the tree of a deep network is no wider than that of a
/// shallow one.

#pragma once

#include <libgrad/draw/fold/sequence.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A node on a trunk, with its branches.
struct TreeBlock {
  Index node = 0;
  Index input = 0;         // the input by which the node is reached
  bool reference = false;  // the node is drawn elsewhere
  uint64_t label = 0;      // equal for blocks that look the same
  size_t lines = 1;
  std::vector<Index> branches = {};  // trunks
};

/// Nodes drawn below each other.
struct TreeTrunk {
  std::vector<TreeBlock> blocks;
  Index parent = kNothing;  // the trunk that it branches off,
  Index parent_block = 0;   // and where
  uint64_t label = 0;
  size_t lines = 0;
};

/// The tree of a graph: each node is drawn once, below one of its predecessors.
class Tree {
 public:
  explicit Tree(const Graph& graph) : graph_(graph), sequence_(graph) {
    measure_depth();
    trunk_of_.assign(graph.nodes.size(), kNothing);
    block_of_.assign(graph.nodes.size(), 0);
    for (const auto& root : graph.roots) {
      roots.push_back(start(root.node, root.input, kNothing, 0));
      grow();
    }
    for (size_t i = trunks.size(); i-- > 0;) {
      label(static_cast<Index>(i));
    }
  }

  std::vector<TreeTrunk> trunks;
  std::vector<Index> roots;  // trunks

 private:
  struct Work {
    Index trunk;
    Index block;
    Index edge;  // the next one to look at
  };

  /// Measures the longest path down from each node.
  void measure_depth() {
    depth_.assign(graph_.nodes.size(), 0);
    for (size_t i = sequence_.nodes.size(); i-- > 0;) {
      const Index node = sequence_.nodes[i];
      for (const auto& edge : graph_.edges_of(graph_.nodes[node])) {
        depth_[node] = std::max(depth_[node], depth_[edge.to] + 1);
      }
    }
  }

  bool is_drawn(Index node) const { return trunk_of_[node] != kNothing; }

  /// The node that continues the trunk below `node`: the successor with the
  /// longest path down. kNothing at the end of the trunk; a leaf is always a
  /// branch.
  Index next_on_trunk(Index node) const {
    Index best = kNothing;
    for (const auto& edge : graph_.edges_of(graph_.nodes[node])) {
      const bool usable = !is_drawn(edge.to) && depth_[edge.to] > 0;
      if (usable && (best == kNothing || depth_[edge.to] >= depth_[best])) {
        best = edge.to;
      }
    }
    return best;
  }

  /// A new trunk from `node` on, with its blocks but not their branches.
  Index start(Index node, Index input, Index parent, Index parent_block) {
    const auto trunk = static_cast<Index>(trunks.size());
    auto& made = trunks.emplace_back();
    made.parent = parent;
    made.parent_block = parent_block;
    if (is_drawn(node)) {
      made.blocks.push_back({.node = node, .input = input, .reference = true});
      return trunk;
    }
    std::vector<Index> way{node};
    while (way.size() < kLongWay) {
      const Index next = next_on_trunk(way.back());
      if (next == kNothing) {
        way.resize(1);  // too short for a trunk: an ordinary tree
        break;
      }
      way.push_back(next);
    }
    const bool is_long = way.size() > 1;
    for (size_t i = 0; i < way.size(); ++i) {
      trunk_of_[way[i]] = trunk;
      block_of_[way[i]] = static_cast<Index>(i);
      made.blocks.push_back({.node = way[i], .input = i == 0 ? input : 0});
      if (is_long && i + 1 == way.size()) {
        if (const Index next = next_on_trunk(way[i]); next != kNothing) {
          way.push_back(next);
        }
      }
    }
    work_.push_back({trunk, 0, 0});
    return trunk;
  }

  /// Adds the branches, from top to bottom.
  void grow() {
    while (!work_.empty()) {
      auto& [trunk, block, edge] = work_.back();
      const auto at = std::pair(trunk, block);
      const Index node = trunks[trunk].blocks[block].node;
      const auto edges = graph_.edges_of(graph_.nodes[node]);
      if (edge == edges.size()) {
        edge = 0;
        if (++block == trunks[trunk].blocks.size()) {
          work_.pop_back();
        }
        continue;
      }
      const auto& to = edges[edge++];
      auto& blocks = trunks[at.first].blocks;
      if (at.second + 1 < blocks.size()) {
        auto& below = blocks[at.second + 1];
        if (below.node == to.to && taken_ != at) {  // the trunk itself
          taken_ = at;
          below.input = to.input;
          continue;
        }
      }
      const Index branch = start(to.to, to.input, at.first, at.second);
      trunks[at.first].blocks[at.second].branches.push_back(branch);
    }
  }

  void label(Index index) {
    auto& trunk = trunks[index];
    for (Index i = 0; i < trunk.blocks.size(); ++i) {
      auto& block = trunk.blocks[i];
      const auto away = block.reference ? distance(index, i, block.node) : 0;
      block.label =
          away != 0 ? away : sequence_.labels[sequence_.places[block.node]];
      mix(block.label, away != 0 ? 0 : block.input);
      for (const Index branch : block.branches) {
        mix(block.label, trunks[branch].label);
        block.lines += trunks[branch].lines;
      }
      mix(trunk.label, block.label);
      trunk.lines += block.lines;
    }
  }

  /// The distance along a trunk, plus one, from a reference to the block of
  /// `node`. The trunk is that of the reference, or one that it branches off; 0
  /// if `node` is on none of them.
  uint64_t distance(Index trunk, Index block, Index node) const {
    for (size_t i = 0; i < 64 && trunk != kNothing; ++i) {
      if (trunk == trunk_of_[node]) {
        return 1 + static_cast<uint64_t>(block_of_[node]) - block;
      }
      block = trunks[trunk].parent_block;
      trunk = trunks[trunk].parent;
    }
    return 0;
  }

  static constexpr size_t kLongWay = 5;

  const Graph& graph_;
  const Sequence sequence_;
  std::vector<Index> depth_;
  std::vector<Index> trunk_of_;
  std::vector<Index> block_of_;
  std::vector<Work> work_;
  std::pair<Index, Index> taken_{kNothing, kNothing};
};

}  // namespace libgrad::detail
