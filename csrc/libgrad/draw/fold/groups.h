/// libgrad/draw/fold/groups.h -- a graph in groups: modules, and equal
/// consecutive parts.

#pragma once

#include <libgrad/base/dotted_path.h>
#include <libgrad/draw/fold/sequence.h>
#include <libgrad/graph/words.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad {

/// Which nodes of a graph a picture draws as one box.
enum class Fold : uint8_t {
  kAuto,     // none of a small graph, else as for the next two
  kNone,     // none, however many there are
  kModules,  // nodes of a module, and equal modules
  kRepeats,  // equal consecutive parts
};

namespace detail {

/// A node, or consecutive nodes of the sequence followed by more copies of
/// them.
struct Group {
  size_t first = 0;   // place in the sequence
  size_t length = 1;  // nodes of one copy
  size_t count = 1;   // copies
  bool node = true;
  size_t prefix = 0;  // parts of the module's path that all nodes share
  std::vector<size_t> parts = {};  // groups in one copy

  size_t end() const { return first + length * count; }
};

/// A graph as a tree of groups; the first group is the whole graph.
class Groups {
 public:
  Groups(const Graph& graph, Fold fold, size_t most)
      : graph(graph),
        sequence(graph),
        usual_device(detail::usual_device(graph)),
        most_(most) {
    if (fold == Fold::kAuto) {
      fold = graph.nodes.size() <= most ? Fold::kNone
             : has_modules()            ? Fold::kModules
                                        : Fold::kRepeats;
    }
    modules_ = fold == Fold::kModules;
    all.push_back({0, sequence.nodes.size(), 1, false, 0, {}});
    if (fold == Fold::kNone) {
      add_nodes(0);
      return;
    }
    for (size_t i = 0; i < all.size(); ++i) {
      if (!all[i].node) {
        divide(i);
      }
    }
  }

  /// The name of copy `copy`, from the paths of modules or else the names of
  /// leaves: "encoder.layers.3".
  std::string name(const Group& group, size_t copy) const {
    CommonPath modules;
    CommonPath leaves;
    const size_t first = group.first + copy * group.length;
    for (size_t i = first; i < first + group.length; ++i) {
      const auto& node = sequence.node(i);
      if (!node.origin.module.empty()) {
        modules.add(node.origin.module);
      }
      if (!node.leaf.empty()) {
        leaves.add(without_last_part(node.leaf));
      }
    }
    return modules.path().empty() ? leaves.path() : modules.path();
  }

  /// "encoder.layers.0 … encoder.layers.11", or empty.
  std::string names(const Group& group) const {
    const auto last = name(group, 0);  // backward begins with the last one
    const auto first = name(group, group.count - 1);
    return first == last || first.empty() ? last : first + " … " + last;
  }

  const Graph& graph;
  const Sequence sequence;
  const c10::Device usual_device;
  std::vector<Group> all;

 private:
  bool has_modules() const {
    return std::ranges::any_of(graph.nodes, [](const GraphNode& node) {
      return !node.origin.module.empty();
    });
  }

  void add_nodes(size_t group) {
    for (size_t i = 0; i < all[group].length; ++i) {
      add(group, {.first = all[group].first + i});
    }
  }

  void add(size_t group, Group part) {
    all[group].parts.push_back(all.size());
    all.push_back(std::move(part));
  }

  /// Finds the parts of a group.
  void divide(size_t group) {
    auto items = modules_ ? by_module(all[group]) : by_node(all[group]);
    const auto found = find_repeats(items, all[group].count > 1);
    size_t next = 0;
    std::vector<Group> parts;
    for (const auto& repeat : found) {
      std::move(
          items.begin() + static_cast<ptrdiff_t>(next),
          items.begin() + static_cast<ptrdiff_t>(repeat.first),
          std::back_inserter(parts));
      parts.push_back(folded(items, repeat));
      next = repeat.end();
    }
    std::move(
        items.begin() + static_cast<ptrdiff_t>(next),
        items.end(),
        std::back_inserter(parts));
    if (parts.size() > std::min<size_t>(most_, 300)) {
      parts = in_stretches(parts);
    }
    for (auto& part : parts) {
      add(group, std::move(part));
    }
  }

  static Group folded(const std::vector<Group>& items, const Repeat& repeat) {
    if (repeat.length == 1) {
      Group group = items[repeat.first];
      group.count = repeat.count;
      group.node = false;
      return group;
    }
    const size_t first = items[repeat.first].first;
    const size_t end = items[repeat.first + repeat.length - 1].end();
    return {first, end - first, repeat.count, false, 0, {}};
  }

