/// libgrad/torch/autograd/closed_graph.h -- backward through the graph of one
/// function alone: no leaf and no older graph gets a gradient.
///
/// Relies on (covered by tests/cpp/memory/test_measure_chain.cpp):
/// - sequence_number::peek() is the sequence number of the thread's next node,
///   and thread_id() the thread that made a node;
/// - the engine reads a node's next_edges() when it runs the node;
/// - the engine runs a node of the largest sequence number, such as
///   AccumulateGrad, as soon as the node is ready;
/// - the engine runs only the nodes that lead to its targets.

#pragma once

#include <libgrad/torch/autograd/edges.h>

#include <ATen/SequenceNumber.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/ones_like.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>

#include <limits>
#include <map>
#include <tuple>
#include <unordered_set>

namespace libgrad::detail {

/// Makes the gradient of an output, all ones. The engine alone owns this
/// gradient, as it owns one that a successor's node makes.
class OnesNode : public torch::autograd::Node {
 public:
  OnesNode(const at::Tensor& output, const Edge& edge)
      : Node(edge_list{edge}),
        like_(
            at::empty_strided(
                output.sizes(),
                output.strides(),
                output.options().device(at::kMeta).requires_grad(false))),
        options_(output.options().requires_grad(false)) {
    add_input_metadata(start());
  }

  /// The input of this node.
  at::Tensor start() const { return at::empty({0}, options_); }

  variable_list apply(variable_list&&) override {
    return {at::ones_like(like_, options_)};
  }

 private:
  const at::Tensor like_;  // without memory
  const at::TensorOptions options_;
};

/// Takes a gradient and passes nothing on.
class DropNode : public torch::autograd::Node {
 public:
  DropNode(const Edge& taken, const NodePtr& end)
      : Node(kLargest, edge_list{Edge(end, 0)}) {
    const auto& data = detail::metadata(taken);
    if (data.was_default_constructed()) {
      add_input_metadata(undefined_input());
    } else {
      add_input_metadata(
          data.options(),
          data.shape_as_dim_vector(),
          data.is_tensor_subclass(),
          data.is_nested_tensor(),
          data.grad_dtype());
    }
  }

  variable_list apply(variable_list&&) override { return variable_list(1); }

  static constexpr uint64_t kLargest = std::numeric_limits<uint64_t>::max();
};

/// The target that every DropNode leads to, so that the engine runs the
/// DropNodes. It never runs itself.
class EndNode : public torch::autograd::Node {
 public:
  EndNode() { add_input_metadata(undefined_input()); }
  variable_list apply(variable_list&& inputs) override {
    return std::move(inputs);
  }
};

template <class N, class... Arguments>
NodePtr make_node_of(Arguments&&... arguments) {
  if constexpr (
      std::is_same_v<NodePtr, std::shared_ptr<torch::autograd::Node>>) {
    return std::make_shared<N>(std::forward<Arguments>(arguments)...);
  } else {
    return c10::make_intrusive<N>(std::forward<Arguments>(arguments)...);
  }
}

/// The nodes that this thread made with sequence numbers from `first` on. While
/// this object lives, their edges lead to `input` and to each other: edges into
/// leaves and into older graphs are replaced by edges to DropNodes.
class ClosedGraph {
 public:
  /// The receiver of a dropped gradient: a leaf or an older node, and the
  /// number of its input.
  using Owner = std::pair<const void*, uint32_t>;
  struct Dropped {
    Owner owner;
    int64_t bytes;
    NodePtr node;  // keeps the owner alive
  };

