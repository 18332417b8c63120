#include "bindings/memory/steps.h"

#include <libgrad/chain.h>
#include <libgrad/graph/words.h>

#include <pybind11/stl.h>

#include <cstdio>

using libgrad::ChainCosts;
using libgrad::StepCosts;

namespace {

/// Sets a field of each function's costs to its entry of `values`, if they are
/// given.
template <class Value>
void set(
    std::vector<StepCosts>& steps,
    const char* name,
    Value StepCosts::* field,
    const std::optional<std::vector<Value>>& values) {
  if (!values) {
    return;
  }
  TORCH_CHECK_VALUE(
      values->size() == steps.size(),
      "ChainCosts: ",
      name,
      " has ",
      values->size(),
      " entries, but seconds has ",
      steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    steps[i].*field = (*values)[i];
  }
}

using Sizes = std::optional<std::vector<int64_t>>;
using Flags = std::optional<std::vector<bool>>;

ChainCosts make_costs(
    const std::vector<double>& seconds,
    const std::vector<int64_t>& input_bytes,
    const std::vector<int64_t>& saved_bytes,
    int64_t output_bytes,
    const Sizes& forward_bytes,
    const Sizes& backward_bytes,
    const Sizes& pending_bytes,
    const Flags& saves_input,
    const Flags& saves_output,
    int64_t constant_bytes) {
  std::vector<StepCosts> steps(seconds.size());
  set<double>(steps, "seconds", &StepCosts::seconds, seconds);
  set<int64_t>(steps, "input_bytes", &StepCosts::input_bytes, input_bytes);
  set<int64_t>(steps, "saved_bytes", &StepCosts::saved_bytes, saved_bytes);
  set(steps, "forward_bytes", &StepCosts::forward_bytes, forward_bytes);
  set(steps, "backward_bytes", &StepCosts::backward_bytes, backward_bytes);
  set(steps, "pending_bytes", &StepCosts::pending_bytes, pending_bytes);
  set(steps, "saves_input", &StepCosts::saves_input, saves_input);
  set(steps, "saves_output", &StepCosts::saves_output, saves_output);
  ChainCosts costs{std::move(steps), output_bytes, constant_bytes};
  libgrad::detail::check_values(costs);
  return costs;
}

template <auto Field>
py::tuple values_of(const ChainCosts& costs) {
  py::tuple values(costs.steps.size());
  for (size_t i = 0; i < costs.steps.size(); ++i) {
    values[i] = costs.steps[i].*Field;
  }
  return values;
}

/// The arguments that make `costs` again.
py::tuple arguments_of(const ChainCosts& costs) {
  return py::make_tuple(
      values_of<&StepCosts::seconds>(costs),
      values_of<&StepCosts::input_bytes>(costs),
      values_of<&StepCosts::saved_bytes>(costs),
      costs.output_bytes,
      values_of<&StepCosts::forward_bytes>(costs),
      values_of<&StepCosts::backward_bytes>(costs),
      values_of<&StepCosts::pending_bytes>(costs),
      values_of<&StepCosts::saves_input>(costs),
      values_of<&StepCosts::saves_output>(costs),
      costs.constant_bytes);
}

std::string costs_repr(const ChainCosts& costs) {
  double seconds = 0;
  for (const auto& step : costs.steps) {
    seconds += step.seconds;
  }
  char time[32];
  std::snprintf(time, sizeof time, "%.3g s", seconds);
  const auto number = [](int64_t value) {
    return libgrad::detail::count_words(static_cast<uint64_t>(value));
  };
  const auto count = costs.steps.size();
  auto text = "ChainCosts(" + libgrad::detail::count_words(count, "function") +
              ", " + time;
  if (count > 0 && count <= libgrad::detail::kMostSteps) {
    text += ", from " + number(libgrad::smallest_budget(costs)) + " to " +
            number(libgrad::largest_budget(costs)) + " bytes";
  }
  return text + ")";
}

ChainCosts measure_chain(
    const std::vector<py::object>& functions,
    const at::Tensor& input,
    bool preserve_rng_state) {
  const auto steps = steps_of(functions, "measure_chain");
  const py::gil_scoped_release no_gil;
  return libgrad::measure_chain(
      steps, input, {.preserve_rng_state = preserve_rng_state});
}

at::Tensor checkpoint_optimal(
    const std::vector<py::object>& functions,
    const at::Tensor& input,
    int64_t slots,
    bool preserve_rng_state) {
  return libgrad::detail::run_optimal(
      steps_of(functions, "checkpoint_optimal"),
      input,
      slots,
      {.preserve_rng_state = preserve_rng_state},
      refuse_checkpoint);
}

at::Tensor checkpoint_in_budget(
    const std::vector<py::object>& functions,
    const at::Tensor& input,
    int64_t budget_bytes,
    const std::optional<ChainCosts>& costs,
    bool preserve_rng_state) {
  auto steps = steps_of(functions, "checkpoint_optimal");
  const py::gil_scoped_release no_gil;
  return libgrad::detail::run_in_budget(
      std::move(steps),
      input,
      {.bytes = budget_bytes, .costs = costs},
      {.preserve_rng_state = preserve_rng_state},
      refuse_checkpoint);
}

void bind_costs(py::module_& m) {
  py::class_<ChainCosts>(m, "ChainCosts")
      .def(
          py::init(&make_costs),
          "seconds"_a,
          "input_bytes"_a,
          "saved_bytes"_a,
          "output_bytes"_a,
          "forward_bytes"_a = py::none(),
          "backward_bytes"_a = py::none(),
          "pending_bytes"_a = py::none(),
          "saves_input"_a = py::none(),
          "saves_output"_a = py::none(),
          "constant_bytes"_a = 0)
      .def_property_readonly("seconds", values_of<&StepCosts::seconds>)
      .def_property_readonly("input_bytes", values_of<&StepCosts::input_bytes>)
      .def_property_readonly("saved_bytes", values_of<&StepCosts::saved_bytes>)
      .def_readonly("output_bytes", &ChainCosts::output_bytes)
      .def_readonly("constant_bytes", &ChainCosts::constant_bytes)
      .def_property_readonly(
          "forward_bytes", values_of<&StepCosts::forward_bytes>)
      .def_property_readonly(
          "backward_bytes", values_of<&StepCosts::backward_bytes>)
      .def_property_readonly(
          "pending_bytes", values_of<&StepCosts::pending_bytes>)
      .def_property_readonly("saves_input", values_of<&StepCosts::saves_input>)
      .def_property_readonly(
          "saves_output", values_of<&StepCosts::saves_output>)
      .def_property_readonly("smallest_budget", libgrad::smallest_budget)
      .def_property_readonly("largest_budget", libgrad::largest_budget)
      .def(
          "runs",
          wrap_pybind_function(
              [](const ChainCosts& costs, int64_t budget_bytes) {
                return py::tuple(
                    py::cast(libgrad::plan_chain(costs, budget_bytes).runs));
              }),
          "budget_bytes"_a)
      .def(
          "__len__", [](const ChainCosts& costs) { return costs.steps.size(); })
      .def(
          "__eq__",
          [](const ChainCosts& a, const ChainCosts& b) { return a == b; },
          py::is_operator())
      .def("__repr__", costs_repr)
      .def("__reduce__", [](const py::object& self) {
        return py::make_tuple(
            py::type::of(self), arguments_of(self.cast<const ChainCosts&>()));
      });
}

}  // namespace

void bind_chain(py::module_& m) {
  bind_costs(m);
  m.def(
      "measure_chain",
      wrap_pybind_function(measure_chain),
      "functions"_a,
      "input"_a,
      "preserve_rng_state"_a);
  m.def(
      "checkpoint_optimal",
      wrap_pybind_function(checkpoint_optimal),
      "functions"_a,
      "input"_a,
      "slots"_a,
      "preserve_rng_state"_a);
  m.def(
      "checkpoint_in_budget",
      wrap_pybind_function(checkpoint_in_budget),
      "functions"_a,
      "input"_a,
      "budget_bytes"_a,
      "costs"_a,
      "preserve_rng_state"_a);
}
