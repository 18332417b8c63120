#include "bindings/graph/parts.h"

#include <libgrad/base/describe.h>
#include <libgrad/graph/words.h>

#include <sstream>

using libgrad::Graph;
using libgrad::GraphEdge;
using libgrad::GraphInput;
using libgrad::GraphNode;
using libgrad::GraphRoot;
using libgrad::GraphSaved;
using libgrad::GraphStorage;
using libgrad::kNothing;
using libgrad::SavedState;
using libgrad::detail::word_of;

namespace {

/// "float32 [2, 3]".
std::string in_words(
    at::ScalarType dtype, bool nested, std::span<const int64_t> sizes) {
  return nested ? libgrad::detail::dtype_name(dtype) + " nested"
                : libgrad::detail::type_words(dtype, sizes);
}

}  // namespace

std::string repr(const Part<GraphSaved>& part) {
  const auto& saved = part.get();
  std::string text = "SavedTensor(" + std::string(saved.field);
  if (saved.index != kNothing) {
    text += "[" + std::to_string(saved.index) + "]";
  }
  if (saved.state != SavedState::kHeld) {
    text += ", " + std::string(word_of(saved.state));
  }
  if (saved.dtype == at::ScalarType::Undefined) {
    return text + ")";
  }
  text +=
      ", " + in_words(saved.dtype, saved.nested, part.graph->shape_of(saved));
  text += ", " + std::to_string(saved.nbytes) + " bytes";
  return text + (is_stale(saved) ? ", stale)" : ")");
}

std::string repr(const Part<GraphInput>& part) {
  const auto& input = part.get();
  return "GraphInput(" +
         in_words(input.dtype, input.nested, part.graph->shape_of(input)) +
         " on " + input.device.str() + ")";
}

std::string repr(const Part<GraphNode>& part) {
  const auto& node = part.get();
  std::string text =
      "GraphNode(" + std::to_string(part.at) + ", " + std::string(node.name);
  if (!node.leaf.empty()) {
    text += " of " + std::string(node.leaf);
  }
  if (!node.label.empty()) {
    text += " named " + std::string(node.label);
  }
  if (node.saved.count != 0) {
    text += ", " + std::to_string(node.saved.count) + " saved, " +
            std::to_string(node.nbytes) + " bytes";
  }
  return text + ")";
}

std::string repr(const Part<GraphEdge>& part) {
  const auto& edge = part.get();
  std::ostringstream out;
  out << "GraphEdge(output " << edge.output << " of node " << edge.from
      << " to input " << edge.input << " of node " << edge.to << ')';
  return out.str();
}

std::string repr(const Part<GraphRoot>& part) {
  const auto& root = part.get();
  return "GraphRoot(input " + std::to_string(root.input) + " of node " +
         std::to_string(root.node) + ")";
}

std::string repr(const Part<GraphStorage>& part) {
  const auto& storage = part.get();
  return "GraphStorage(" + std::to_string(storage.nbytes) + " bytes on " +
         storage.device.str() + ", owner " +
         std::string(word_of(storage.owner)) + ")";
}

std::string repr(const Graph& graph) {
  const auto count = [](size_t n, std::string one, std::string many = "") {
    many = many.empty() ? one + "s" : many;
    return std::to_string(n) + " " + (n == 1 ? one : many);
  };
  return "Graph(" + count(graph.nodes.size(), "node") + ", " +
         count(graph.edges.size(), "edge") + ", " +
         count(graph.leaves.size(), "leaf", "leaves") + ", " +
         count(graph.saved.size(), "saved tensor") + ", " +
         count(graph.nbytes, "byte") + ")";
}
