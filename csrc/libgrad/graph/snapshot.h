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

/// Tensors and storages by number and address.
struct GraphIdentity {
  struct Leaf {
    Kept tensor;
    uint32_t node;
  };
  struct Memory {
    Kept storage;
    uint32_t place;  // in Graph::storages
  };
  struct Part {
    uint32_t saved;  // its place in Graph::saved
    Span span;
  };

  std::vector<void*> nodes;  // by id; never followed: a node may be gone
  std::vector<Leaf> leaves;
  std::vector<Memory> memories;  // those that not only the graph holds
  std::vector<Part> parts;       // saved tensors that do not fill such a memory
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
  kGraph,  // nobody else: its bytes are free when the graph goes
  kLeaf,   // a leaf of the graph
  kOther,  // somebody else too
};

/// A gradient that a node takes: of one output of the forward operation.
struct GraphInput {
  Slice shape;  // of `Graph::ints`; -1 for a size that is a symbol
  at::ScalarType dtype = at::ScalarType::Undefined;  // when not known
  c10::Device device = c10::Device(c10::kCPU);
  bool nested = false;  // a nested tensor: no shape
};

/// Where the gradient `output` that node `from` computes goes: into `input` of
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
  std::string_view field;  // the node's word for it: "self"
  Index index = kNothing;  // its place, where the field is a list
  SavedState state = SavedState::kNone;
  bool hooks = false;   // packed by hooks
  bool output = false;  // an output of the forward operation itself
  bool nested = false;  // a nested tensor: no shape
  bool number = false;  // a number of the program: the 2 of x * 2
  Slice shape;          // of `Graph::ints`
  at::ScalarType dtype = at::ScalarType::Undefined;
  c10::Device device = c10::Device(c10::kCPU);
  int64_t saved_version = -1;  // -1 where not known
  int64_t version = -1;  // now; another one than saved: backward will refuse
  Index storage = kNothing;  // of `Graph::storages`
  int64_t offset = 0;        // of its first element in the storage
  int64_t nbytes = 0;        // of its own elements
  Index leaf = kNothing;     // the node of the leaf that it is, or looks into
  std::string_view label;    // the name that the program gave it
};

/// Memory that saved tensors lie in, counted once however many they are.
struct GraphStorage {
  int64_t nbytes = 0;
  c10::Device device = c10::Device(c10::kCPU);
  Owner owner = Owner::kOther;
  bool root = false;  // of a tensor that the graph was taken of, which keeps it
};

/// Where a node came from, as far as somebody recorded it.
struct GraphOrigin {
  std::string_view op;    // "aten::add.Tensor", or from the node's name: "Add"
  std::string_view file;  // empty when nobody recorded it
  std::string_view module;  // "encoder.layers.3.linear1"
  Index line = 0;
};

/// A node of the graph.
struct GraphNode {
  std::string_view name;  // "MulBackward0"
  NodeKind kind = NodeKind::kOther;
  uint64_t sequence_nr = 0;  // UINT64_MAX for leaves
  uint64_t thread = 0;       // that made it
  Index order = 0;           // in backward, from 0
  Index outputs = 0;         // how many gradients it computes
  Index hooks = 0;           // that somebody registered on it
  bool has_grad = false;     // the leaf has a `.grad`
  Slice inputs;              // of `Graph::inputs`
  Slice edges;               // of `Graph::edges`, in the order of `output`
  Slice saved;               // of `Graph::saved`
  std::string_view leaf;     // a leaf's name, where one was given
  std::string_view label;    // the names of its outputs, where some were given
  std::string_view note;     // what could not be read, and why
  std::string_view stream;   // where it runs, empty on the CPU
  GraphOrigin origin;
  int64_t nbytes = 0;            // of what it saved, each storage once
  int64_t exclusive_nbytes = 0;  // of these, those that only the graph holds
};

/// A root: where a gradient enters.
struct GraphRoot {
  Index node = 0;
  Index input = 0;
};

/// A snapshot of a graph: plain data. It keeps no node and no tensor alive and
/// does not change when the graph does. Ids are places in `nodes`; the first
/// ones are those of the roots.
class Graph {
 public:
  std::vector<GraphNode> nodes;
  std::vector<GraphEdge> edges;
  std::vector<GraphInput> inputs;
  std::vector<GraphSaved> saved;
  std::vector<GraphStorage> storages;
  std::vector<int64_t> ints;
  std::vector<GraphRoot> roots;  // one for each tensor it was taken of
  std::vector<Index> leaves;  // nodes of kind kLeaf, in the order they are met

  /// Of the storages, each counted once.
  int64_t nbytes = 0;
  /// Of these, what is free when the graph goes.
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

  /// `text`, kept as long as this graph: what its views point at.
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
  Graph(const Graph&) = delete;  // views would point into the other
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
  std::deque<std::string> strings_;  // moves keep addresses
  std::unordered_map<std::string_view, std::string_view> known_;
};

}  // namespace libgrad
