/// libgrad/graph/take.h -- takes a snapshot: reads a graph node by node into
/// plain data.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp): the members of
/// Node and InputMetadata that are called here change nothing.
/// (topological_nr(), which marks the node, is not called.)

#pragma once

#include <libgrad/base/pointer_index.h>
#include <libgrad/graph/engine_order.h>
#include <libgrad/graph/memory.h>
#include <libgrad/graph/read_node.h>
#include <libgrad/graph/walk.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/memory/storage.h>

#include <limits>
#include <sstream>
#include <string>
#include <utility>

namespace libgrad::detail {

/// Reads the graph behind some edges. The edges must outlive the reader.
class GraphTaker {
 public:
  explicit GraphTaker(const edge_list& roots) {
    for (const auto& root : roots) {
      walk_.start_from(root);
    }
  }

  /// Adds a tensor whose edge is one of the roots.
  void add_root(const at::Tensor& tensor) {
    if (!tensor.is_leaf()) {
      memory_.ignore_owners(tensor);
    }
  }
  void add_name(const at::Tensor& tensor, std::string_view name) {
    names_.emplace(tensor.unsafeGetTensorImpl(), graph_.keep(name));
  }

  Graph take() && {
    walk_.run();
    const auto count = walk_.nodes().size();
    reserve(count);
    for (size_t i = 0; i < count; ++i) {
      if (i + kAhead < count) {
        prefetch(walk_.node(i + kAhead));
      }
      read(static_cast<Index>(i));
    }
    finish_memory();
    const auto order = EngineOrder(graph_).run();
    for (size_t i = 0; i < order.size(); ++i) {
      graph_.nodes[order[i]].order = static_cast<Index>(i);
    }
    fill_origins(graph_);
    graph_.identity_.nodes = std::move(walk_.nodes());
    return std::move(graph_);
  }

 private:
  static constexpr size_t kAhead = 8;  // nodes

  /// Prefetches the memory of a node while others are read.
  static void prefetch(const RawNode& node) {
    const auto* const place = reinterpret_cast<const char*>(&node);
    for (size_t line = 0; line < 5; ++line) {
      __builtin_prefetch(place + 64 * line);
    }
  }

  /// Most nodes take one gradient and save at most one tensor.
  void reserve(size_t count) {
    reserve_pages(graph_.nodes, count);
    reserve_pages(graph_.inputs, count);
    reserve_pages(graph_.saved, count);
    reserve_pages(graph_.ints, 2 * count);
    reserve_pages(tensors_, count);
    memory_.reserve(count);
  }

