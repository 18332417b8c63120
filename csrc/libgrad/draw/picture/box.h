/// libgrad/draw/picture/box.h -- the text and the colours of boxes.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/draw/fold/groups.h>
#include <libgrad/graph/words.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad {

/// How a picture shows the tensors that nodes saved.
enum class ShowSaved : uint8_t {
  kMarks,  // a small square for each
  kRows,   // a line for each
  kNone,
};

namespace detail {

/// Colours that differ for colour-blind readers, too. `text` is for words on
/// `fill`.
struct Colours {
  const char* fill;
  const char* stroke;
  const char* text = "#1b1f24";
};

inline Colours kind_colours(NodeKind kind) {
  constexpr std::array<Colours, 7> colours{{
      {"#f1f3f5", "#868e96"},  // operator
      {"#d3f0e4", "#0b7a5a"},  // leaf
      {"#d7e8fb", "#1f6fbf"},  // view
      {"#ffe3c2", "#c05d00"},  // function
      {"#fff3b8", "#937400"},  // python
      {"#f4dcec", "#a6437f"},  // compiled
      {"#ffffff", "#868e96"},  // other
  }};
  return colours[static_cast<size_t>(kind)];
}

inline constexpr Colours kRootColours{"#17415f", "#0b2a40", "#ffffff"};
inline constexpr Colours kGroupColours{"#ffffff", "#495057"};
inline constexpr Colours kPortColours{"none", "none", "#57606a"};
inline constexpr Colours kSavedColours{"#0072b2", "#0072b2"};
inline constexpr Colours kStaleColours{"#d62728", "#d62728"};
inline constexpr Colours kReleasedColours{"#ffffff", "#868e96"};
inline constexpr Colours kPackedColours{"#8250c4", "#8250c4"};

inline Colours saved_colours(const GraphSaved& saved) {
  return is_stale(saved)                        ? kStaleColours
         : saved.state == SavedState::kReleased ? kReleasedColours
         : saved.state == SavedState::kPacked   ? kPackedColours
                                                : kSavedColours;
}

/// A line of a box: text after the marks of saved tensors.
struct BoxLine {
  std::string text;
  bool bold = false;
  std::vector<Colours> marks = {};
};

/// The width of a character, as a fraction of the font size. It is that of a
/// wide font, so that text in other fonts fits into the boxes, too.
inline double character_width(char32_t code) {
  constexpr std::string_view narrow = "iljI.,:;'|![](){}ftr /-";
  constexpr std::string_view wide = "mwMW@%";
  if (code >= 0x1100) {
    return code >= 0x2000 && code < 0x2600 ? 0.8 : 1.05;
  }
  if (code >= 0x80) {
    return code == 0xB7 ? 0.35 : 0.7;
  }
  const char letter = static_cast<char>(code);
  return narrow.find(letter) != narrow.npos ? 0.385
         : wide.find(letter) != wide.npos   ? 0.95
         : letter >= 'A' && letter <= 'Z'   ? 0.70
                                            : 0.63;
}

constexpr double kTextSize = 12;
constexpr double kLineHeight = 16;
constexpr double kMarkSize = 8;
constexpr double kMarkStep = 11;

inline double line_width(const BoxLine& line) {
  double width = 0;
  each_character(line.text, [&](char32_t code, std::string_view) {
    width += character_width(code);
  });
  const size_t marks = line.marks.size();
  return width * (line.bold ? kTextSize * 1.09 : kTextSize - 1) +
         (marks == 0 ? 0 : static_cast<double>(marks) * kMarkStep + 3);
}

/// `text`, with "…" instead of its middle when it has more than `most`
/// characters.
inline std::string shortened(std::string_view text, size_t most) {
  std::vector<std::string> characters;
  each_character(text, [&](char32_t, std::string_view bytes) {
    characters.emplace_back(bytes);
  });
  std::string out;
  const size_t count = characters.size();
  for (size_t i = 0; i < count; ++i) {
    if (count > most && i == most / 2) {
      out += "…";
      i = count - most / 2 + 1;
    }
    out += characters[i];
  }
  return out;
}

/// What a node is called in pictures: a leaf by its name,
/// "attn_scores: SoftmaxBackward0" where the program named its output.
inline std::string node_title(const GraphNode& node) {
  std::string title(node.label);
  title += title.empty() ? "" : ": ";
  return node.leaf.empty() ? title.append(node.name) : std::string(node.leaf);
}

/// A mark for each tensor that a node saved; at most ten.
inline BoxLine saved_line(const Graph& graph, const GraphNode& node) {
  BoxLine line;
  size_t more = 0;
  for (const auto& saved : graph.saved_of(node)) {
    if (saved.state == SavedState::kNone) {
      continue;
    }
    line.marks.size() < 10 ? line.marks.push_back(saved_colours(saved))
                           : void(++more);
  }
  if (!line.marks.empty()) {
    line.text = (more == 0 ? "" : "+" + count_words(more) + "  ") +
                bytes_words(node.nbytes);
  }
  return line;
}

inline std::vector<BoxLine> node_lines(
    const Graph& graph,
    const GraphNode& node,
    ShowSaved show,
    c10::Device usual) {
  std::vector<BoxLine> lines{{shortened(node_title(node), 34), true}};
  lines.push_back({input_words(graph, node, usual)});
  if (show == ShowSaved::kMarks) {
    if (auto line = saved_line(graph, node); !line.marks.empty()) {
      lines.push_back(std::move(line));
    }
  } else if (show == ShowSaved::kRows) {
    for (const auto& saved : graph.saved_of(node)) {
      if (saved.state != SavedState::kNone) {
        lines.push_back(
            {shortened(field_words(saved), 20) + "  " +
                 saved_words(graph, saved, usual) + "  " +
                 bytes_words(saved.nbytes),
             false,
             {saved_colours(saved)}});
      }
    }
  }
  if (!node.note.empty()) {
    lines.push_back({"not all could be read"});
  }
  return lines;
}

/// "Addmm ×4, Gelu": the operators of a group, those that save most first.
inline std::string contents(const Groups& groups, const Group& group) {
  std::map<std::string_view, std::pair<int64_t, size_t>> kinds;
  for (size_t i = group.first; i < group.first + group.length; ++i) {
    const auto& node = groups.sequence.node(i);
    if (node.kind != NodeKind::kLeaf) {
      auto& [bytes, count] = kinds[node.name];
      bytes -= node.nbytes;
      ++count;
    }
  }
  std::vector<std::pair<std::pair<int64_t, size_t>, std::string_view>> order;
  for (const auto& [name, weight] : kinds) {
    order.emplace_back(weight, name);
  }
  std::ranges::sort(order);
  std::string text;
  for (size_t i = 0; i < std::min<size_t>(order.size(), 3); ++i) {
    const auto name = order[i].second;
    text += text.empty() ? "" : ", ";
    text += shortened(name.substr(0, name.rfind("Backward")), 24);
    const size_t count = order[i].first.second;
    text += count == 1 ? "" : " " + times_words(count);
  }
  return text + (order.size() > 3 ? ", …" : "");
}

inline std::vector<BoxLine> group_lines(
    const Groups& groups, const Group& group, std::string_view letter) {
  ByteCount count(groups.graph);
  for (size_t i = group.first; i < group.end(); ++i) {
    count.add(groups.sequence.node(i));
  }
  std::string title = group.count > 1 ? times_words(group.count) : "";
  if (!letter.empty()) {
    title = std::string(letter) + " · " + title;
  }
  const auto names = groups.names(group);
  if (!names.empty()) {
    title += (title.empty() ? "" : " · ") + shortened(names, 48);
  }
  const auto each = count_words(group.length, "node");
  std::vector<BoxLine> lines{{title.empty() ? each : title, true}};
  if (group.count > 1) {
    lines.push_back(
        {each + " each, " + count_words(group.length * group.count) +
         " in all"});
  } else if (!title.empty()) {
    lines.push_back({each});
  }
  if (const auto inside = contents(groups, group); !inside.empty()) {
    lines.push_back({inside});
  }
  if (const int64_t bytes = count.total(); bytes > 0) {
    lines.push_back({bytes_words(bytes) + " saved", false, {kSavedColours}});
  }
  return lines;
}

}  // namespace detail
}  // namespace libgrad
