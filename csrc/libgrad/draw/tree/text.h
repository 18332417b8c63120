/// libgrad/draw/tree/text.h -- a snapshot as a tree of text lines.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/draw/tree/parts.h>
#include <libgrad/graph/words.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `to_text` of a `Graph`.
struct TreeOptions {
  /// Draw equal consecutive parts once, with "×12".
  bool fold = true;
  /// The most lines that are drawn; the nodes left out are counted.
  size_t max_lines = 1000;
};

namespace detail {

/// Writes a tree. It walks with a stack of its own, so depth costs no stack
/// frames.
class TreeWriter {
 public:
  TreeWriter(const Graph& graph, const TreeOptions& options)
      : graph_(graph),
        options_(options),
        parts_(graph),
        tree_(parts_.tree),
        usual_(usual_device(graph)),
        drawn_(graph.nodes.size(), false) {}

  std::string write() {
    for (size_t i = tree_.roots.size(); i-- > 0;) {
      stack_.push_back(whole(tree_.roots[i], "", ""));
    }
    while (!stack_.empty() && lines_.size() < options_.max_lines) {
      Work work = std::move(stack_.back());
      stack_.pop_back();
      switch (work.kind) {
        case Work::kBlocks:
          blocks(work);
          break;
        case Work::kHead:
          head(work);
          break;
        case Work::kFoot:
          foot(work);
          break;
      }
    }
    std::string text = joined();
    if (const auto left = std::ranges::count(drawn_, false); left > 0) {
      text += "... (" + count_words(static_cast<uint64_t>(left), "more node") +
              ")\n";
    }
    return text + '\n' + total_words(graph_) + '\n';
  }

 private:
  /// Blocks of a trunk to be written, or the line of a frame above or below
  /// them.
  struct Work : TreePart {
    enum Kind : uint8_t { kBlocks, kHead, kFoot } kind = kBlocks;
    size_t alike = 1;             // equal branches that this one stands for
    std::string first_lead = {};  // before the first line,
    std::string lead = {};        // and before the others
    std::string names = {};       // replace the name of the first leaf
    int64_t nbytes = 0;           // of the first blocks of the equal branches
  };

  struct Line {
    std::string text;
    int64_t nbytes;
  };

  Work whole(Index trunk, std::string first_lead, std::string lead) const {
    Work work;
    work.trunk = trunk;
    work.count = tree_.trunks[trunk].blocks.size();
    work.first_lead = std::move(first_lead);
    work.lead = std::move(lead);
    return work;
  }

  /// Writes one block, or divides several into blocks and repeats.
  void blocks(const Work& work) {
    if (work.count == 1) {
      row(work);
      return;
    }
    std::vector<Work> parts;
    size_t next = work.first;
    const auto add_single = [&](size_t end) {
      for (; next < end; ++next) {
        parts.push_back(part(work, next, 1, 1));
      }
    };
    if (options_.fold) {
      for (const auto& each : parts_.worthwhile(work)) {
        add_single(each.first);
        next = each.end();
        add_repeat(parts, part(work, each.first, each.length, each.count));
      }
    }
    add_single(work.first + work.count);
    parts.front().first_lead = work.first_lead;
    parts.front().alike = work.alike;
    parts.front().names = work.names;
    parts.front().nbytes = work.nbytes;
    stack_.insert(
        stack_.end(),
        std::make_move_iterator(parts.rbegin()),
        std::make_move_iterator(parts.rend()));
  }

  static Work part(const Work& of, size_t first, size_t count, size_t times) {
    Work work;
    work.trunk = of.trunk;
    work.first = first;
    work.count = count;
    work.times = times;
    work.first_lead = work.lead = of.lead;
    return work;
  }

  /// Adds a repeat, in a frame where one copy has several lines.
  void add_repeat(std::vector<Work>& parts, Work repeat) const {
    const auto& block = tree_.trunks[repeat.trunk].blocks[repeat.first];
    if (repeat.count == 1 && block.lines == 1) {
      parts.push_back(std::move(repeat));
      return;
    }
    Work inside = repeat;
    inside.times = 1;
    inside.first_lead = inside.lead = repeat.lead + "│ ";
    Work end = repeat;
    end.kind = Work::kFoot;
    repeat.kind = Work::kHead;
    parts.push_back(std::move(repeat));
    parts.push_back(std::move(inside));
    parts.push_back(std::move(end));
  }

  void head(const Work& work) {
    std::string text = work.first_lead + "╭─ " + times_words(work.times);
    const auto last =
        parts_.name(work, 0);  // backward begins with the last one
    const auto first = parts_.name(work, work.times - 1);
    if (!first.empty()) {
      text += "  " + plain(first == last ? first : first + " … " + last);
    }
    lines_.push_back({std::move(text), parts_.nbytes(work)});
    frames_.push_back(work);
  }