  ClosedGraph(const at::Tensor& output, const Edge& input, uint64_t first)
      : end_(make_node_of<EndNode>()),
        first_(first),
        thread_(at::RecordFunction::currentThreadId()) {
    targets_.emplace_back(end_, 0);
    if (input.is_valid()) {
      targets_.push_back(input);
    }
    const auto node = make_node_of<OnesNode>(output, root_edge(output));
    start_ = static_cast<OnesNode&>(*node).start();
    root_ = Edge(node, 0);
    try {
      close(node);
    } catch (...) {
      open();
      throw;
    }
  }
  ClosedGraph(const ClosedGraph&) = delete;
  ClosedGraph& operator=(const ClosedGraph&) = delete;
  ~ClosedGraph() { open(); }

  /// Runs backward, which frees the graph.
  void backward() {
    torch::autograd::Engine::get_default_engine().execute(
        {root_}, {start_}, false, false, false, targets_);
  }

  /// The gradients that DropNodes take.
  const std::vector<Dropped>& dropped() const { return dropped_; }

 private:
  struct Changed {
    NodePtr node;
    size_t place;
    Edge before;
  };

  bool is_new(const torch::autograd::Node& node) const {
    return node.thread_id() == thread_ && node.sequence_nr() >= first_ &&
           node.sequence_nr() != DropNode::kLargest;
  }

  /// True for the cast of a leaf. Autocast caches a weight's cast, with the
  /// node that made it, for several functions.
  static bool is_cast(const torch::autograd::Node& node) {
    return node.num_outputs() == 1 && node.next_edge(0).is_valid() &&
           node.name() == "ToCopyBackward0" &&
           dynamic_cast<torch::autograd::AccumulateGrad*>(
               node.next_edge(0).function.get()) != nullptr;
  }

  bool is_target(const Edge& edge) const {
    return targets_.size() == 2 && edge == targets_[1];
  }

  void close(const NodePtr& root) {
    std::unordered_set<const torch::autograd::Node*> seen{root.get()};
    std::vector<NodePtr> nodes{root};
    for (size_t i = 0; i < nodes.size(); ++i) {  // grows meanwhile
      auto& edges = nodes[i]->next_edges();
      for (size_t place = 0; place < edges.size(); ++place) {
        auto& edge = edges[place];
        if (!edge.is_valid() || is_target(edge)) {
          continue;
        }
        if (!is_new(*edge.function) && !is_cast(*edge.function)) {
          changed_.push_back({nodes[i], place, edge});
          edge = drop(edge);
        } else if (seen.insert(edge.function.get()).second) {
          nodes.push_back(edge.function);
        }
      }
    }
  }

  /// The edge to a DropNode that replaces `edge`.
  Edge drop(const Edge& edge) {
    auto& node = drops_[{edge.function.get(), edge.input_nr}];
    if (!node) {
      node = make_node_of<DropNode>(edge, end_);
      const auto* leaf =
          dynamic_cast<torch::autograd::AccumulateGrad*>(edge.function.get());
      const void* owner = edge.function.get();
      if (leaf != nullptr) {
        owner = leaf->variable.unsafeGetTensorImpl();
      }
      dropped_.push_back(
          {{owner, edge.input_nr}, bytes_of(edge), edge.function});
    }
    return {node, 0};
  }

  /// Size of the gradient that goes through `edge`.
  static int64_t bytes_of(const Edge& edge) {
    const auto& data = metadata(edge);
    if (data.was_default_constructed() || data.is_nested_tensor()) {
      return 0;
    }
    const auto count =
        c10::multiply_integers(data.shape_as_dim_vector()).maybe_as_int();
    return count.value_or(0) * static_cast<int64_t>(data.dtype().itemsize());
  }

  void open() {
    for (auto& [node, place, before] : changed_) {
      node->next_edges()[place] = std::move(before);
    }
  }

  const NodePtr end_;
  const uint64_t first_;
  const uint64_t thread_;
  Edge root_;
  at::Tensor start_;
  edge_list targets_;
  std::vector<Changed> changed_;
  std::map<std::pair<const torch::autograd::Node*, uint32_t>, NodePtr> drops_;
  std::vector<Dropped> dropped_;
};

}  // namespace libgrad::detail
