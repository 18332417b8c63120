/// libgrad/detail/take_graph.h -- a graph, read node by node into plain data.
///
/// Relies on (covered by tests/cpp/test_snapshot.cpp): what is called here of
/// a Node and of an InputMetadata reads and changes nothing; topological_nr(),
/// which marks the node, is not among it.

#pragma once

#include <libgrad/detail/edges.h>
#include <libgrad/detail/engine_order.h>
#include <libgrad/detail/graph_memory.h>
#include <libgrad/detail/saved_nodes.h>

#include <limits>
#include <sstream>
#include <string>
#include <utility>

namespace libgrad::detail {

/// What is the same for all nodes of a class.
struct NodeWords {
  KnownNode known;
  std::string_view name;  // empty where each node has its own
  std::string_view op;
};

/// "Mul" for "MulBackward0".
inline std::string_view op_of(std::string_view name) {
  const auto place = name.rfind("Backward");
  return place == name.npos ? std::string_view() : name.substr(0, place);
}

/// The sizes as numbers; -1 for one that is a symbol.
inline Slice keep_sizes(Graph& graph, c10::SymIntArrayRef sizes) {
  const Slice slice{
      static_cast<Index>(graph.ints.size()), static_cast<Index>(sizes.size())};
  for (const auto& size : sizes) {
    graph.ints.push_back(size.maybe_as_int().value_or(-1));
  }
  return slice;
}

/// Reads the graph behind some edges, which must outlive it.
class GraphTaker {
 public:
  explicit GraphTaker(const edge_list& roots) {
    for (const auto& root : roots) {
      const Index node = id_of(*root.function);
      graph_.roots.push_back({node, root.input_nr});
    }
  }

  /// A root as a tensor; `names` are those of leaves.
  void add_root(const at::Tensor& tensor) {
    if (!tensor.is_leaf()) {
      memory_.ignore_owners(tensor);
    }
  }
  void add_name(const at::Tensor& tensor, std::string_view name) {
    names_.emplace(tensor.unsafeGetTensorImpl(), graph_.keep(name));
  }

  Graph take() && {
    for (size_t i = 0; i < nodes_.size(); ++i) {  // grows meanwhile
      read(static_cast<Index>(i));
    }
    finish_memory();
    const auto order = EngineOrder(graph_).run();
    for (size_t i = 0; i < order.size(); ++i) {
      graph_.nodes[order[i]].order = static_cast<Index>(i);
    }
    return std::move(graph_);
  }

 private:
  Index id_of(RawNode& node) {
    const auto [found, is_new] =
        ids_.emplace(&node, static_cast<Index>(nodes_.size()));
    const Index id = found->second;
    if (is_new) {
      TORCH_CHECK(id != kNothing, "graph: more than 4294967294 nodes");
      nodes_.push_back(&node);
    }
    return id;
  }

  void read(Index id) {
    RawNode& source = *nodes_[id];
    const auto& words = words_of(source);
    auto& node = graph_.nodes.emplace_back();
    node.sequence_nr = source.sequence_nr();
    node.thread = source.thread_id();
    node.hooks = count_hooks(source);
    node.outputs = source.num_outputs();
    node.kind = kind_of(source, words.known);
    node.name = words.name;
    node.origin.op = words.op;
    if (words.name.empty()) {
      node.name = graph_.keep(node_name(source.name()));
      node.origin.op = op_of(node.name);
    }
    read_inputs(source, node);
    read_edges(source, node, id);
    if (words.known.layout == KnownNode::kLeaf) {
      read_leaf(source, node, id);
    } else {
      read_tensors(source, words.known, node, id);
    }
  }

