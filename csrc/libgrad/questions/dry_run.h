/// libgrad/questions/dry_run.h -- simulates a backward, to find the memory that
/// it takes.
///
/// Relies on (covered by tests/graph/test_plan.py):
/// - the engine frees what a node saved once the node has run, before it hands
///   on the gradients of the node;
/// - a second gradient of an input is added in place into the first one where
///   nobody else refers to the first; otherwise both are dropped and their sum
///   stays;
/// - a leaf without a `.grad` keeps the gradient itself where nobody else
///   refers to the gradient, and a copy otherwise.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/gradient_flow.h>
#include <libgrad/questions/gradient_memory.h>
#include <libgrad/questions/plan_notes.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

namespace detail {

/// Simulates the nodes of a graph in the order of the engine.
class DryRun {
 public:
  DryRun(const Graph& graph, bool retain_graph)
      : graph_(graph),
        retain_graph_(retain_graph),
        slots_(graph.inputs.size(), kNothing),
        holders_(graph.storages.size(), 0) {}

  GraphPlan run() {
    count_holders();
    for (const auto& root : graph_.roots) {
      start_from(root);
    }
    std::vector<Index> order(graph_.nodes.size());
    for (size_t i = 0; i < order.size(); ++i) {
      order[graph_.nodes[i].order] = static_cast<Index>(i);
    }
    plan_.steps.reserve(order.size());
    for (const auto node : order) {
      step(node);
    }
    plan_.notes = plan_notes(graph_);
    return std::move(plan_);
  }

 private:
  const GraphNode& node(Index id) const { return graph_.nodes[id]; }

  /// Bytes of a gradient; 0 when its shape is not known.
  int64_t size_of(const GraphInput& input) const {
    if (input.dtype == at::ScalarType::Undefined || input.nested) {
      return 0;
    }
    auto nbytes = static_cast<int64_t>(c10::elementSize(input.dtype));
    for (const auto size : graph_.shape_of(input)) {
      nbytes *= std::max<int64_t>(size, 0);
    }
    return nbytes;
  }

  /// Whether `backward` frees a saved tensor when it frees the node. It does
  /// not free what a Function stored on its context by itself.
  static bool is_released(const GraphSaved& saved) {
    return !saved.field.starts_with("saved_data.") &&
           !saved.field.starts_with("ctx.");
  }

  bool is_freed_with_graph(Index storage) const {
    return graph_.storages[storage].owner == Owner::kGraph &&
           !graph_.storages[storage].root;
  }

  void count_holders() {
    for (const auto& saved : graph_.saved) {
      if (saved.storage != kNothing) {
        ++holders_[saved.storage];
      }
    }
    for (size_t i = 0; i < graph_.storages.size(); ++i) {
      if (is_freed_with_graph(static_cast<Index>(i))) {
        held_ += graph_.storages[i].nbytes;
      }
    }
    plan_.start = plan_.peak = held_;
  }

  Index& slot(Index to, Index input) {
    return slots_[node(to).inputs.first + input];
  }
  const GraphInput& input_of(Index to, Index input) const {
    return graph_.inputs[node(to).inputs.first + input];
  }

  /// Hands the gradient of a root to its node: for a scalar the ones that
  /// backward makes, else a tensor of the caller, which is not counted. Both
  /// live until the end.
  void start_from(const GraphRoot& root) {
    const auto& input = input_of(root.node, root.input);
    const bool is_number = graph_.shape_of(input).empty() && !input.nested;
    const Index seed = gradients_.make(is_number ? size_of(input) : 0);
    hand_on(gradients_.hold(seed), root.node, root.input);
  }

  /// Moves `gradient` into its slot, or adds it to the gradient that is in the
  /// slot.
  void hand_on(Index gradient, Index to, Index input) {
    auto& place = slot(to, input);
    if (place == kNothing) {
      place = gradient;
      return;
    }
    if (!gradients_.is_writable(place)) {
      const Index sum = gradients_.make(size_of(input_of(to, input)));
      gradients_.drop(std::exchange(place, sum));
    }
    gradients_.drop(gradient);
  }

  void step(Index id) {
    PlanStep step{.node = id};
    gradients_.take_peak();
    const auto made = node(id).kind == NodeKind::kLeaf ? std::vector<Index>()
                                                       : gradients_of(id);
    if (node(id).kind == NodeKind::kLeaf) {
      keep(id);
    }
    step.peak = held_ + gradients_.take_peak();
    for (Index i = 0; i < node(id).inputs.count; ++i) {
      if (slot(id, i) != kNothing) {
        gradients_.drop(std::exchange(slot(id, i), kNothing));
      }
    }
    step.freed = retain_graph_ ? 0 : free_saved(id);
    held_ -= step.freed;
    gradients_.take_peak();
    for (Index i = 0; i < node(id).edges.count; ++i) {
      const auto& edge = graph_.edges_of(node(id))[i];
      hand_on(made[i], edge.to, edge.input);
    }
    step.peak = std::max(step.peak, held_ + gradients_.take_peak());
    step.held = held_;
    step.gradients = gradients_.now();
    if (step.peak > plan_.peak) {
      plan_.peak = step.peak;
      plan_.peak_step = static_cast<Index>(plan_.steps.size());
    }
    plan_.steps.push_back(step);
  }

