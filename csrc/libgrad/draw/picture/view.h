/// libgrad/draw/picture/view.h -- one group of a graph as boxes and arrows.

#pragma once

#include <libgrad/draw/layout/layout.h>
#include <libgrad/draw/picture/box.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace libgrad::detail {

enum class BoxType : uint8_t {
  kNode,
  kGroup,
  kLeaves,  // leaves of one box, side by side
  kPort,    // nodes outside the group
};

/// How far the cards of a repeated group reach out from behind its box.
constexpr double kCards = 6;

/// A box of a view.
struct ViewBox {
  BoxType type = BoxType::kNode;
  size_t group = 0;
  bool cards = false;             // drawn as several cards
  std::vector<Index> nodes = {};  // its node, or its leaves
  std::vector<BoxLine> lines = {};
  std::vector<ViewBox> inside = {};  // the leaves as boxes
  LayoutBox place = {};
};

/// The drawing of a group: one copy of it.
struct View {
  size_t group = 0;
  std::vector<ViewBox> boxes;
  std::vector<size_t> edges;  // number of edges of each link
  Layout layout;
};

/// Makes the view of one group; `parts` are the groups that are its boxes.
class ViewMaker {
 public:
  ViewMaker(
      const Groups& groups,
      size_t group,
      std::vector<size_t> parts,
      const std::map<size_t, std::string>& letters,
      ShowSaved show)
      : groups_(groups),
        parts_(std::move(parts)),
        show_(show) {
    view_.group = group;
    for (const size_t part : parts_) {
      const auto& each = groups_.all[part];
      const auto letter = letters.find(part);
      add_part(part, each, letter == letters.end() ? "" : letter->second);
    }
  }

  /// The view without positions, and without boxes around leaves.
  View connect() && {
    link();
    return std::move(view_);
  }

  View make() && {
    link();
    bundle();
    measure();
    lay_out(view_.layout);
    for (size_t i = 0; i < view_.boxes.size(); ++i) {
      view_.boxes[i].place = view_.layout.boxes[i];
    }
    return std::move(view_);
  }

 private:
  void add_part(size_t part, const Group& group, std::string_view letter) {
    ViewBox box;
    box.group = part;
    if (group.node) {
      const Index node = groups_.sequence.nodes[group.first];
      box.nodes = {node};
      box.lines = node_lines(
          groups_.graph,
          groups_.graph.nodes[node],
          show_,
          groups_.usual_device);
    } else {
      box.type = BoxType::kGroup;
      box.cards = group.count > 1;
      box.lines = group_lines(groups_, group, letter);
    }
    view_.boxes.push_back(std::move(box));
  }

  /// The box of a node; kOutside if the node is in none.
  size_t box_of(Index node) const {
    const size_t place = groups_.sequence.places[node];
    const auto after = std::ranges::upper_bound(
        parts_, place, {}, [&](size_t i) { return groups_.all[i].first; });
    if (after == parts_.begin()) {
      return kOutside;
    }
    const auto part = std::prev(after);
    return place < groups_.all[*part].end()
               ? static_cast<size_t>(part - parts_.begin())
               : kOutside;
  }

  void link() {
    std::map<std::pair<size_t, size_t>, size_t> links;
    std::map<size_t, std::set<Index>> from;  // nodes outside, by box
    std::map<size_t, std::set<Index>> to;
    const auto& group = groups_.all[view_.group];
    for (size_t i = group.first; i < group.first + group.length; ++i) {
      const Index node = groups_.sequence.nodes[i];
      const size_t box = box_of(node);
      for (const auto& edge :
           groups_.graph.edges_of(groups_.sequence.node(i))) {
        const size_t end = box_of(edge.to);
        if (end == kOutside) {
          to[box].insert(edge.to);
        } else if (end != box) {
          ++links[{box, end}];
        }
      }
      for (const Index each : groups_.sequence.incoming(node)) {
        const auto& edge = groups_.graph.edges[each];
        if (box_of(edge.from) == kOutside) {
          from[box].insert(edge.from);
        }
      }
    }
    add_ports(from, "from ", links);
    add_ports(to, "to ", links);
    for (const auto& [ends, count] : links) {
      view_.layout.links.push_back({ends.first, ends.second});
      view_.edges.push_back(count);
    }
  }