  void read(Index id) {
    RawNode& source = walk_.node(id);
    const auto words = dictionary_(source);
    auto& node = graph_.nodes.emplace_back();
    node.name = words.name;
    node.kind = kind_of(source, words.known);
    node.sequence_nr = source.sequence_nr();
    node.thread = source.thread_id();
    node.outputs = source.num_outputs();
    node.hooks = count_hooks(source);
    read_names(source, graph_, node);
    node.origin.op = words.op;
    read_inputs(source, node);
    node.edges = walk_.edges_of(id);
    if (words.known.layout == KnownNode::kLeaf) {
      read_leaf(source, node, id);
    } else {
      read_tensors(source, words.known, node, id);
    }
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

  void read_leaf(RawNode& source, GraphNode& node, Index id) {
    const auto& leaf =
        static_cast<torch::autograd::AccumulateGrad&>(source).variable;
    graph_.leaves.push_back(id);
    if (!leaf.defined()) {
      return;
    }
    memory_.hold_leaf(leaf, id);
    node.has_grad = leaf.unsafeGetTensorImpl()->grad().defined();
    graph_.identity_.leaves.push_back(
        {keep_address(leaf.unsafeGetTensorImpl()), id});
    const auto name = names_.find(leaf.unsafeGetTensorImpl());
    node.leaf = name != names_.end()
                    ? name->second
                    : keep_name(graph_, *leaf.unsafeGetTensorImpl());
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
    saved.label = keep_label(graph_, place);
    tensors_.push_back(kNothing);
    if (place.tensor != nullptr) {
      tensors_.back() = memory_.hold(*place.tensor, place.by_python);
      describe(*place.tensor->unsafeGetTensorImpl(), saved);
    } else if (place.packed != nullptr) {
      const auto field = saved.field;
      read_pack(*place.packed, packs_, [&](const SavedPlace& held) {
        add_packed(held, field, id);
      });
    }
  }

  /// Adds a tensor in what a hook packed (without a field), or a tensor that
  /// the hook holds besides (with one).
  void add_packed(const SavedPlace& held, std::string_view field, Index id) {
    auto& saved = graph_.saved.back();
    if (held.field.empty() && tensors_.back() == kNothing &&
        saved.state == SavedState::kPacked) {
      tensors_.back() = memory_.hold(*held.tensor, held.by_python);
      describe(*held.tensor->unsafeGetTensorImpl(), saved);
      saved.saved_version = held.version;  // of what the hook packed
    } else {
      auto place = held;
      place.field = held.field.empty() ? field : held.field;
      add_saved(place, false, id);
    }
  }

  void describe(const c10::TensorImpl& impl, GraphSaved& saved) {
    saved.version = version_of(impl);
    saved.dtype = c10::typeMetaToScalarType(impl.dtype());
    saved.device = device_of(impl);
    saved.nested = impl.is_nested();
    saved.number = impl.is_wrapped_number();
    if (saved.nested) {
      return;
    }
    saved.shape = keep_sizes(graph_, impl.sym_sizes_default());
    saved.nbytes = static_cast<int64_t>(impl.dtype().itemsize());
    for (const auto size : graph_.shape_of(saved)) {
      saved.nbytes = size < 0 ? 0 : saved.nbytes * size;
    }
    saved.offset = impl.sym_storage_offset_default().maybe_as_int().value_or(0);
  }

  /// Fills in storages and their owners, leaves of saved tensors, and bytes of
  /// nodes.
  void finish_memory() {
    memory_.find_owners();
    const auto count = memory_.storages().size();
    std::vector<Index> places(count, kNothing);  // in graph_.storages
    std::vector<Index> last(count, kNothing);  // the last node that counted it
    for (size_t i = 0; i < tensors_.size(); ++i) {
      if (tensors_[i] == kNothing) {
        continue;
      }
      auto& saved = graph_.saved[i];
      saved.leaf = memory_.leaf_of(tensors_[i]);
      const auto& tensor = memory_.tensor(tensors_[i]);
      const Index storage = tensor.storage;
      if (storage == kNothing) {
        continue;
      }
      if (places[storage] == kNothing) {
        places[storage] = add_storage(memory_.storages()[storage]);
      }
      saved.storage = places[storage];
      const auto& held = memory_.storages()[storage];
      if (held.owner != Owner::kGraph || held.root) {
        find_part(*tensor.impl, static_cast<Index>(i), held.nbytes);
      }
      if (last[storage] != saved.node) {
        last[storage] = saved.node;
        count_bytes(graph_.storages[saved.storage], graph_.nodes[saved.node]);
      }
    }
  }

  Index add_storage(const GraphMemory::Storage& storage) {
    const auto place = static_cast<Index>(graph_.storages.size());
    graph_.storages.push_back(
        {storage.nbytes, storage.device, storage.owner, storage.root});
    count_bytes(graph_.storages.back(), graph_);
    if (storage.owner != Owner::kGraph || storage.root) {
      graph_.identity_.memories.push_back({keep_address(storage.impl), place});
    }
    return place;
  }

  void find_part(const c10::TensorImpl& impl, Index place, int64_t nbytes) {
    if (!fills(impl, graph_.saved[place].nbytes, nbytes)) {
      graph_.identity_.parts.push_back({place, span_of(impl)});
    }
  }

  /// Adds the bytes of `storage` to those of a node, or of the graph.
  template <class Whole>
  static void count_bytes(const GraphStorage& storage, Whole& whole) {
    whole.nbytes += storage.nbytes;
    if (storage.owner == Owner::kGraph) {
      whole.exclusive_nbytes += storage.nbytes;
    }
  }

  Graph graph_;
  GraphWalk walk_{graph_};
  NodeDictionary dictionary_{graph_};
  GraphMemory memory_;
  PointerIndex packs_;          // hooks whose own tensors were read
  std::vector<Index> tensors_;  // indices in memory_, by index in graph_.saved
  std::unordered_map<const c10::TensorImpl*, std::string_view> names_;
};

/// The graph behind `roots`, which include the edges of `tensors`. `names` are
/// names of leaves.
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
