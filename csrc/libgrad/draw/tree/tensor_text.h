/// libgrad/draw/tree/tensor_text.h -- the live graph behind a tensor as a tree
/// of lines.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/graph/node.h>

#include <map>
#include <sstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `to_text` of a tensor.
struct TextOptions {
  /// Names for leaves: {{"weight", w}}.
  std::map<std::string, at::Tensor> params = {};
  /// How many levels are drawn below the root.
  size_t max_depth = 32;
};

namespace detail {

/// Draws one graph. It walks with a stack of its own, so depth costs no stack
/// frames.
class TextWriter {
 public:
  explicit TextWriter(const TextOptions& options)
      : max_depth_(options.max_depth) {
    for (const auto& [name, tensor] : options.params) {
      names_.emplace(tensor.unsafeGetTensorImpl(), name);
    }
  }

  std::string draw(const Node& root, uint32_t output_nr) {
    std::vector<Line> stack{{root, output_nr, "", "", 0}};
    while (!stack.empty()) {
      const Line line = std::move(stack.back());
      stack.pop_back();
      if (write(line)) {
        push_children(line, stack);
      }
    }
    if (const size_t hidden = count(root) - drawn_.size()) {
      out_ << "(" << hidden << " more node" << (hidden == 1 ? "" : "s")
           << " below depth " << max_depth_ << ")\n";
    }
    return out_.str();
  }

 private:
  struct Line {
    Node node;
    uint32_t input_nr;
    std::string lead;   // drawn before this line
    std::string below;  // drawn before the lines of its children
    size_t depth;
  };

  /// Writes one line; true when the children belong below it.
  bool write(const Line& line) {
    const void* id = line.node.get().get();
    if (line.depth > max_depth_ && drawn_.count(id) == 0) {
      out_ << line.lead << "...\n";
      return false;
    }
    const bool first = drawn_.insert(id).second;
    out_ << line.lead << line.node.name();
    if (line.input_nr != 0) {
      out_ << " (output " << line.input_nr << ')';
    }
    write_label(line);
    const bool leaf = line.node.get()->num_outputs() == 0;
    if (!first && !leaf) {
      out_ << "  (drawn above)";
    }
    out_ << '\n';
    return first && !leaf;
  }

  /// "  x: float32 [2, 3]", as far as it is known.
  void write_label(const Line& line) {
    const auto variable = line.node.variable();
    out_ << "  ";
    if (variable.defined()) {
      const auto name = names_.find(variable.unsafeGetTensorImpl());
      if (name != names_.end()) {
        out_ << name->second << ": ";
      }
    }
    const auto inputs = line.node.inputs();
    if (line.input_nr >= inputs.size() || !inputs[line.input_nr]) {
      out_ << "(shape unknown)";
      return;
    }
    const auto& input = *inputs[line.input_nr];
    out_ << type_words(input.dtype, c10::SymIntArrayRef(input.shape));
    if (!input.device.is_cpu()) {
      out_ << " on " << input.device;
    }
  }

  void push_children(const Line& line, std::vector<Line>& stack) {
    std::vector<Node::Next> next;
    for (auto& child : line.node.next()) {
      if (child.first) {
        next.push_back(std::move(child));
      }
    }
    for (size_t i = next.size(); i-- > 0;) {
      const bool last = i + 1 == next.size();
      stack.push_back(
          {*next[i].first,
           next[i].second,
           line.below + (last ? "└── " : "├── "),
           line.below + (last ? "    " : "│   "),
           line.depth + 1});
    }
  }

  /// The number of nodes that can be reached from `root`.
  static size_t count(const Node& root) {
    std::unordered_set<const torch::autograd::Node*> seen{root.get().get()};
    std::vector<const torch::autograd::Node*> stack{root.get().get()};
    while (!stack.empty()) {
      const auto* node = stack.back();
      stack.pop_back();
      for (const auto& edge : node->next_edges()) {
        if (edge.is_valid() && seen.insert(edge.function.get()).second) {
          stack.push_back(edge.function.get());
        }
      }
    }
    return seen.size();
  }

  std::ostringstream out_;
  std::unordered_set<const void*> drawn_;
  std::unordered_map<const at::TensorImpl*, std::string> names_;
  size_t max_depth_;
};

}  // namespace detail
}  // namespace libgrad