  /// Adds one port for each node outside, or one for all outside nodes of a box
  /// if they are many.
  void add_ports(
      const std::map<size_t, std::set<Index>>& ends,
      const std::string& word,
      std::map<std::pair<size_t, size_t>, size_t>& links) {
    std::map<Index, size_t> ports;
    for (const auto& [box, nodes] : ends) {
      const bool many = nodes.size() > 3;
      for (const Index node : nodes) {
        const auto& outside = groups_.graph.nodes[node];
        size_t port = view_.boxes.size();
        if (!many) {
          port = ports.try_emplace(node, port).first->second;
        }
        if (port == view_.boxes.size()) {
          ViewBox made{.type = BoxType::kPort};
          made.lines = {
              {word + (many ? count_words(nodes.size(), "node")
                            : shortened(node_title(outside), 34))}};
          view_.boxes.push_back(std::move(made));
        }
        links[word == "to " ? std::pair(box, port) : std::pair(port, box)] +=
            many ? nodes.size() : 1;
        if (many) {
          break;
        }
      }
    }
  }

  /// Puts leaves that only one box leads to into one box, where they are many.
  void bundle() {
    std::vector<size_t> in(view_.boxes.size(), 0);
    for (const auto& link : view_.layout.links) {
      ++in[link.to];
    }
    std::map<size_t, std::vector<size_t>> leaves;
    for (const auto& link : view_.layout.links) {
      const auto& box = view_.boxes[link.to];
      if (box.type == BoxType::kNode && in[link.to] == 1 &&
          groups_.graph.nodes[box.nodes[0]].kind == NodeKind::kLeaf) {
        leaves[link.from].push_back(link.to);
      }
    }
    std::vector<bool> gone(view_.boxes.size(), false);
    for (const auto& [box, list] : leaves) {
      if (list.size() > kMostLeaves) {
        add_bundle(box, list, gone);
      }
    }
    remove(gone);
  }

  void add_bundle(
      size_t from, const std::vector<size_t>& list, std::vector<bool>& gone) {
    ViewBox box{.type = BoxType::kLeaves};
    for (const size_t leaf : list) {
      box.nodes.push_back(view_.boxes[leaf].nodes[0]);
      box.inside.push_back(std::move(view_.boxes[leaf]));
      gone[leaf] = true;
    }
    view_.layout.links.push_back({from, view_.boxes.size()});
    view_.edges.push_back(list.size());
    view_.boxes.push_back(std::move(box));
    gone.push_back(false);
  }

  void remove(const std::vector<bool>& gone) {
    std::vector<size_t> place(gone.size(), 0);
    size_t kept = 0;
    for (size_t i = 0; i < gone.size(); ++i) {
      place[i] = kept;
      if (!gone[i]) {
        if (kept != i) {
          view_.boxes[kept] = std::move(view_.boxes[i]);
        }
        ++kept;
      }
    }
    view_.boxes.resize(kept);
    size_t links = 0;
    for (size_t i = 0; i < view_.layout.links.size(); ++i) {
      const auto& link = view_.layout.links[i];
      if (!gone[link.to]) {
        view_.edges[links] = view_.edges[i];
        view_.layout.links[links++] = {place[link.from], place[link.to]};
      }
    }
    view_.layout.links.resize(links);
    view_.edges.resize(links);
  }

  void measure() {
    for (auto& box : view_.boxes) {
      if (box.type == BoxType::kLeaves) {
        arrange(box);
      } else {
        box.place = size_of(box);
      }
      view_.layout.boxes.push_back(box.place);
    }
  }

  static LayoutBox size_of(const ViewBox& box) {
    double width = 40;
    for (const auto& line : box.lines) {
      width = std::max(width, line_width(line));
    }
    const double height = static_cast<double>(box.lines.size()) * kLineHeight;
    if (box.type == BoxType::kPort) {
      return {width + 4, height + 2};
    }
    const double behind = box.cards ? kCards : 0;
    return {width + 20 + behind, height + 10 + behind};
  }

  /// Puts the leaves of a bundle side by side, in rows of about the same width.
  static void arrange(ViewBox& box) {
    double widest = 0;
    for (auto& leaf : box.inside) {
      leaf.place = size_of(leaf);
      widest = std::max(widest, leaf.place.width);
    }
    const double height = box.inside[0].place.height;
    const auto count = static_cast<double>(box.inside.size());
    const double columns = std::max(
        3.0, std::round(std::sqrt(1.6 * count * (height + 6) / (widest + 8))));
    double rows = 0;
    for (size_t i = 0; i < box.inside.size(); ++i) {
      const auto column = std::fmod(static_cast<double>(i), columns);
      const auto row = std::floor(static_cast<double>(i) / columns);
      auto& place = box.inside[i].place;
      place = {
          widest, height, 8 + column * (widest + 8), 8 + row * (height + 6)};
      rows = row + 1;
    }
    box.place = {columns * (widest + 8) + 8, rows * (height + 6) + 10};
  }

  static constexpr size_t kOutside = SIZE_MAX;
  static constexpr size_t kMostLeaves = 8;

  const Groups& groups_;
  std::vector<size_t> parts_;
  ShowSaved show_;
  View view_;
};

}  // namespace libgrad::detail