  const NodeWords& words_of(RawNode& node) {
    const auto& type = typeid(node);
    const auto [found, is_new] = words_.try_emplace(&type);
    auto& words = found->second;
    if (is_new) {
      words.known = class_of(type);
      const auto layout = words.known.layout;
      if (layout == KnownNode::kTable || layout == KnownNode::kLeaf ||
          layout == KnownNode::kEmpty) {
        words.name = graph_.keep(node_name(node.name()));
        words.op = op_of(words.name);
      }
    }
    if (words.known.layout == KnownNode::kCopySlices) {
      read_view(static_cast<torch::autograd::CopySlices&>(node), words);
    }
    return words;
  }

  /// The operator that wrote into the view.
  void read_view(torch::autograd::CopySlices& node, NodeWords& words) {
    words.name = graph_.keep("CopySlices");
    words.op = node.fn ? op_of(graph_.keep(node_name(node.fn->name())))
                       : std::string_view();
  }

  static NodeKind kind_of(const RawNode& node, const KnownNode& known) {
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

  static Index count_hooks(RawNode& node) {
    return static_cast<Index>(
        node.pre_hooks().size() + node.post_hooks().size() +
        node.tensor_pre_hooks().size() + node.retains_grad_hooks().size());
  }

  void read_inputs(RawNode& source, GraphNode& node) {
    node.inputs = {
        static_cast<Index>(graph_.inputs.size()),
        static_cast<Index>(source.num_inputs())};
    for (uint32_t i = 0; i < source.num_inputs(); ++i) {
      const auto& metadata = source.input_metadata(i);
      auto& input = graph_.inputs.emplace_back();
      if (metadata.was_default_constructed()) {
        continue;
      }
      input.dtype = c10::typeMetaToScalarType(metadata.dtype());
      input.device = metadata.device();
      input.nested = metadata.is_cpp_nested_tensor();
      if (!input.nested) {
        input.shape = keep_sizes(graph_, metadata.shape_as_dim_vector());
      }
      if (node.stream.empty() && !input.device.is_cpu() &&
          !input.device.is_meta()) {
        std::ostringstream stream;
        stream << metadata.stream();
        node.stream = graph_.keep(stream.str());
      }
    }
  }

  void read_edges(RawNode& source, GraphNode& node, Index id) {
    node.edges.first = static_cast<Index>(graph_.edges.size());
    const auto& edges = source.next_edges();
    for (size_t i = 0; i < edges.size(); ++i) {
      if (edges[i].is_valid()) {
        graph_.edges.push_back(
            {id,
             static_cast<Index>(i),
             id_of(*edges[i].function),
             edges[i].input_nr});
      }
    }
    node.edges.count =
        static_cast<Index>(graph_.edges.size()) - node.edges.first;
  }

  void read_leaf(RawNode& source, GraphNode& node, Index id) {
    const auto& leaf =
        static_cast<torch::autograd::AccumulateGrad&>(source).variable;
    graph_.leaves.push_back(id);
    if (!leaf.defined()) {
      return;
    }
    memory_.hold_leaf(leaf, id);
    const auto name = names_.find(leaf.unsafeGetTensorImpl());
    if (name != names_.end()) {
      node.leaf = name->second;
    }
  }

  void read_tensors(
      RawNode& source, const KnownNode& known, GraphNode& node, Index id) {
    node.saved.first = static_cast<Index>(graph_.saved.size());
    const auto note = read_saved(source, known, [&](const SavedPlace& place) {
      add_saved(place, known.layout == KnownNode::kTable, id);
    });
    node.saved.count =
        static_cast<Index>(graph_.saved.size()) - node.saved.first;
    if (!note.empty()) {
      node.note = graph_.keep(note);
    }
  }

  void add_saved(const SavedPlace& place, bool literal, Index id) {
    auto& saved = graph_.saved.emplace_back();
    saved.node = id;
    saved.field = literal ? place.field : graph_.keep(place.field);
    saved.index = place.index;
    saved.state = place.state;
    saved.hooks = place.hooks;
    saved.output = place.output;
    saved.saved_version = place.version;
    tensors_.push_back(place.tensor);
    if (place.tensor != nullptr) {
      describe_saved(*place.tensor, place.by_python, saved);
    }
  }

  void describe_saved(
      const at::Tensor& tensor, bool by_python, GraphSaved& saved) {
    const auto& impl = *tensor.unsafeGetTensorImpl();
    saved.version = version_of(impl);
    saved.dtype = c10::typeMetaToScalarType(impl.dtype());
    saved.device = device_of(impl);
    saved.storage = memory_.hold(tensor, by_python);
    saved.nested = impl.is_nested();
    if (saved.nested) {
      return;
    }
    saved.shape = keep_sizes(graph_, impl.sym_sizes_default());
    saved.nbytes = static_cast<int64_t>(impl.dtype().itemsize());
    for (const auto size : graph_.shape_of(saved)) {
      saved.nbytes = size < 0 ? 0 : saved.nbytes * size;
    }
    if (saved.storage != kNothing) {
      saved.offset =
          impl.sym_storage_offset_default().maybe_as_int().value_or(-1);
    }
  }

  /// Storages and their owners, leaves behind tensors, bytes of nodes.
  void finish_memory() {
    std::vector<Index> places(memory_.size(), kNothing);  // in graph_.storages
    std::vector<Index> last(memory_.size(), kNothing);    // node that has it
    const auto owners = memory_.owners();
    for (size_t i = 0; i < tensors_.size(); ++i) {
      auto& saved = graph_.saved[i];
      if (tensors_[i] == nullptr) {
        continue;
      }
      saved.leaf = memory_.leaf_of(*tensors_[i]);
      const Index storage = saved.storage;
      if (storage == kNothing) {
        continue;
      }
      if (places[storage] == kNothing) {
        places[storage] = static_cast<Index>(graph_.storages.size());
        add_storage(storage, owners[storage]);
      }
      saved.storage = places[storage];
      if (last[storage] != saved.node) {
        last[storage] = saved.node;
        const auto& bytes = graph_.storages[saved.storage];
        auto& node = graph_.nodes[saved.node];
        node.nbytes += bytes.nbytes;
        node.exclusive_nbytes +=
            bytes.owner == Owner::kGraph ? bytes.nbytes : 0;
      }
    }
  }

  void add_storage(Index storage, Owner owner) {
    const auto nbytes = memory_.nbytes(storage);
    graph_.storages.push_back({nbytes, memory_.device(storage), owner});
    graph_.nbytes += nbytes;
    graph_.exclusive_nbytes += owner == Owner::kGraph ? nbytes : 0;
  }

  Graph graph_;
  GraphMemory memory_;
  std::vector<RawNode*> nodes_;             // by id
  std::vector<const at::Tensor*> tensors_;  // beside graph_.saved
  ska::flat_hash_map<const RawNode*, Index> ids_;
  std::unordered_map<const std::type_info*, NodeWords> words_;
  std::unordered_map<const c10::TensorImpl*, std::string_view> names_;
};

/// Throws unless there is a graph behind `tensor`, the argument `i` of graph().
inline void check_root(const at::Tensor& tensor, size_t i) {
  TORCH_CHECK(
      tensor.defined() && tensor.requires_grad(),
      "graph: tensor ",
      i,
      " (",
      describe(tensor),
      ") does not require grad, so there is no graph behind it; compute it "
      "from a tensor with requires_grad=True, outside no_grad()");
}

/// The graph behind `roots`, the edges of `tensors` among them.
inline Graph take_graph(
    const edge_list& roots,
    const variable_list& tensors,
    const std::vector<std::pair<std::string, at::Tensor>>& names) {
  GraphTaker taker(roots);
  for (const auto& tensor : tensors) {
    taker.add_root(tensor);
  }
  for (const auto& [name, tensor] : names) {
    taker.add_name(tensor, name);
  }
  return std::move(taker).take();
}

}  // namespace libgrad::detail