  void foot(const Work& work) {
    lines_.push_back({work.lead + "╰─", 0});
    frames_.pop_back();
    parts_.each_node(work, 1, work.times, [&](const TreeBlock& block) {
      drawn_[block.node] = true;
    });
  }

  void row(const Work& work) {
    const auto& block = tree_.trunks[work.trunk].blocks[work.first];
    const auto& node = graph_.nodes[block.node];
    const size_t times = work.times * work.alike;
    auto text =
        work.first_lead + line_words(graph_, block, usual_, times, work.names);
    const bool leaf = node.kind == NodeKind::kLeaf;
    if (block.reference && !leaf) {
      text += where(block);
    }
    int64_t nbytes = block.reference ? 0 : node.nbytes;
    if (times > 1) {
      parts_.each_node(work, 1, work.times, [&](const TreeBlock& each) {
        drawn_[each.node] = true;
      });
      nbytes = work.alike > 1 ? work.nbytes : parts_.nbytes(work);
    }
    lines_.push_back({std::move(text), nbytes});
    drawn_[block.node] = drawn_[block.node] || !block.reference;
    branches(work, block);
  }

  std::string where(const TreeBlock& block) const {
    for (const auto& frame : frames_) {
      const auto& all = tree_.trunks[frame.trunk].blocks;
      for (size_t i = frame.first + frame.count; i < frame.end(); ++i) {
        if (all[i].node == block.node) {
          return "  (in the next copy)";
        }
      }
    }
    return drawn_[block.node] ? "  (drawn above)" : "  (drawn below)";
  }

  /// Pushes the branches of a block, from top to bottom; equal consecutive
  /// branches become one.
  void branches(const Work& work, const TreeBlock& block) {
    const auto& list = block.branches;
    const bool goes_on = work.end() < tree_.trunks[work.trunk].blocks.size();
    std::vector<Work> parts;
    for (size_t i = 0; i < list.size();) {
      size_t end = i + 1;
      while (end < list.size() &&
             tree_.trunks[list[end]].label == tree_.trunks[list[i]].label) {
        ++end;
      }
      const size_t lines = tree_.trunks[list[i]].lines;
      if (!options_.fold || (end - i - 1) * lines < 4) {
        end = i + 1;
      }
      const bool last = end == list.size() && !goes_on;
      auto branch = whole(
          list[i],
          work.lead + (last ? "└── " : "├── "),
          work.lead + (last ? "    " : "│   "));
      branch.alike = end - i;
      if (branch.alike > 1) {
        cover(branch, {list.data() + i, list.data() + end});
      }
      parts.push_back(std::move(branch));
      i = end;
    }
    stack_.insert(
        stack_.end(),
        std::make_move_iterator(parts.rbegin()),
        std::make_move_iterator(parts.rend()));
  }

  /// Lets `branch` stand for all of `trunks`, which are equal.
  void cover(Work& branch, std::span<const Index> trunks) {
    ByteCount bytes(graph_);
    for (const Index trunk : trunks) {
      parts_.each_node(whole(trunk, "", ""), 0, 1, [&](const TreeBlock& each) {
        drawn_[each.node] = true;
      });
      bytes.add(graph_.nodes[tree_.trunks[trunk].blocks[0].node]);
    }
    branch.nbytes = bytes.total();
    branch.names = parts_.leaf_names(trunks.front(), trunks.back());
  }

  /// The lines, with their bytes in a column at the right.
  std::string joined() const {
    std::vector<size_t> widths;
    size_t widest = 0;
    size_t right = 0;
    for (const auto& line : lines_) {
      widths.push_back(columns(line.text));
      widest = std::max(widest, std::min(widths.back(), kWidest));
      if (line.nbytes > 0) {
        right = std::max(right, bytes_words(line.nbytes).size());
      }
    }
    std::string text;
    for (size_t i = 0; i < lines_.size(); ++i) {
      text += lines_[i].text;
      if (lines_[i].nbytes > 0) {
        const auto bytes = bytes_words(lines_[i].nbytes);
        const size_t end = std::max(widest, widths[i]) + 2 + right;
        text.append(end - widths[i] - bytes.size(), ' ');
        text += bytes;
      }
      text += '\n';
    }
    return text;
  }

  static constexpr size_t kWidest = 100;

  const Graph& graph_;
  const TreeOptions& options_;
  const TreeParts parts_;
  const Tree& tree_;
  const c10::Device usual_;
  std::vector<bool> drawn_;  // nodes that are drawn, or whose equal is
  std::vector<Line> lines_;
  std::vector<Work> stack_;
  std::vector<Work> frames_;
};

}  // namespace detail
}  // namespace libgrad