  /// Makes the gradients that the node computes, one for each of its edges.
  std::vector<Index> gradients_of(Index id) {
    const auto& rule = rule_of(node(id).name);
    const auto own = node(id).inputs.count > 0 ? size_of(input_of(id, 0)) : 0;
    std::vector<Index> made;
    int64_t besides = 0;
    if (rule.copies && slot(id, 0) != kNothing &&
        !gradients_.is_dense(slot(id, 0))) {
      besides += own;
    }
    for (const auto& edge : graph_.edges_of(node(id))) {
      const bool first = edge.output == 0;
      const auto flow = first ? rule.first : rule.rest;
      const auto size = size_of(input_of(edge.to, edge.input));
      made.push_back(gradient_of(id, input_of(edge.to, edge.input), flow));
      if (rule.broadcasts && flow == Flow::kNew && own > size) {
        besides += own;
      }
      gradients_.touch(
          besides + std::max(own, size) *
                        (first ? rule.temporaries : rule.rest_temporaries));
    }
    return made;
  }

  Index gradient_of(Index id, const GraphInput& to, Flow flow) {
    const Index own = node(id).inputs.count > 0 ? slot(id, 0) : kNothing;
    if (own == kNothing || flow == Flow::kNew) {
      return gradients_.make(size_of(to));
    }
    const auto& from = input_of(id, 0);
    const auto lie = gradients_.lie(own);
    const bool same_size = size_of(from) == size_of(to);
    switch (flow) {
      case Flow::kUniform:
        return gradients_.view(own, same_size ? lie : Lie::kUniform);
      case Flow::kSpread:
        return gradients_.view(own, same_size ? lie : Lie::kOther);
      case Flow::kPart:
        return gradients_.view(
            own, is_first_part(to, from) ? lie : Lie::kOther);
      default:
        break;
    }
    if (to.dtype != from.dtype || !same_size) {
      return gradients_.make(size_of(to));  // reduced, or of another type
    }
    switch (flow) {
      case Flow::kSame:
        return gradients_.hold(own);
      case Flow::kReshaped:
        return lie == Lie::kInOrder || lie == Lie::kUniform
                   ? gradients_.view(own, lie)
                   : gradients_.make(size_of(to));
      case Flow::kPermuted:
        return gradients_.view(own, permuted(lie));
      default:
        return gradients_.view(own, lie);
    }
  }

  /// A permutation of a permuted gradient mostly restores the order.
  static Lie permuted(Lie lie) {
    return lie == Lie::kInOrder    ? Lie::kPermuted
           : lie == Lie::kPermuted ? Lie::kInOrder
                                   : lie;
  }

  /// Whether `part` is contiguous in `whole`: it is cut along the first
  /// dimension.
  bool is_first_part(const GraphInput& part, const GraphInput& whole) const {
    const auto a = graph_.shape_of(part), b = graph_.shape_of(whole);
    return !b.empty() &&
           std::ranges::equal(
               a.subspan(a.size() == b.size() ? 1 : 0), b.subspan(1));
  }

  /// Lets the leaf keep its gradient.
  void keep(Index id) {
    const Index gradient = slot(id, 0);
    if (gradient == kNothing || node(id).has_grad) {
      return;  // added into the `.grad` that is there
    }
    if (gradients_.is_own(gradient) && gradients_.is_dense(gradient)) {
      gradients_.hold(gradient);
    } else {
      gradients_.make(size_of(input_of(id, 0)));
    }
  }

  int64_t free_saved(Index id) {
    int64_t freed = 0;
    for (const auto& saved : graph_.saved_of(node(id))) {
      if (saved.storage != kNothing && is_released(saved) &&
          --holders_[saved.storage] == 0 &&
          is_freed_with_graph(saved.storage)) {
        freed += graph_.storages[saved.storage].nbytes;
      }
    }
    return freed;
  }

  const FlowRule& rule_of(std::string_view name) {
    if (name.data() != last_name_) {  // the graph keeps each name once
      last_name_ = name.data();
      last_rule_ = &flow_of(name);
    }
    return *last_rule_;
  }

  const Graph& graph_;
  bool retain_graph_;
  GraphPlan plan_;
  GradientMemory gradients_;
  std::vector<Index> slots_;       // waiting gradients, by index of the input
  std::vector<uint32_t> holders_;  // saved tensors in each storage
  int64_t held_ = 0;
  const char* last_name_ = nullptr;
  const FlowRule* last_rule_ = nullptr;
};

}  // namespace detail
}  // namespace libgrad
