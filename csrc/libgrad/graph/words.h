/// libgrad/graph/words.h -- parts of a graph in words, for pictures and
/// reports.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/base/format.h>
#include <libgrad/graph/snapshot.h>

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

inline std::string_view word_of(NodeKind kind) {
  switch (kind) {
    case NodeKind::kOperator:
      return "operator";
    case NodeKind::kLeaf:
      return "leaf";
    case NodeKind::kView:
      return "view";
    case NodeKind::kFunction:
      return "function";
    case NodeKind::kPython:
      return "python";
    case NodeKind::kCompiled:
      return "compiled";
    default:
      return "other";
  }
}

inline std::string_view word_of(SavedState state) {
  switch (state) {
    case SavedState::kHeld:
      return "held";
    case SavedState::kNone:
      return "none";
    case SavedState::kReleased:
      return "released";
    default:
      return "packed";
  }
}

inline std::string_view word_of(Owner owner) {
  switch (owner) {
    case Owner::kGraph:
      return "graph";
    case Owner::kLeaf:
      return "leaf";
    default:
      return "other";
  }
}

/// The device of all gradients of a graph; the CPU if they are on several
/// devices. Pictures do not mention this device.
inline c10::Device usual_device(const Graph& graph) {
  std::optional<c10::Device> usual;
  for (const auto& input : graph.inputs) {
    if (input.dtype == at::ScalarType::Undefined) {
      continue;
    }
    if (usual && *usual != input.device) {
      return c10::Device(c10::kCPU);
    }
    usual = input.device;
  }
  return usual.value_or(c10::Device(c10::kCPU));
}

/// "float32 [2, 3] on cuda:0", as far as it is known; the usual device is left
/// out.
inline std::string tensor_words(
    at::ScalarType dtype,
    std::span<const int64_t> shape,
    c10::Device device,
    bool nested,
    c10::Device usual) {
  if (dtype == at::ScalarType::Undefined) {
    return "(shape unknown)";
  }
  const auto words =
      nested ? dtype_name(dtype) + " nested" : type_words(dtype, shape);
  return device == usual ? words : words + " on " + device.str();
}

/// Gradient `input` of a node: "float32 [2, 3]"; "(shape unknown)" if the node
/// has no such input.
inline std::string input_words(
    const Graph& graph,
    const GraphNode& node,
    c10::Device usual,
    Index input = 0) {
  if (input >= node.inputs.count) {
    return "(shape unknown)";
  }
  const auto& meta = graph.inputs_of(node)[input];
  return tensor_words(
      meta.dtype, graph.shape_of(meta), meta.device, meta.nested, usual);
}

/// A saved tensor: "float32 [2, 3]", "nothing", "released".
inline std::string saved_words(
    const Graph& graph, const GraphSaved& saved, c10::Device usual) {
  switch (saved.state) {
    case SavedState::kNone:
      return "nothing";
    case SavedState::kReleased:
      return "released";
    case SavedState::kPacked:
      return "packed by a hook";
    case SavedState::kHeld:
      break;
  }
  return tensor_words(
      saved.dtype, graph.shape_of(saved), saved.device, saved.nested, usual);
}

/// Adds up the bytes of nodes, each storage once.
class ByteCount {
 public:
  explicit ByteCount(const Graph& graph) : graph_(graph) {}

  void add(const GraphNode& node) {
    for (const auto& saved : graph_.saved_of(node)) {
      if (saved.storage != kNothing) {
        storages_.push_back(saved.storage);
      }
    }
  }

  int64_t total() {
    std::ranges::sort(storages_);
    const auto rest = std::ranges::unique(storages_);
    int64_t total = 0;
    for (auto at = storages_.begin(); at != rest.begin(); ++at) {
      total += graph_.storages[*at].nbytes;
    }
    return total;
  }

 private:
  const Graph& graph_;
  std::vector<Index> storages_;
};

/// "self", or "tensors[2]" where the field is a list. The name that the program
/// gave a tensor other than a leaf follows: "self (attn_scores)".
inline std::string field_words(const GraphSaved& saved) {
  std::string words(saved.field);
  if (saved.index != kNothing) {
    words += '[' + std::to_string(saved.index) + ']';
  }
  return saved.label.empty() || saved.leaf != kNothing
             ? words
             : words + " (" + std::string(saved.label) + ')';
}

/// The title of a node in reports: "AddmmBackward0 (encoder.0)".
inline std::string title_of(const GraphNode& node) {
  std::string title(node.name);
  const auto which = !node.leaf.empty()    ? node.leaf
                     : !node.label.empty() ? node.label
                                           : node.origin.module;
  return which.empty() ? title : title + " (" + std::string(which) + ')';
}

/// Whether a saved tensor was written to since it was saved: backward refuses
/// it.
inline bool is_stale(const GraphSaved& saved) {
  return saved.state == SavedState::kHeld && saved.saved_version >= 0 &&
         saved.version >= 0 && saved.saved_version != saved.version;
}

/// "564 nodes, 310 saved tensors, 12 MiB (10 MiB exclusive)"; the usual device
/// follows if it is not the CPU.
inline std::string total_words(const Graph& graph) {
  size_t saved = 0;
  for (const auto& each : graph.saved) {
    saved += each.state == SavedState::kNone ? 0 : 1;
  }
  std::string words = count_words(graph.nodes.size(), "node") + ", " +
                      count_words(saved, "saved tensor");
  if (saved > 0) {
    words += ", " + bytes_words(graph.nbytes) + " (" +
             bytes_words(graph.exclusive_nbytes) + " exclusive)";
  }
  const auto usual = usual_device(graph);
  return usual.is_cpu() ? words : words + ", on " + usual.str();
}

/// "  encoder.0, model.py:12" as far as it was recorded.
inline std::string where_words(const GraphNode& node) {
  const auto& origin = node.origin;
  std::string words;
  if (!origin.module.empty()) {
    words += "  " + plain(origin.module);
  }
  if (!origin.file.empty()) {
    words += (words.empty() ? "  " : ", ") + plain(origin.file) + ':' +
             std::to_string(origin.line);
  }
  return words;
}

/// "node 3, AddmmBackward0".
inline std::string node_words(const Graph& graph, Index id) {
  return "node " + std::to_string(id) + ", " + plain(graph.nodes[id].name);
}

/// "'x' (node 3)" for a leaf with a name, else "node 3, AccumulateGrad".
inline std::string leaf_words(const Graph& graph, Index id) {
  const auto& node = graph.nodes[id];
  return node.leaf.empty()
             ? node_words(graph, id)
             : '\'' + plain(node.leaf) + "' (node " + std::to_string(id) + ')';
}

}  // namespace libgrad::detail
