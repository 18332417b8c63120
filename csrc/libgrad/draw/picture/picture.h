/// libgrad/draw/picture/picture.h -- the whole picture: a title, a legend, the
/// graph, and beside it the contents of repeated groups.

#pragma once

#include <libgrad/draw/picture/legend.h>
#include <libgrad/draw/picture/svg.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `to_dot`, `to_svg` and `to_html`.
struct DrawOptions {
  /// Which nodes are drawn as one box.
  Fold fold = Fold::kAuto;
  /// `Fold::kAuto` folds graphs with more nodes than this.
  size_t max_nodes = 2000;
  ShowSaved saved = ShowSaved::kMarks;
  /// The title above the picture.
  std::string title = {};
};

namespace detail {

/// Chooses the groups that are drawn, and arranges their views.
class Picture {
 public:
  Picture(const Graph& graph, const DrawOptions& options)
      : groups_(graph, options.fold, std::max<size_t>(options.max_nodes, 1)),
        options_(options) {}

  const Groups& groups() const { return groups_; }

  /// The groups that are boxes in the view of `group`. Groups without copies
  /// are opened, as long as the view does not get too many boxes.
  std::vector<size_t> parts(size_t group) const {
    auto parts = groups_.all[group].parts;
    for (bool opened = true; opened && parts.size() < kManyParts;) {
      opened = false;
      std::vector<size_t> next;
      size_t count = parts.size();
      for (const size_t part : parts) {
        const auto& each = groups_.all[part];
        const size_t more = count + each.parts.size();
        if (each.node || each.count > 1 || more > kManyParts) {
          next.push_back(part);
          continue;
        }
        count = more;
        opened = true;
        next.insert(next.end(), each.parts.begin(), each.parts.end());
      }
      parts = std::move(next);
    }
    return parts;
  }

  /// The picture as one SVG.
  std::string svg() {
    choose();
    std::vector<View> views;
    views.push_back(make(0));
    for (const auto& [group, letter] : shown_) {
      views.push_back(make(group));
    }
    std::vector<std::pair<double, double>> places;
    const auto [width, height] = arrange(views, places);
    SvgWriter writer(groups_, false);
    writer.begin(width, height, title());
    writer.rectangle(
        {width - 1, height - 1, 0.5, 0.5}, {"#ffffff", "#d0d7de"}, 1, 8);
    writer.out += '\n';
    head(writer);
    for (size_t i = 0; i < views.size(); ++i) {
      const auto [x, y] = places[i];
      if (i > 0) {
        frame(writer, views[i], shown_[i - 1].second, x, y);
      }
      writer.view(views[i], x, y);
    }
    writer.end();
    return std::move(writer.out);
  }

  View make(size_t group) const { return maker(group).make(); }

  ViewMaker maker(size_t group) const {
    const std::map<size_t, std::string> letters(shown_.begin(), shown_.end());
    return {groups_, group, parts(group), letters, options_.saved};
  }

  /// The groups that are drawn beside the graph, with their letters.
  const std::vector<std::pair<size_t, std::string>>& shown() const {
    return shown_;
  }

  /// Chooses the repeated groups that are drawn beside the graph, and gives
  /// each a letter.
  void choose() {
    std::deque<size_t> open{0};
    while (!open.empty() && shown_.size() < kMostPanels) {
      const size_t group = open.front();
      open.pop_front();
      for (const size_t part : parts(group)) {
        const auto& each = groups_.all[part];
        if (!each.node && each.count > 1 && each.length > 1 &&
            parts(part).size() <= kMostBoxes && shown_.size() < kMostPanels) {
          shown_.emplace_back(
              part, std::string(1, static_cast<char>('A' + shown_.size())));
          open.push_back(part);
        }
      }
    }
  }

  std::string title() const {
    return options_.title.empty() ? "Autograd graph" : options_.title;
  }

  /// What was folded, in a sentence; empty when nothing was.
  std::string folded_words() const {
    size_t copies = 0;
    size_t closed = 0;
    for (const size_t part : parts(0)) {
      const auto& each = groups_.all[part];
      copies += each.count > 1 ? 1 : 0;
      closed += !each.node && each.count == 1 ? 1 : 0;
    }
    std::string words;
    if (copies > 0) {
      words = "a box with ×n stands for n equal parts that follow each other";
      words += shown_.empty() ? "" : "; one of them is drawn beside";
    }
    if (closed > 0) {
      words += words.empty() ? "" : "; ";
      words += "a box that counts its nodes stands for all of them";
    }
    return words.empty() ? words : "Folded: " + words;
  }

