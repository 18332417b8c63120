/// libgrad/torch/autograd/closed_graph.h -- backward through the graph of one
/// function, whose gradients reach nobody.
///
/// Relies on (covered by tests/cpp/memory/test_measure_chain.cpp):
/// - sequence_number::peek() is the number that the thread's next node gets,
///   and thread_id() that of the thread that made a node;
/// - the engine reads a node's next_edges() when it runs, and runs a node of
///   the largest number as soon as it can, as AccumulateGrad;
/// - it runs, of all nodes, those that lead to the targets it is asked for.

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

/// Makes the gradient of an output, all ones: one that the engine owns alone,
/// as any that a node behind it would make.
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

  /// What it takes.
  at::Tensor start() const { return at::empty({0}, options_); }

  variable_list apply(variable_list&&) override {
    return {at::ones_like(like_, options_)};
  }

 private:
  const at::Tensor like_;  // without memory
  const at::TensorOptions options_;
};

/// Takes a gradient, and keeps it from everybody.
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

/// Where all nodes lead that are to run; itself it never does.
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

/// The nodes that this thread has made from number `first` on. While it lives,
/// they lead to `input`, and else to nobody: not into leaves, nor into graphs
/// that were there before.
class ClosedGraph {
 public:
  /// A leaf, or the node outside that would have taken a gradient, as which
  /// input.
  using Owner = std::pair<const void*, uint32_t>;
  struct Dropped {
    Owner owner;
    int64_t bytes;
    NodePtr node;  // which keeps the owner
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

  /// Runs backward; the graph is gone then.
  void backward() {
    torch::autograd::Engine::get_default_engine().execute(
        {root_}, {start_}, false, false, false, targets_);
  }

  /// The gradients that are dropped.
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

  /// True for a weight's copy of another type: autocast keeps it, with the node
  /// that made it, for several functions.
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

  /// Where to go instead of through `edge`.
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

  /// Of the gradient that goes through `edge`.
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
