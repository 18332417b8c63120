/// libgrad/questions/comparison.h -- two graphs, compared node by node.

#pragma once

#include <libgrad/graph/engine_order.h>
#include <libgrad/graph/words.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/shortest_edit.h>

#include <map>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The inputs and the saved bytes of a node, in words that can be compared.
inline std::string like_words(const Graph& graph, const GraphNode& node) {
  std::string words;
  for (Index i = 0; i < node.inputs.count; ++i) {
    words += (i == 0 ? "" : ", ") +
             input_words(graph, node, c10::Device(c10::kCPU), i);
  }
  if (node.saved.count > 0) {
    bool released = true, stale = false;
    for (const auto& saved : graph.saved_of(node)) {
      released &= saved.state == SavedState::kReleased ||
                  saved.state == SavedState::kNone;
      stale |= is_stale(saved);
    }
    words += ", saved " + bytes_words(node.nbytes) +
             (released ? ", released"
              : stale  ? ", stale"
                       : "");
  }
  return words;
}

/// Compares two graphs.
class GraphComparison {
 public:
  GraphComparison(const Graph& before, const Graph& after)
      : before_(before),
        after_(after) {}

  GraphDiff run() {
    const auto a = ids_in_order(before_), b = ids_in_order(after_);
    const auto first = numbers(before_, a), second = numbers(after_, b);
    size_t i = 0, j = 0;
    const auto skip_to = [&](size_t x, size_t y) {
      for (; i < x; ++i) {
        diff_.removed.push_back(a[i]);
      }
      for (; j < y; ++j) {
        diff_.added.push_back(b[j]);
      }
    };
    for (const auto& [x, y] : ShortestEdit(first, second).run()) {
      skip_to(x, y);
      compare(a[i++], b[j++]);
    }
    skip_to(a.size(), b.size());
    diff_.nbytes = after_.nbytes - before_.nbytes;
    write();
    return std::move(diff_);
  }

 private:
  /// A number for each node; nodes with the same name and the same leaf or
  /// module have the same number.
  std::vector<uint32_t> numbers(
      const Graph& graph, const std::vector<Index>& ids) {
    std::vector<uint32_t> result;
    result.reserve(ids.size());
    for (const auto id : ids) {
      const auto& node = graph.nodes[id];
      const auto which = node.leaf.empty() ? node.origin.module : node.leaf;
      result.push_back(numbers_
                           .emplace(
                               std::pair(node.name, which),
                               static_cast<uint32_t>(numbers_.size()))
                           .first->second);
    }
    return result;
  }

  void compare(Index x, Index y) {
    const auto& a = before_.nodes[x];
    const auto& b = after_.nodes[y];
    auto was = like_words(before_, a), is = like_words(after_, b);
    if (was != is) {
      diff_.changed.push_back({x, y, std::move(was) + " -> " + std::move(is)});
    }
  }

  /// Lines of text; equal lines are written once, with their count.
  class Lines {
   public:
    void add(std::string line) {
      const auto [found, is_new] = places_.emplace(line, counts_.size());
      if (is_new) {
        counts_.emplace_back(std::move(line), 0);
      }
      ++counts_[found->second].second;
    }
    void write(std::string& text) const {
      for (const auto& [line, count] : counts_) {
        text += '\n' + line + (count > 1 ? "  " + times_words(count) : "");
      }
    }

   private:
    std::unordered_map<std::string, size_t> places_;
    std::vector<std::pair<std::string, uint64_t>> counts_;
  };

  void write() {
    auto& text = diff_.text;
    if (diff_.empty()) {
      text = "no difference: " + total_words(after_) + '\n';
      return;
    }
    text =
        "before: " + total_words(before_) + "\nafter:  " + total_words(after_);
    Lines lines;
    for (const auto id : diff_.removed) {
      const auto& node = before_.nodes[id];
      lines.add("- " + title_of(node) + "  " + like_words(before_, node));
    }
    for (const auto id : diff_.added) {
      const auto& node = after_.nodes[id];
      lines.add("+ " + title_of(node) + "  " + like_words(after_, node));
    }
    for (const auto& node : diff_.changed) {
      lines.add("~ " + title_of(after_.nodes[node.after]) + "  " + node.what);
    }
    lines.write(text);
  }

  const Graph& before_;
  const Graph& after_;
  GraphDiff diff_;
  std::map<std::pair<std::string_view, std::string_view>, uint32_t> numbers_;
};

}  // namespace libgrad::detail
