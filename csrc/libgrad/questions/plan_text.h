/// libgrad/questions/plan_text.h -- a plan as a table.

#pragma once

#include <libgrad/graph/words.h>
#include <libgrad/questions/dry_run.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

namespace libgrad::detail {

/// Writes the first and the last steps of a plan, and those around the peak.
class PlanText {
 public:
  PlanText(const Graph& graph, const GraphPlan& plan)
      : graph_(graph),
        plan_(plan),
        usual_(usual_device(graph)) {}

  std::string run() {
    const auto steps = plan_.steps.size();
    add({"step", "node", "freed", "held", "gradients", "peak"});
    std::vector<bool> shown(steps, steps <= kMost);
    const auto show = [&](size_t from, size_t to) {
      for (auto i = from; i < std::min(to, steps); ++i) {
        shown[i] = true;
      }
    };
    show(0, kEnd);
    show(
        plan_.peak_step < kEnd ? 0 : plan_.peak_step - kEnd / 2,
        plan_.peak_step + kEnd / 2 + 1);
    show(steps - std::min(kEnd, steps), steps);
    for (size_t i = 0; i < steps;) {
      if (shown[i]) {
        add_step(i++);
        continue;
      }
      const auto first = i;
      while (i < steps && !shown[i]) {
        ++i;
      }
      add_gap(first, i);
    }
    return write();
  }

 private:
  using Row = std::array<std::string, 6>;
  static constexpr size_t kMost = 40;
  static constexpr size_t kEnd = 8;

  void add(Row row) {
    for (size_t i = 0; i < row.size(); ++i) {
      widths_[i] = std::max(widths_[i], width_of(row[i]));
    }
    rows_.push_back(std::move(row));
  }

  void add_step(size_t i) {
    const auto& step = plan_.steps[i];
    const auto& node = graph_.nodes[step.node];
    std::string title(node.name);
    if (const auto which = node.leaf.empty() ? node.origin.module : node.leaf;
        !which.empty()) {
      title += " (" + std::string(which) + ')';
    }
    add(
        {count_words(i),
         title + "  " + input_words(graph_, node, usual_),
         step.freed == 0 ? "" : bytes_words(step.freed),
         bytes_words(step.held),
         bytes_words(step.gradients),
         bytes_words(step.peak) + (i == plan_.peak_step ? "  ◀" : "")});
  }

  void add_gap(size_t first, size_t last) {
    int64_t freed = 0, peak = 0;
    for (auto i = first; i < last; ++i) {
      freed += plan_.steps[i].freed;
      peak = std::max(peak, plan_.steps[i].peak);
    }
    const auto& end = plan_.steps[last - 1];
    add(
        {"…",
         "(" + count_words(last - first, "step") + ")",
         freed == 0 ? "" : bytes_words(freed),
         bytes_words(end.held),
         bytes_words(end.gradients),
         bytes_words(peak)});
  }

  /// The number of characters: all bytes but the continuation bytes of UTF-8.
  static size_t width_of(std::string_view text) {
    return static_cast<size_t>(
        std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
  }

  std::string write() const {
    std::string text = count_words(plan_.steps.size(), "node") +
                       ": the graph holds " + bytes_words(plan_.start) +
                       " at the start, and at most " + bytes_words(plan_.peak) +
                       " with the gradients, in step " +
                       count_words(plan_.peak_step) + '\n';
    for (const auto& row : rows_) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string gap(widths_[i] - width_of(row[i]), ' ');
        const bool left = i == 1 || i + 1 == row.size();
        line += i == 0 ? "" : "  ";
        line += left ? row[i] + gap : gap + row[i];
      }
      line.erase(line.find_last_not_of(' ') + 1);
      text += line + '\n';
    }
    for (const auto& note : plan_.notes) {
      text += "not counted: " + note + '\n';
    }
    text.pop_back();
    return text;
  }

  const Graph& graph_;
  const GraphPlan& plan_;
  c10::Device usual_;
  std::vector<Row> rows_;
  std::array<size_t, 6> widths_{};
};

}  // namespace libgrad::detail
