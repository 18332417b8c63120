#include "bindings/bindings.h"
#include "bindings/graph/parts.h"

#include <libgrad/plan.h>

#include <pybind11/stl.h>

#include <utility>

using libgrad::Graph;
using libgrad::GraphPlan;
using libgrad::PlanStep;

namespace {

/// A plan and its graph.
struct Plan {
  GraphPtr graph;
  GraphPlan plan;
};

using PlanPtr = std::shared_ptr<Plan>;

/// A step, and the plan that it keeps alive.
struct Step {
  PlanPtr plan;
  size_t at;
  const PlanStep& get() const { return plan->plan.steps[at]; }
};

PlanPtr plan_of(const std::shared_ptr<Graph>& graph, bool retain_graph) {
  return std::make_shared<Plan>(
      Plan{graph, libgrad::plan(*graph, {.retain_graph = retain_graph})});
}

Step step_at(const PlanPtr& plan, int64_t i) {
  const auto size = static_cast<int64_t>(plan->plan.steps.size());
  const auto place = i < 0 ? i + size : i;
  if (place < 0 || place >= size) {
    throw py::index_error(
        "index " + std::to_string(i) + " is out of range for " +
        std::to_string(size) + " steps");
  }
  return {plan, static_cast<size_t>(place)};
}

py::list steps_at(const PlanPtr& plan, const py::slice& slice) {
  size_t start = 0, stop = 0, step = 0, count = 0;
  if (!slice.compute(plan->plan.steps.size(), &start, &stop, &step, &count)) {
    throw py::error_already_set();
  }
  py::list steps(count);
  for (size_t i = 0; i < count; ++i, start += step) {
    steps[i] = Step{plan, start};
  }
  return steps;
}

template <auto Member>
auto step_value() {
  return [](const Step& step) { return step.get().*Member; };
}

template <auto Member>
auto plan_value() {
  return [](const Plan& plan) { return plan.plan.*Member; };
}

std::string number(int64_t value) {
  return libgrad::detail::count_words(static_cast<uint64_t>(value));
}

std::string repr(const Step& part) {
  const auto& step = part.get();
  return "PlanStep(node=" + std::to_string(step.node) +
         ", freed=" + number(step.freed) + ", held=" + number(step.held) +
         ", gradients=" + number(step.gradients) +
         ", peak=" + number(step.peak) + ")";
}

std::string repr(const Plan& plan) {
  return "GraphPlan(" +
         libgrad::detail::count_words(plan.plan.steps.size(), "step") + ", " +
         number(plan.plan.start) + " bytes at the start, at most " +
         number(plan.plan.peak) + " in step " + number(plan.plan.peak_step) +
         ")";
}

}  // namespace

void bind_plan(py::module_& m) {
  py::class_<Step>(m, "PlanStep", "A node that backward runs.")
      .def_property_readonly("node", step_value<&PlanStep::node>())
      .def_property_readonly("freed", step_value<&PlanStep::freed>())
      .def_property_readonly("held", step_value<&PlanStep::held>())
      .def_property_readonly("gradients", step_value<&PlanStep::gradients>())
      .def_property_readonly("peak", step_value<&PlanStep::peak>())
      .def("__repr__", [](const Step& step) { return repr(step); });
  py::class_<Plan, std::shared_ptr<Plan>>(
      m, "GraphPlan", "See libgrad.Graph.plan.")
      .def("__len__", [](const Plan& plan) { return plan.plan.steps.size(); })
      .def("__getitem__", step_at)
      .def("__getitem__", steps_at)
      .def_property_readonly("start_nbytes", plan_value<&GraphPlan::start>())
      .def_property_readonly("peak_nbytes", plan_value<&GraphPlan::peak>())
      .def_property_readonly("peak_step", plan_value<&GraphPlan::peak_step>())
      .def_property_readonly("notes", plan_value<&GraphPlan::notes>())
      .def(
          "__str__",
          [](const Plan& plan) {
            return libgrad::to_text(*plan.graph, plan.plan);
          })
      .def("__repr__", [](const Plan& plan) { return repr(plan); });
  for (const char* type : {"PlanStep", "GraphPlan"}) {
    m.attr(type).attr("__module__") = "libgrad.types";
  }
  py::object graph = m.attr("Graph");
  graph.attr("plan") = py::cpp_function(
      wrap_pybind_function(plan_of),
      py::name("plan"),
      py::is_method(graph),
      py::kw_only(),
      "retain_graph"_a = false);
}