  std::vector<LegendEntry> entries() const {
    return legend(groups_.graph, options_.saved);
  }

  /// Writes title, totals and legend.
  void head(SvgWriter& writer) const {
    writer.text(
        kMargin,
        32,
        shortened(title(), 90),
        "font-size=\"17\" font-weight=\"600\" fill=\"#1b1f24\"");
    writer.text(kMargin, 52, total_words(groups_.graph), "fill=\"#57606a\"");
    writer.out += '\n';
    double x = kMargin;
    for (const auto& [words, colours, mark] : entries()) {
      if (mark) {
        writer.mark(x + 3, 66, colours);
      } else {
        writer.rectangle({18, 12, x, 64}, colours, 1.2, 3);
      }
      x += mark ? 16 : 23;
      writer.text(x, 74, words, "font-size=\"11\" fill=\"#1b1f24\"");
      x += line_width({words}) + 14;
    }
    if (const auto words = folded_words(); !words.empty()) {
      writer.text(kMargin, 95, words, "font-size=\"11\" fill=\"#57606a\"");
    }
    writer.out += '\n';
  }

 private:
  /// Puts the views side by side, in rows; returns the size of the picture.
  std::pair<double, double> arrange(
      const std::vector<View>& views,
      std::vector<std::pair<double, double>>& places) const {
    double legend_width = kMargin;
    for (const auto& entry : entries()) {
      legend_width += line_width({entry.words}) + 37;
    }
    const double folded =
        folded_words().empty() ? 0 : line_width({folded_words()}) + kMargin;
    double width = std::max({legend_width, folded, 360.0}) + kMargin;
    const double most = std::max(1900.0, views[0].layout.width + kMargin);
    const double top = folded > 0 ? kHead + 22 : kHead;
    double x = kMargin;
    double y = top;
    double bottom = top;
    for (size_t i = 0; i < views.size(); ++i) {
      const double room = i == 0 ? 0 : kFrame;
      const double wide =
          std::max(views[i].layout.width, i == 0 ? 0 : 220.0) + 2 * room;
      if (i > 0 && x + wide > most) {
        x = kMargin;
        y = bottom + kMargin;
      }
      places.emplace_back(x + room, i == 0 ? y : y + room + kFrameTitle);
      bottom = std::max(
          bottom, places.back().second + views[i].layout.height + room);
      x += wide + kMargin + 10;
      width = std::max(width, x - 10);
    }
    if (views.size() == 1) {
      places[0].first = (width - views[0].layout.width) / 2;
    }
    return {width, bottom + kMargin};
  }

  /// Draws a frame around the view of a repeated group, with a title: "A · one
  /// of 12".
  void frame(
      SvgWriter& writer,
      const View& view,
      const std::string& letter,
      double x,
      double y) const {
    const auto& group = groups_.all[view.group];
    const double wide = std::max(view.layout.width, 220.0);
    writer.rectangle(
        {wide + 2 * kFrame,
         view.layout.height + 2 * kFrame + kFrameTitle,
         x - kFrame,
         y - kFrame - kFrameTitle},
        {"#fbfcfd", "#adb5bd"},
        1,
        8);
    auto words = letter + " · one of " + count_words(group.count);
    const auto name = groups_.name(group, 0);
    writer.text(
        x - 4,
        y - kFrame - kFrameTitle + 20,
        words + (name.empty() ? "" : ": " + shortened(name, 30)),
        "font-weight=\"600\" fill=\"#1b1f24\"");
    writer.out += '\n';
  }

  static constexpr double kMargin = 20;
  static constexpr double kHead = 96;
  static constexpr double kFrame = 16;
  static constexpr double kFrameTitle = 22;
  static constexpr size_t kManyParts = 60;
  static constexpr size_t kMostPanels = 8;
  static constexpr size_t kMostBoxes = 400;

  const Groups groups_;
  const DrawOptions& options_;
  std::vector<std::pair<size_t, std::string>> shown_;
};

}  // namespace detail
}  // namespace libgrad
