/// libgrad/draw/picture/legend.h -- what the colours of a picture mean.

#pragma once

#include <libgrad/draw/picture/box.h>

#include <array>
#include <cstddef>
#include <string>
#include <vector>

namespace libgrad::detail {

struct LegendEntry {
  std::string words;
  Colours colours;
  bool mark = false;
};

/// The entries for the kinds of nodes and marks in this graph.
inline std::vector<LegendEntry> legend(const Graph& graph, ShowSaved show) {
  constexpr const char* words[] = {
      "operator",
      "leaf",
      "view written to",
      "C++ Function",
      "Python Function",
      "compiled graph",
      "other node"};
  std::vector<LegendEntry> entries{{"root", kRootColours}};
  std::array<bool, 7> kinds{};
  for (const auto& node : graph.nodes) {
    kinds[static_cast<size_t>(node.kind)] = true;
  }
  for (size_t i = 0; i < kinds.size(); ++i) {
    if (kinds[i]) {
      entries.push_back({words[i], kind_colours(static_cast<NodeKind>(i))});
    }
  }
  if (show == ShowSaved::kNone) {
    return entries;
  }
  std::array<bool, 4> marks{};
  for (const auto& saved : graph.saved) {
    const auto fill = saved_colours(saved).fill;
    marks[0] |= saved.state == SavedState::kHeld && !is_stale(saved);
    marks[1] |= fill == kStaleColours.fill;
    marks[2] |= fill == kReleasedColours.fill;
    marks[3] |= fill == kPackedColours.fill;
  }
  constexpr Colours colours[] = {
      kSavedColours, kStaleColours, kReleasedColours, kPackedColours};
  constexpr const char* what[] = {
      "saved tensor",
      "written to since it was saved",
      "released",
      "packed by a hook"};
  for (size_t i = 0; i < marks.size(); ++i) {
    if (marks[i]) {
      entries.push_back({what[i], colours[i], true});
    }
  }
  return entries;
}

}  // namespace libgrad::detail
