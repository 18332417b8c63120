/// libgrad/questions/path_text.h -- a path as lines of text.

#pragma once

#include <libgrad/base/repeats.h>
#include <libgrad/graph/words.h>
#include <libgrad/questions/paths.h>

#include <functional>
#include <string>
#include <vector>

namespace libgrad::detail {

/// Writes a path with one node in each line, "  12  MulBackward0", and repeats
/// folded.
class PathText {
 public:
  PathText(
      const Graph& graph, const Paths& paths, const std::vector<Index>& path)
      : graph_(graph),
        path_(path) {
    for (size_t i = 0; i < path.size(); ++i) {
      edges_.push_back(
          i == 0 ? paths.starts_at(path[0])
                 : paths.edges_between(path[i - 1], path[i]));
      labels_.push_back(label(i));
      width_ = std::max(width_, std::to_string(path[i]).size());
    }
  }

  std::string run() {
    size_t place = 0;
    const auto folded = repeats(labels_, 2);
    has_brackets_ = std::ranges::any_of(
        folded, [](const Repeat& repeat) { return repeat.length > 1; });
    for (const auto& repeat : folded) {
      while (place < repeat.first) {
        add_line(place++, "  ");
      }
      add_copy(repeat);
      place = repeat.end();
    }
    while (place < path_.size()) {
      add_line(place++, "  ");
    }
    return joined();
  }

 private:
  static constexpr size_t kHead = 30, kTail = 20;  // lines of long paths

  /// Equal for nodes whose lines differ only in the id.
  uint64_t label(size_t i) const {
    const auto& node = graph_.nodes[path_[i]];
    constexpr std::hash<std::string_view> hash;
    uint64_t label = hash(node.name);
    mix(label, hash(node.leaf));
    mix(label, hash(node.origin.module));
    mix(label, hash(node.origin.file));
    mix(label, node.origin.line);
    mix(label, edges_[i]);
    return label;
  }

  void add_line(size_t i, const char* bracket) {
    const auto& node = graph_.nodes[path_[i]];
    const auto id = std::to_string(path_[i]);
    std::string text = std::string(width_ + 2 - id.size(), ' ') + id + ' ' +
                       (has_brackets_ ? bracket : " ") + plain(node.name);
    if (!node.leaf.empty()) {
      text += " (" + plain(node.leaf) + ')';
    }
    if (edges_[i] > 1) {
      text += ' ' + times_words(edges_[i]);
    }
    lines_.push_back({text + where_words(node), i});
  }

  void add_copy(const Repeat& repeat) {
    if (repeat.length == 1) {
      add_line(repeat.first, "  ");
      lines_.back().text += "  (" + count_words(repeat.count) + " in a row)";
      return;
    }
    for (size_t i = 0; i < repeat.length; ++i) {
      add_line(
          repeat.first + i,
          i == 0                  ? "┌ "
          : i + 1 < repeat.length ? "│ "
                                  : "└ ");
    }
    lines_.back().text += "  (these " + count_words(repeat.length) + ", " +
                          count_words(repeat.count) + " times in a row)";
  }

  std::string joined() const {
    std::string text;
    const bool is_long = lines_.size() > kHead + kTail + 1;
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (is_long && i == kHead) {
        const auto rest = lines_.size() - kTail;
        text += '\n' + std::string(width_ + 3, ' ') + "  ... " +
                count_words(lines_[rest].place - lines_[i].place, "node") +
                " more ...";
        i = rest;
      }
      text += '\n' + lines_[i].text;
    }
    return text;
  }

  struct Line {
    std::string text;
    size_t place;  // in the path
  };

  const Graph& graph_;
  const std::vector<Index>& path_;
  std::vector<uint64_t> edges_;  // number of edges to each node
  std::vector<uint64_t> labels_;
  std::vector<Line> lines_;
  size_t width_ = 1;  // of the widest id
  bool has_brackets_ = false;
};

}  // namespace libgrad::detail
