/// libgrad/draw/picture/dot.h -- boxes and arrows in the language of Graphviz.

#pragma once

#include <libgrad/draw/picture/picture.h>

#include <cstddef>
#include <string>
#include <utility>

namespace libgrad::detail {

/// Writes a picture as DOT; Graphviz makes the layout.
class DotWriter {
 public:
  DotWriter(const Graph& graph, const DrawOptions& options)
      : picture_(graph, options),
        options_(options) {}

  std::string write() {
    picture_.choose();
    out_ = "digraph {\n";
    const auto folded = picture_.folded_words();
    out_ += "  graph [label=\"" + dot(picture_.title()) + "\\n" +
            dot(total_words(picture_.groups().graph)) +
            (folded.empty() ? "" : "\\n" + dot(folded)) +
            "\", labelloc=t, fontname=\"Helvetica\"]\n";
    out_ +=
        "  node [shape=box, style=\"filled,rounded\", fontname=\"Helvetica\", "
        "fontsize=11]\n"
        "  edge [color=\"#8a94a3\", fontname=\"Helvetica\", fontsize=9]\n";
    view(0, "  ");
    for (const auto& [group, letter] : picture_.shown()) {
      out_ += "  subgraph cluster_" + letter + " {\n    label=\"" + letter +
              ": one of " + count_words(picture_.groups().all[group].count) +
              "\"\n";
      view(group, "    ");
      out_ += "  }\n";
    }
    return out_ + "}\n";
  }

 private:
  void view(size_t group, const std::string& indent) {
    const auto view = picture_.maker(group).connect();
    std::vector<std::string> names;
    for (size_t i = 0; i < view.boxes.size(); ++i) {
      const auto& each = view.boxes[i];
      switch (each.type) {
        case BoxType::kNode:
          names.push_back("n" + std::to_string(each.nodes[0]));
          break;
        case BoxType::kGroup:
          names.push_back("g" + std::to_string(each.group));
          break;
        default:
          names.push_back(
              "p" + std::to_string(group) + "_" + std::to_string(i));
      }
      out_ += indent + names.back() + " [label=\"" + label(each) + '"' +
              attributes(each) + "]\n";
    }
    for (size_t i = 0; i < view.edges.size(); ++i) {
      const auto& link = view.layout.links[i];
      out_ += indent + names[link.from] + " -> " + names[link.to];
      if (view.edges[i] > 1) {
        out_ += " [label=\"" + times_words(view.edges[i]) + "\"]";
      }
      out_ += '\n';
    }
  }

  std::string label(const ViewBox& box) const {
    std::string text;
    for (const auto& line : box.lines) {
      text += text.empty() ? "" : "\\n";
      const auto marks = line.marks.size();
      if (marks > 0 && options_.saved == ShowSaved::kMarks &&
          box.type == BoxType::kNode) {
        text += std::to_string(marks) + " saved, ";
      }
      text += dot(line.text);
    }
    return text;
  }

  std::string attributes(const ViewBox& box) const {
    if (box.type == BoxType::kPort) {
      return ", style=dashed, color=\"#57606a\", fontcolor=\"#57606a\"";
    }
    auto colours = kGroupColours;
    std::string more = ", peripheries=2";
    if (box.type == BoxType::kNode) {
      const auto& graph = picture_.groups().graph;
      const bool root = std::ranges::any_of(graph.roots, [&](const auto& each) {
        return each.node == box.nodes[0];
      });
      colours =
          root ? kRootColours : kind_colours(graph.nodes[box.nodes[0]].kind);
      more = stale(box) ? ", penwidth=3" : "";
    }
    const auto* stroke = stale(box) ? kStaleColours.stroke : colours.stroke;
    return std::string(", fillcolor=\"") + colours.fill + "\", color=\"" +
           stroke + "\", fontcolor=\"" + colours.text + '"' + more;
  }

  /// Whether a node saved a tensor that was written to since.
  bool stale(const ViewBox& box) const {
    const auto& graph = picture_.groups().graph;
    return box.type == BoxType::kNode && options_.saved != ShowSaved::kNone &&
           std::ranges::any_of(
               graph.saved_of(graph.nodes[box.nodes[0]]), is_stale);
  }

  Picture picture_;
  const DrawOptions& options_;
  std::string out_;
};

}  // namespace libgrad::detail
