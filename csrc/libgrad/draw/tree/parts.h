/// libgrad/draw/tree/parts.h -- parts of a tree, and repeats in them.

#pragma once

#include <libgrad/base/dotted_path.h>
#include <libgrad/base/escape.h>
#include <libgrad/draw/tree/tree.h>
#include <libgrad/graph/words.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// "SplitBackward0 (output 1) ×3  x: float32 [2]  (self was written to since)";
/// `names`, where not empty, replaces the name of the node.
inline std::string line_words(
    const Graph& graph,
    const TreeBlock& block,
    c10::Device usual,
    size_t times,
    std::string_view names) {
  const auto& node = graph.nodes[block.node];
  std::string text = plain(node.name);
  if (block.input != 0) {
    text += " (output " + std::to_string(block.input) + ')';
  }
  if (times > 1) {
    text += ' ' + times_words(times);
  }
  text += "  ";
  if (names.empty()) {
    names = node.leaf.empty() ? node.label : node.leaf;
  }
  if (!names.empty()) {
    text += plain(names) + ": ";
  }
  text += input_words(graph, node, usual, block.input);
  if (!node.note.empty()) {
    text += "  (" + plain(node.note) + ')';
  }
  for (const auto& saved : graph.saved_of(node)) {
    if (is_stale(saved) && !block.reference) {
      text += "  (" + plain(field_words(saved)) + " was written to since)";
    }
  }
  return text;
}

/// `times` consecutive copies of `count` blocks of a trunk.
struct TreePart {
  Index trunk = 0;
  size_t first = 0;
  size_t count = 1;
  size_t times = 1;

  size_t end() const { return first + count * times; }
};

/// Answers questions about parts of a tree.
class TreeParts {
 public:
  explicit TreeParts(const Graph& graph) : tree(graph), graph_(graph) {}

  const Tree tree;

  /// The repeats that save enough lines; they count blocks of the trunk.
  std::vector<Repeat> worthwhile(const TreePart& part) const {
    std::vector<Repeat> found;
    const auto& all = tree.trunks[part.trunk].blocks;
    std::vector<uint64_t> labels;
    for (size_t i = 0; i < part.count; ++i) {
      labels.push_back(all[part.first + i].label);
    }
    const auto likely = repeats(labels, 1);
    for (size_t next = 0; next < likely.size(); ++next) {
      const size_t end =
          next + 1 < likely.size() ? likely[next + 1].first : labels.size();
      auto repeat = aligned(part, labels, likely[next], end);
      repeat.first += part.first;
      size_t lines = 0;
      for (size_t i = 0; i < repeat.length; ++i) {
        lines += all[repeat.first + i].lines;
      }
      if (lines * (repeat.count - 1) >= (lines == 1 ? 2 : 5)) {
        found.push_back(repeat);
      }
    }
    return found;
  }

  /// The repeat, shifted to where the names in a copy have the longest common
  /// prefix.
  Repeat aligned(
      const TreePart& part,
      const std::vector<uint64_t>& labels,
      Repeat repeat,
      size_t end) const {
    Repeat best = repeat;
    size_t most = 0;
    for (size_t i = 0; i < std::min<size_t>(repeat.length, 300); ++i) {
      const TreePart copy{
          part.trunk, part.first + repeat.first, repeat.length, repeat.count};
      if (const auto parts = count_parts(name(copy, 0)); parts > most) {
        most = parts;
        best = repeat;
      }
      if (repeat.end() >= end || labels[repeat.end()] != labels[repeat.first]) {
        break;
      }
      ++repeat.first;
    }
    return best;
  }

  /// Calls `visit` for each block of the copies from `first` to before `end`,
  /// and for the blocks of their branches, except references.
  template <class Visit>
  void each_node(
      const TreePart& part,
      size_t first,
      size_t end,
      const Visit& visit) const {
    std::vector<Index> stack;
    const auto one = [&](const TreeBlock& block) {
      if (block.reference) {
        return;
      }
      visit(block);
      stack.insert(stack.end(), block.branches.begin(), block.branches.end());
    };
    const auto& all = tree.trunks[part.trunk].blocks;
    for (size_t i = first * part.count; i < end * part.count; ++i) {
      one(all[part.first + i]);
    }
    while (!stack.empty()) {
      const Index trunk = stack.back();
      stack.pop_back();
      for (const auto& block : tree.trunks[trunk].blocks) {
        one(block);
      }
    }
  }

  /// The bytes that all copies saved, each storage once.
  int64_t nbytes(const TreePart& part) const {
    ByteCount bytes(graph_);
    each_node(part, 0, part.times, [&](const TreeBlock& block) {
      bytes.add(graph_.nodes[block.node]);
    });
    return bytes.total();
  }

  /// The common prefix of the names in a copy: "encoder.layers.3".
  std::string name(const TreePart& part, size_t copy) const {
    CommonPath modules;
    CommonPath leaves;
    each_node(part, copy, copy + 1, [&](const TreeBlock& block) {
      const auto& node = graph_.nodes[block.node];
      if (!node.origin.module.empty()) {
        modules.add(node.origin.module);
      }
      if (!node.leaf.empty()) {
        leaves.add(without_last_part(node.leaf));
      }
    });
    return modules.path().empty() ? leaves.path() : modules.path();
  }

  /// "p0 … p1499": the names of the first and the last of some leaves.
  std::string leaf_names(Index first, Index last) const {
    const auto name = [&](Index trunk) {
      return graph_.nodes[tree.trunks[trunk].blocks[0].node].leaf;
    };
    const auto from = name(first);
    const auto to = name(last);
    return from.empty() || to.empty() || from == to
               ? std::string(from)
               : std::string(from) + " … " + std::string(to);
  }

 private:
  const Graph& graph_;
};

}  // namespace libgrad::detail
