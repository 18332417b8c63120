/// libgrad/plan.h -- what backward will do, and the memory that it will take.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/dry_run.h>
#include <libgrad/questions/plan_text.h>

#include <c10/util/Exception.h>

#include <string>

namespace libgrad {

/// Options of `plan`.
struct PlanOptions {
  bool retain_graph = false;  // backward keeps what the nodes saved
};

/// A dry run of backward from the roots of `graph`: the nodes in the order in
/// which the engine runs them, what each node frees, and the bytes that the
/// graph and the gradients take at each step. Nothing is computed, and the live
/// graph may be gone.
///
///     const auto plan = libgrad::plan(libgrad::graph({loss}));
///     plan.peak - plan.start;  // bytes that backward needs besides the graph
///
/// The plan counts gradients (by their shapes, and shared memory once), the new
/// `.grad`s, and the temporaries of the simplest operators. It does not count
/// the work space of other operators (convolutions, attention), so the peak is
/// a lower bound. Throws c10::Error when a backward has freed the graph.
inline GraphPlan plan(const Graph& graph, const PlanOptions& options = {}) {
  for (const auto& saved : graph.saved) {
    TORCH_CHECK(
        saved.state != SavedState::kReleased,
        "plan: a backward has freed what ",
        graph.nodes[saved.node].name,
        " (node ",
        saved.node,
        ") saved, '",
        detail::field_words(saved),
        "', so there will be no second one; give the first one "
        "retain_graph=True, or take the graph before it");
  }
  return detail::DryRun(graph, options.retain_graph).run();
}

/// A plan as a table for a person: the first steps, the steps around the peak
/// (marked ◀) and the last steps.
inline std::string to_text(const Graph& graph, const GraphPlan& plan) {
  return detail::PlanText(graph, plan).run();
}

}  // namespace libgrad
