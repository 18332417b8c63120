/// libgrad/graph/snapshot.h -- a graph as plain data.

#pragma once

#include <libgrad/base/index.h>
#include <libgrad/torch/memory/storage.h>
#include <libgrad/torch/saved/variable.h>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad {

namespace detail {

class GraphTaker;
class TensorFinder;

/// Addresses of nodes, tensors and storages, by which live tensors are found in
/// a snapshot.
struct GraphIdentity {
  struct Leaf {
    Kept tensor;
    uint32_t node;
  };
  struct Memory {
    Kept storage;
    uint32_t place;  // index in Graph::storages
  };
  struct Part {
    uint32_t saved;  // index in Graph::saved
    Span span;
  };

  std::vector<void*> nodes;  // by id; never dereferenced: a node may be gone
  std::vector<Leaf> leaves;
  std::vector<Memory> memories;  // storages that others, or roots, keep
  std::vector<Part> parts;       // saved tensors that do not fill one of them
};

}  // namespace detail

/// What made a node.
enum class NodeKind : uint8_t {
  kOperator,  // an operator of LibTorch
  kLeaf,      // AccumulateGrad: adds to the `.grad` of a leaf
  kView,      // CopySlices: an operator wrote into a view
  kFunction,  // a C++ Function, or a Python one that libgrad runs
  kPython,    // a Python Function of torch
  kCompiled,  // a graph that torch.compile made
  kOther,
};

/// Who keeps a storage that the graph holds.
enum class Owner : uint8_t {
  kGraph,  // only the graph: its bytes are freed with the graph
  kLeaf,   // a leaf of the graph
  kOther,  // others, too
};

/// A gradient that a node takes: the gradient of one output of the forward
/// operation.
struct GraphInput {
  Slice shape;  // in `Graph::ints`; -1 for a symbolic size
  at::ScalarType dtype = at::ScalarType::Undefined;  // when not known
  c10::Device device = c10::Device(c10::kCPU);
  bool nested = false;  // a nested tensor: no shape
};

/// An edge: gradient `output`, which node `from` computes, goes into `input` of
/// node `to`.
struct GraphEdge {
  Index from = 0;
  Index output = 0;
  Index to = 0;
  Index input = 0;
};

/// A tensor that a node saved for backward.
struct GraphSaved {
  Index node = 0;
  std::string_view field;  // the node's name for it: "self"
  Index index = kNothing;  // its index, where the field is a list
  SavedState state = SavedState::kNone;
  bool hooks = false;   // packed by hooks
  bool output = false;  // an output of the forward operation itself
  bool nested = false;  // a nested tensor: no shape
  bool number = false;  // a wrapped number: the 2 of x * 2
  Slice shape;          // in `Graph::ints`
  at::ScalarType dtype = at::ScalarType::Undefined;
  c10::Device device = c10::Device(c10::kCPU);
  int64_t saved_version = -1;  // -1 where not known
  int64_t version = -1;        // now; if changed, backward refuses the tensor
  Index storage = kNothing;    // index in `Graph::storages`
  int64_t offset = 0;      // of its first element in the storage, in elements
  int64_t nbytes = 0;      // of its own elements
  Index leaf = kNothing;   // node of the leaf that it is, or shares memory with
  std::string_view label;  // the name that the program gave it
};

/// A storage of saved tensors, counted once however many tensors lie in it.
struct GraphStorage {
  int64_t nbytes = 0;
  c10::Device device = c10::Device(c10::kCPU);
  Owner owner = Owner::kOther;
  bool root = false;  // a root tensor lies in it and keeps it alive
};

/// Where a node came from, as far as it was recorded.
struct GraphOrigin {
  std::string_view op;    // "aten::add.Tensor", or from the node's name: "Add"
  std::string_view file;  // empty when not recorded
  std::string_view module;  // "encoder.layers.3.linear1"
  Index line = 0;
};

/// A node of the graph.
struct GraphNode {
  std::string_view name;  // "MulBackward0"
  NodeKind kind = NodeKind::kOther;
  uint64_t sequence_nr = 0;  // UINT64_MAX for leaves
  uint64_t thread = 0;       // the thread that made it
  Index order = 0;           // position in backward, from 0
  Index outputs = 0;         // number of gradients that it computes
  Index hooks = 0;           // number of hooks registered on it
  bool has_grad = false;     // the leaf has a `.grad`
  Slice inputs;              // in `Graph::inputs`
  Slice edges;               // in `Graph::edges`, in the order of `output`
  Slice saved;               // in `Graph::saved`
  std::string_view leaf;     // a leaf's name, where one was given
  std::string_view label;    // the names of its outputs, where some were given
  std::string_view note;     // what could not be read, and why
  std::string_view stream;   // where it runs, empty on the CPU
  GraphOrigin origin;
  int64_t nbytes = 0;            // of what it saved, each storage once
  int64_t exclusive_nbytes = 0;  // of these, the bytes only the graph holds
};

/// A root: the input of a node where a gradient enters the graph.
struct GraphRoot {
  Index node = 0;
  Index input = 0;
};

/// A snapshot of a graph: plain data. It keeps no node and no tensor alive and
/// does not change when the graph does. The id of a node is its index in
/// `nodes`; the nodes of the roots come first.
class Graph {
 public:
  std::vector<GraphNode> nodes;
  std::vector<GraphEdge> edges;
  std::vector<GraphInput> inputs;
  std::vector<GraphSaved> saved;
  std::vector<GraphStorage> storages;
  std::vector<int64_t> ints;
  std::vector<GraphRoot> roots;  // one for each tensor that was given
  std::vector<Index> leaves;  // nodes of kind kLeaf, in the order they are met

  /// Bytes of all storages, each counted once.
  int64_t nbytes = 0;
  /// Of these, the bytes that are freed with the graph.
  int64_t exclusive_nbytes = 0;

  std::span<const GraphEdge> edges_of(const GraphNode& node) const {
    return part(edges, node.edges);
  }
  std::span<const GraphInput> inputs_of(const GraphNode& node) const {
    return part(inputs, node.inputs);
  }
  std::span<const GraphSaved> saved_of(const GraphNode& node) const {
    return part(saved, node.saved);
  }
  std::span<const int64_t> shape_of(const GraphInput& input) const {
    return part(ints, input.shape);
  }
  std::span<const int64_t> shape_of(const GraphSaved& tensor) const {
    return part(ints, tensor.shape);
  }

  /// Stores `text` as long as this graph lives: its string_views point to such
  /// copies.
  std::string_view keep(std::string_view text) {
    if (const auto found = known_.find(text); found != known_.end()) {
      return found->second;
    }
    const std::string_view kept = strings_.emplace_back(text);
    known_.emplace(kept, kept);
    return kept;
  }

  Graph() = default;
  Graph(Graph&&) = default;
  Graph& operator=(Graph&&) = default;
  Graph(const Graph&) = delete;  // its string_views would point into the other
  Graph& operator=(const Graph&) = delete;
  ~Graph() = default;

 private:
  friend class detail::GraphTaker;
  friend class detail::TensorFinder;

  template <class T>
  static std::span<const T> part(const std::vector<T>& list, Slice slice) {
    return std::span<const T>(list).subspan(slice.first, slice.count);
  }

  detail::GraphIdentity identity_;
  std::deque<std::string> strings_;  // a move keeps the addresses
  std::unordered_map<std::string_view, std::string_view> known_;
};

}  // namespace libgrad
