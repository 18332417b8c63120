/// libgrad/graph/read_node.h -- kinds, names and origins of nodes.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/record/origins.h>
#include <libgrad/torch/autograd/name_tag.h>
#include <libgrad/torch/autograd/node_names.h>
#include <libgrad/torch/saved/of_node.h>

#include <c10/core/SymIntArrayRef.h>

#include <array>
#include <cstdint>
#include <map>
#include <string_view>
#include <tuple>
#include <unordered_map>

namespace libgrad::detail {

/// "Mul" for "MulBackward0"; empty for "AccumulateGrad".
inline std::string_view op_of(std::string_view name) {
  const auto place = name.rfind("Backward");
  return place == name.npos ? std::string_view() : name.substr(0, place);
}

/// How the nodes of a class are read, and the names of one node.
struct NodeWords {
  KnownNode known;
  std::string_view name;
  std::string_view op;
};

inline NodeKind kind_of(const RawNode& node, const KnownNode& known) {
  switch (known.layout) {
    case KnownNode::kLeaf:
      return NodeKind::kLeaf;
    case KnownNode::kCopySlices:
      return NodeKind::kView;
    case KnownNode::kCpp:
      return NodeKind::kFunction;
    case KnownNode::kPython:
      return node.is_aot_backward() ? NodeKind::kCompiled : NodeKind::kPython;
    case KnownNode::kUnknown:
      return NodeKind::kOther;
    default:
      return NodeKind::kOperator;
  }
}

inline Index count_hooks(RawNode& node) {
  return static_cast<Index>(
      node.pre_hooks().size() + node.post_hooks().size() +
      node.tensor_pre_hooks().size() + node.retains_grad_hooks().size());
}

/// Reads the names that the program gave to the node's outputs. They lie in a
/// NameTag, which does not count as a hook.
inline void read_names(RawNode& source, Graph& graph, GraphNode& node) {
  if (source.pre_hooks().empty()) {
    return;
  }
  const auto* const tag = NameTag::find(source);
  if (tag == nullptr) {
    return;
  }
  std::string text;
  for (const auto& [output, name] : tag->names()) {
    text += text.empty() ? name : ", " + name;
  }
  node.label = graph.keep(text);
  --node.hooks;
}

/// The name of `tensor`, kept by `graph`.
inline std::string_view keep_name(Graph& graph, const c10::TensorImpl& tensor) {
  const auto name = name_of(tensor);
  return name.empty() ? name : graph.keep(name);
}

/// The name of a saved tensor, kept by `graph`.
inline std::string_view keep_label(Graph& graph, const SavedPlace& place) {
  if (!place.label.empty()) {
    return graph.keep(place.label);
  }
  return place.tensor != nullptr
             ? keep_name(graph, *place.tensor->unsafeGetTensorImpl())
             : std::string_view();
}

/// Names of nodes, kept by a graph. Where all nodes of a class have the same
/// name, only the first one is asked for it.
class NodeDictionary {
 public:
  explicit NodeDictionary(Graph& graph) : graph_(graph) {}

  NodeWords operator()(const RawNode& node) {
    auto& words = words_of(typeid(node));
    if (words.name.empty() || has_own_name(words.known)) {
      words.name = graph_.keep(node_name(node.name()));
      words.op = op_of(words.name);
    }
    if (words.known.layout == KnownNode::kCopySlices) {
      words.op =
          op_of_view(static_cast<const torch::autograd::CopySlices&>(node));
    }
    return words;
  }

 private:
  NodeWords& words_of(const std::type_info& type) {
    auto& recent = recent_[reinterpret_cast<uintptr_t>(&type) / 16 % 64];
    if (recent.type != &type) {
      const auto [found, is_new] = classes_.try_emplace(&type);
      if (is_new) {
        found->second.known = known_node(type);
      }
      recent = {&type, &found->second};
    }
    return *recent.words;
  }

  static bool has_own_name(const KnownNode& known) {
    return known.layout == KnownNode::kCpp ||
           known.layout == KnownNode::kPython ||
           known.layout == KnownNode::kUnknown;
  }

  /// The operator that wrote into the view.
  std::string_view op_of_view(const torch::autograd::CopySlices& node) {
    return node.fn ? op_of(graph_.keep(node_name(node.fn->name())))
                   : std::string_view();
  }

  Graph& graph_;
  std::unordered_map<const std::type_info*, NodeWords> classes_;
  struct Recent {
    const std::type_info* type = nullptr;
    NodeWords* words = nullptr;
  };
  std::array<Recent, 64> recent_;  // a cache, by address of the type
};

/// Lines of source by place; each place is looked up once.
class Lines {
 public:
  explicit Lines(Graph& graph) : graph_(graph) {}

  void put(const Place& place, GraphOrigin& origin) {
    if (place.key == nullptr) {
      return;
    }
    auto [found, is_new] = lines_.try_emplace({place.key, place.at});
    if (is_new) {
      const auto [file, line] = source_of(place);
      found->second = {graph_.keep(file), static_cast<Index>(line)};
    }
    std::tie(origin.file, origin.line) = found->second;
  }

 private:
  Graph& graph_;
  std::map<std::pair<const void*, int32_t>, std::pair<std::string_view, Index>>
      lines_;
};

/// Fills in the origins of the nodes that were made under a Record.
inline void fill_origins(Graph& graph) {
  const auto& origins = Origins::instance();
  if (origins.empty()) {
    return;
  }
  Lines lines(graph);
  for (auto& node : graph.nodes) {
    if (const auto seen = origins.find(node.thread, node.sequence_nr)) {
      node.origin.op = graph.keep(origins.text(seen->op));
      node.origin.module = graph.keep(origins.text(seen->module));
      lines.put(seen->place, node.origin);
    }
  }
}

/// Adds the sizes to `graph.ints`; a symbolic size is -1.
inline Slice keep_sizes(Graph& graph, c10::SymIntArrayRef sizes) {
  const Slice slice{
      static_cast<Index>(graph.ints.size()), static_cast<Index>(sizes.size())};
  for (const auto& size : sizes) {
    graph.ints.push_back(size.maybe_as_int().value_or(-1));
  }
  return slice;
}

}  // namespace libgrad::detail