  static std::vector<Group> by_node(const Group& group) {
    std::vector<Group> items(group.length);
    for (size_t i = 0; i < items.size(); ++i) {
      items[i].first = group.first + i;
    }
    return items;
  }

  /// Consecutive nodes of the same submodule are one item; a node in no
  /// submodule is an item of its own.
  std::vector<Group> by_module(const Group& group) const {
    const auto paths = module_paths(group);
    size_t depth = group.prefix;
    std::vector<Group> items;
    while (items.size() < 2 && depth < 64) {  // until it is divided
      items.clear();
      std::string_view before;
      for (size_t i = 0; i < group.length; ++i) {
        const auto own = first_parts(paths[i], depth + 1);
        const bool in_part = count_parts(own) > depth;
        if (items.empty() || !in_part || own != before) {
          items.push_back({group.first + i, 0, 1, true, depth + 1, {}});
        }
        auto& item = items.back();
        ++item.length;
        item.node = item.length == 1;
        before = in_part ? own : std::string_view();
      }
      if (group.length < 2) {
        break;
      }
      ++depth;
    }
    return items;
  }

  /// The module of each node of a copy; a leaf without a module has that of the
  /// node before it, which leads to it.
  std::vector<std::string_view> module_paths(const Group& group) const {
    std::vector<std::string_view> paths(group.length);
    for (size_t i = 0; i < group.length; ++i) {
      const auto& node = sequence.node(group.first + i);
      paths[i] = node.origin.module;
      if (paths[i].empty() && i > 0 && node.kind == NodeKind::kLeaf) {
        paths[i] = paths[i - 1];
      }
    }
    return paths;
  }

  /// Repeats of `items` whose copies are wired alike.
  std::vector<Repeat> find_repeats(
      const std::vector<Group>& items, bool within) const {
    std::vector<uint64_t> labels;
    for (const auto& item : items) {
      uint64_t label = item.length;
      for (size_t i = item.first; i < item.end(); ++i) {
        mix(label, sequence.labels[i]);
      }
      labels.push_back(label);
    }
    std::vector<Repeat> found;
    const auto likely = repeats(labels, within ? 6 : 3);
    for (size_t i = 0; i < likely.size(); ++i) {
      const size_t end =
          i + 1 < likely.size() ? likely[i + 1].first : items.size();
      auto repeat = aligned(items, labels, likely[i], end);
      const size_t first = items[repeat.first].first;
      const size_t length =
          items[repeat.first + repeat.length - 1].end() - first;
      repeat.count = sequence.equal_copies(first, length, repeat.count);
      if (repeat.count > 1 && repeat.saved() >= 3) {
        found.push_back(repeat);
      }
    }
    return found;
  }

  /// The repeat, shifted to where the fewest edges cross the ends of a copy,
  /// and then to where the names in a copy have the longest common prefix.
  Repeat aligned(
      const std::vector<Group>& items,
      const std::vector<uint64_t>& labels,
      Repeat repeat,
      size_t end) const {
    Repeat best = repeat;
    int64_t fewest = INT64_MAX;
    size_t most = 0;
    for (size_t i = 0; i < std::min<size_t>(repeat.length, 300); ++i) {
      const auto copy = folded(items, repeat);
      const int64_t edges = sequence.passing[copy.first] +
                            sequence.passing[copy.first + copy.length];
      const size_t parts = edges <= fewest ? count_parts(name(copy, 0)) : 0;
      if (edges < fewest || (edges == fewest && parts > most)) {
        fewest = edges;
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

  /// About a hundred groups of consecutive items, cut where few edges cross.
  std::vector<Group> in_stretches(std::vector<Group>& items) const {
    std::vector<Group> stretches;
    const size_t size = items.size() / 100 + 1;
    for (size_t i = 0; i < items.size();) {
      size_t end = std::min(i + size, items.size());
      for (size_t j = end; j < std::min(i + 2 * size, items.size()); ++j) {
        if (sequence.passing[items[j].first] <
            sequence.passing[items[end == items.size() ? j : end].first]) {
          end = j;
        }
      }
      const size_t first = items[i].first;
      stretches.push_back(
          {first, items[end - 1].end() - first, 1, false, 0, {}});
      i = end;
    }
    return stretches;
  }

  size_t most_;
  bool modules_ = false;
};

}  // namespace detail
}  // namespace libgrad
