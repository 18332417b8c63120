/// libgrad/draw/picture/svg.h -- boxes and arrows as SVG.

#pragma once

#include <libgrad/draw/picture/view.h>

#include <array>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A number with at most one digit after the decimal point.
inline std::string coordinate(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  std::string out = text.data();
  if (out.ends_with(".0")) {
    out.resize(out.size() - 2);
  }
  return out == "-0" ? "0" : out;
}

constexpr std::string_view kFont =
    "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, "
    "'DejaVu Sans', sans-serif";

/// Writes views into `out`.
class SvgWriter {
 public:
  /// With `active`, a box has attributes that name its node or group, and takes
  /// the keyboard focus.
  SvgWriter(const Groups& groups, bool active)
      : groups_(groups),
        active_(active) {
    for (const auto& root : groups.graph.roots) {
      if (roots_.empty() || !is_root(root.node)) {
        roots_.push_back(root.node);
      }
    }
  }

  std::string out;

  void begin(double width, double height, std::string_view label) {
    out += "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" +
           coordinate(width) + "\" height=\"" + coordinate(height) +
           "\" viewBox=\"0 0 " + coordinate(width) + ' ' + coordinate(height) +
           "\" font-family=\"" + std::string(kFont) +
           "\" font-size=\"12\" role=\"img\" aria-label=\"" + xml(label) +
           "\">\n";
  }

  void end() { out += "</svg>\n"; }

  void view(const View& view, double x, double y) {
    out += "<g transform=\"translate(" + coordinate(x) + ' ' + coordinate(y) +
           ")\">\n";
    out += "<g fill=\"none\" stroke=\"#8a94a3\" stroke-width=\"1.3\">\n";
    for (size_t i = 0; i < view.layout.links.size(); ++i) {
      link(view, i);
    }
    out += "</g>\n";
    for (size_t i = 0; i < view.boxes.size(); ++i) {
      box(view.boxes[i], i);
    }
    out += "</g>\n";
  }

  void text(
      double x,
      double y,
      std::string_view words,
      std::string_view attributes = {}) {
    out += "<text x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + '"';
    out += attributes.empty() ? "" : " " + std::string(attributes);
    out += '>' + xml(words) + "</text>";
  }

  void rectangle(
      const LayoutBox& at, Colours colours, double line, double round = 5) {
    out += "<rect x=\"" + coordinate(at.x) + "\" y=\"" + coordinate(at.y) +
           "\" width=\"" + coordinate(at.width) + "\" height=\"" +
           coordinate(at.height) + "\" rx=\"" + coordinate(round) +
           "\" fill=\"" + colours.fill + "\" stroke=\"" + colours.stroke + '"';
    out += line == 1 ? "/>" : " stroke-width=\"" + coordinate(line) + "\"/>";
  }

  void mark(double x, double y, Colours colours) {
    rectangle({kMarkSize, kMarkSize, x, y}, colours, 1, 1.5);
    if (colours.fill == kStaleColours.fill) {  // a cross: not by colour alone
      out += "<path d=\"M" + coordinate(x + 2) + ' ' + coordinate(y + 2) +
             "l4 4m0-4l-4 4\" stroke=\"#fff\" stroke-width=\"1.4\"/>";
    }
  }

 private:
  bool is_root(Index node) const {
    return std::ranges::find(roots_, node) != roots_.end();
  }

  void link(const View& view, size_t index) {
    const auto& link = view.layout.links[index];
    const auto& points = link.points;
    const Point last = points.back();
    std::string path =
        'M' + coordinate(points[0].x) + ' ' + coordinate(points[0].y);
    for (size_t i = 1; i + 2 < points.size(); i += 3) {
      const bool straight = points[i - 1].x == points[i + 2].x;
      if (straight) {
        path += 'V' + coordinate(points[i + 2].y);
        continue;
      }
      path += 'C';
      for (size_t j = i; j < i + 3; ++j) {
        path += (j > i ? " " : "") + coordinate(points[j].x) + ' ' +
                coordinate(points[j].y);
      }
    }
    out += "<path d=\"" + path + '"';
    if (active_) {
      out += " data-from=\"" + std::to_string(link.from) + "\" data-to=\"" +
             std::to_string(link.to) + '"';
    }
    out += "/>";
    if (link.whole && view.boxes[link.to].type != BoxType::kPort) {
      out += "<path d=\"M" + coordinate(last.x) + ' ' + coordinate(last.y) +
             "l-3.5-7h7z\" fill=\"#8a94a3\" stroke=\"none\"/>";
    }
    if (const size_t count = view.edges[index]; count > 1) {
      const bool right = last.x > points[0].x;  // so write at the left
      text(
          points[0].x + (right ? -4 : 4),
          points[0].y + 11,
          times_words(count),
          std::string(right ? "text-anchor=\"end\" " : "") +
              "font-size=\"9\" fill=\"#57606a\" stroke=\"none\"");
    }
    out += '\n';
  }

