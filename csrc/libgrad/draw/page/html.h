/// libgrad/draw/page/html.h -- an HTML page that shows a graph in a browser,
/// without other files.

#pragma once

#include <libgrad/draw/page/node_data.h>
#include <libgrad/draw/page/page_files.h>  // made by CMake
#include <libgrad/draw/picture/picture.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// Writes the page: views of the graph and of its groups, and the data of the
/// nodes in them.
class HtmlWriter {
 public:
  HtmlWriter(const Graph& graph, const DrawOptions& options)
      : graph_(graph),
        folded_options_(options),
        flat_options_(options),
        folded_(graph, folding(folded_options_)),
        flat_(graph, flat(flat_options_)),
        shown_(graph.nodes.size(), false) {}

  std::string write() {
    const bool has_flat =
        folded_options_.fold == Fold::kNone ||
        graph_.nodes.size() <= std::max<size_t>(flat_options_.max_nodes, 1);
    const bool has_folded =
        folded_options_.fold != Fold::kNone && (!has_flat || is_folded());
    const bool flat_first = graph_.nodes.size() <= kSmall;
    std::string names;
    for (const bool flat : {flat_first, !flat_first}) {
      if (flat ? has_flat : has_folded) {
        names += button(flat ? "All nodes" : "Folded");
        add_view(flat ? flat_ : folded_, 0, flat ? "all nodes" : "folded");
      }
    }
    if (has_folded) {
      add_groups();
    }
    return page(titles_.size() > 1 && has_flat && has_folded ? names : "");
  }

 private:
  static const DrawOptions& folding(DrawOptions& options) {
    if (options.fold == Fold::kAuto) {
      options.max_nodes = 1;
    }
    return options;
  }

  static const DrawOptions& flat(DrawOptions& options) {
    options.fold = Fold::kNone;
    return options;
  }

  bool is_folded() const {
    const auto& all = folded_.groups().all;
    return std::ranges::any_of(
        all[0].parts, [&](size_t part) { return !all[part].node; });
  }

  std::string button(const char* name) const {
    const auto view = std::to_string(titles_.size());
    return "<button data-view=\"" + view + "\" aria-pressed=\"false\">" + name +
           "</button>\n";
  }

  void add_view(const Picture& picture, size_t group, std::string title) {
    const auto view = picture.make(group);
    SvgWriter writer(picture.groups(), true);
    constexpr double margin = 16;
    writer.begin(
        view.layout.width + 2 * margin,
        view.layout.height + 2 * margin,
        "The graph, " + title);
    writer.view(view, margin, margin);
    writer.end();
    views_ +=
        "<section tabindex=\"-1\" hidden>\n" + writer.out + "</section>\n";
    titles_.push_back(std::move(title));
    boxes_ += view.boxes.size();
    for (const auto& box : view.boxes) {
      for (const Index node : box.nodes) {
        shown_[node] = true;
      }
    }
  }

  /// Adds a view of the contents of each box that stands for several nodes.
  void add_groups() {
    const auto& groups = folded_.groups();
    std::deque<size_t> open{0};
    for (; !open.empty(); open.pop_front()) {
      for (const size_t part : folded_.parts(open.front())) {
        const auto& group = groups.all[part];
        const size_t count = folded_.parts(part).size();
        if (group.node || group.length == 1 || count > kMostBoxes ||
            boxes_ + count > kAllBoxes) {
          continue;
        }
        groups_ += (groups_.empty() ? "\"" : ",\"") + std::to_string(part) +
                   "\":" + std::to_string(titles_.size());
        auto title = groups.name(group, 0);
        if (title.empty()) {
          title = count_words(group.length, "node");
        }
        if (group.count > 1) {
          title += ", one of " + count_words(group.count);
        }
        add_view(folded_, part, title);
        open.push_back(part);
      }
    }
  }

  std::string page(const std::string& names) const {
    const auto title = xml(folded_.title());
    return "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
           "<meta charset=\"utf-8\">\n"
           "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src "
           "'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
           "<meta name=\"viewport\" content=\"width=device-width, "
           "initial-scale=1\">\n<title>" +
           title + "</title>\n<style>" + kPageStyle +
           "</style>\n</head>\n<body>\n<header>\n<h1>" + title + "</h1>\n<p>" +
           xml(total_words(graph_)) + "</p>\n<span class=\"space\"></span>\n" +
           names + kControls + "</header>\n<main>\n<nav id=\"trail\"></nav>\n" +
           views_ + legend() + "</main>\n" + kHelp +
           "<script type=\"application/json\" "
           "id=\"data\">" +
           data() + "</script>\n<script>" + kPageProgram +
           "</script>\n</body>\n</html>\n";
  }

  std::string legend() const {
    std::string out = "<div id=\"legend\">\n";
    for (const auto& [words, colours, mark] : folded_.entries()) {
      out += std::string("<span") + (mark ? " class=\"mark\"" : "") +
             " style=\"--f:" + colours.fill + ";--s:" + colours.stroke + "\">" +
             xml(words) + "</span>\n";
    }
    return out + "</div>\n";
  }

  std::string data() const {
    std::string out = "{\"views\":[";
    for (const auto& title : titles_) {
      out += out.ends_with('[') ? "" : ",";
      out += "{\"title\":" + json(title) + '}';
    }
    out += "],\"groups\":{" + groups_ + "},\"nodes\":[\n";
    NodeData node(graph_);
    for (Index i = 0; i < graph_.nodes.size(); ++i) {
      if (shown_[i]) {
        out += out.ends_with("[\n") ? "" : ",\n";
        out += node.write(i);
      }
    }
    return out + "\n]}";
  }

  static constexpr size_t kSmall = 120;
  static constexpr size_t kMostBoxes = 400;
  static constexpr size_t kAllBoxes = 3000;
  static constexpr const char* kControls =
      "<span><button id=\"out\" aria-label=\"zoom out\">−</button>\n"
      "<button id=\"in\" aria-label=\"zoom in\">+</button>\n"
      "<button id=\"fit\">Fit</button></span>\n"
      "<span class=\"search\"><input id=\"search\" type=\"search\" "
      "placeholder=\"Search (/)\" aria-label=\"search nodes\" "
      "autocomplete=\"off\"><ul id=\"found\" "
      "aria-label=\"found\"></ul></span>\n";
  static constexpr const char* kHelp =
      "<aside id=\"details\" aria-live=\"polite\"><h2>The graph of "
      "backward</h2>\n"
      "<p>Each box is a node; arrows are the way of the gradients. Click a box "
      "to see what it saved; click a box with × twice to see what is in "
      "it.</p>\n"
      "<p>Drag to move, turn the wheel to zoom. <kbd>/</kbd> searches, "
      "<kbd>↑</kbd> <kbd>↓</kbd> <kbd>←</kbd> <kbd>→</kbd> go from box to box, "
      "<kbd>Enter</kbd> opens, <kbd>Esc</kbd> goes back, <kbd>+</kbd> "
      "<kbd>−</kbd> <kbd>0</kbd> zoom.</p></aside>\n";

  const Graph& graph_;
  DrawOptions folded_options_;
  DrawOptions flat_options_;
  const Picture folded_;
  const Picture flat_;
  std::vector<bool> shown_;
  std::string views_;
  std::string groups_;
  std::vector<std::string> titles_;
  size_t boxes_ = 0;
};

}  // namespace libgrad::detail