  Colours colours(const ViewBox& box) const {
    switch (box.type) {
      case BoxType::kPort:
        return kPortColours;
      case BoxType::kNode:
        return is_root(box.nodes[0])
                   ? kRootColours
                   : kind_colours(groups_.graph.nodes[box.nodes[0]].kind);
      default:
        return kGroupColours;
    }
  }

  void box(ViewBox box, size_t index) {
    const auto own = colours(box);
    out += "<g";
    if (active_ && box.type != BoxType::kLeaves) {
      activate(box, index);
    }
    out += '>';
    if (box.type == BoxType::kNode && !active_) {
      out += "<title>" + xml(hint(box.nodes[0])) + "</title>";
    }
    if (box.cards) {
      box.place.width -= kCards;
      box.place.height -= kCards;
      cards(box);
    }
    if (box.type == BoxType::kLeaves) {
      rectangle(box.place, {"#f7fbf9", "#0b7a5a"}, 1);
    } else if (box.type != BoxType::kPort) {
      rectangle(box.place, own, box.type == BoxType::kGroup ? 1.6 : 1.2);
    }
    lines(box, own);
    for (auto& leaf : box.inside) {
      leaf.place.x += box.place.x;
      leaf.place.y += box.place.y;
      this->box(std::move(leaf), index);
    }
    out += "</g>\n";
  }

  /// Draws the cards behind the box of a repeated group.
  void cards(const ViewBox& box) {
    for (const double shift : {kCards, kCards / 2}) {
      auto card = box.place;
      card.x += shift;
      card.y += shift;
      rectangle(card, kGroupColours, 1);
    }
  }

  void activate(const ViewBox& box, size_t index) {
    out += " data-box=\"" + std::to_string(index) + '"';
    if (box.type == BoxType::kNode) {
      out += " data-node=\"" + std::to_string(box.nodes[0]) + '"';
    } else if (box.type == BoxType::kGroup) {
      out += " data-group=\"" + std::to_string(box.group) + '"';
    } else {
      return;
    }
    std::string label;
    for (const auto& line : box.lines) {
      label += (label.empty() ? "" : ", ") + line.text;
    }
    out += " tabindex=\"-1\" role=\"button\" aria-label=\"" + xml(label) + '"';
  }

  void lines(const ViewBox& box, Colours own) {
    const auto& at = box.place;
    double y = at.y + (box.type == BoxType::kPort ? 13 : 17);
    for (const auto& line : box.lines) {
      double x = at.x + at.width / 2;
      std::string attributes = "text-anchor=\"middle\"";
      if (!line.marks.empty()) {
        x = at.x + (at.width - line_width(line)) / 2;
        for (auto each : line.marks) {
          if (own.text == kRootColours.text) {
            each.stroke = own.text;  // blue on dark blue is hard to see
          }
          mark(x, y - 8, each);
          x += kMarkStep;
        }
        x += 3;
        attributes.clear();
      }
      attributes += line.bold ? " font-weight=\"600\"" : " font-size=\"11\"";
      attributes += " fill=\"" + std::string(own.text) + '"';
      text(x, y, line.text, attributes);
      y += kLineHeight;
    }
  }

  /// The tooltip of a node.
  std::string hint(Index index) const {
    const auto& node = groups_.graph.nodes[index];
    std::string words(node.name);
    words += " (" + std::string(word_of(node.kind)) + ")";
    words += node.leaf.empty() ? "" : "\n" + std::string(node.leaf);
    words += node.label.empty() ? "" : "\nnamed " + std::string(node.label);
    if (!node.origin.module.empty()) {
      words += "\nmodule " + std::string(node.origin.module);
    }
    if (!node.origin.file.empty()) {
      words += "\n" + std::string(node.origin.file) + ":" +
               std::to_string(node.origin.line);
    }
    for (const auto& saved : groups_.graph.saved_of(node)) {
      words += "\nsaved " + field_words(saved) + ": " +
               saved_words(groups_.graph, saved, groups_.usual_device) +
               (is_stale(saved) ? " (written to since)" : "");
    }
    return words + (node.note.empty() ? "" : "\n" + std::string(node.note));
  }

  const Groups& groups_;
  bool active_;
  std::vector<Index> roots_;
};

}  // namespace libgrad::detail
