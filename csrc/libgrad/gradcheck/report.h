/// libgrad/gradcheck/report.h -- the error for two Jacobians that disagree, in
/// sentences and as data.

#pragma once

#include <libgrad/gradcheck/sweep.h>

#include <iomanip>

namespace libgrad::detail {

inline constexpr size_t kShown = 10;

/// An index such as "[1, 2]"; empty for the element of a scalar.
inline std::string index_text(const std::vector<int64_t>& place) {
  return place.empty() ? "" : text(at::IntArrayRef(place));
}

/// PyTorch's sentence for a disagreement. As in PyTorch, outputs are numbered
/// among those with a graph (in forward mode: those with real or complex
/// numbers), and inputs among those that require grad.
inline std::string headline(const Problem& problem, const Subject& at) {
  const auto& among = at.forward ? problem.valued : problem.differentiable;
  const auto output =
      std::find(among.begin(), among.end(), at.o) - among.begin();
  std::string said;
  if (at.part != Part::whole) {
    said = text(
        "While considering the ",
        part_name(at.part),
        " part of complex ",
        at.forward ? "inputs" : "outputs",
        " only, ");
  }
  said += text(
      "Jacobian ",
      at.forward ? "computed with forward mode " : "",
      "mismatch for output ",
      output,
      " with respect to input ",
      at.j);
  const auto output_name = problem.name_of_output(at.o);
  const auto input_name = problem.name_of_input(problem.wrt[at.j]);
  if (output_name != text("output ", output) ||
      input_name != text("input ", at.j)) {
    said += text(" (", output_name, " by ", input_name, ')');
  }
  return said + ",\n";
}

/// A table of the worst entries.
inline std::string side_by_side(const GradcheckError& error) {
  std::ostringstream out;
  const auto cell = [&](const std::string& value, int width) {
    out << std::setw(width) << std::left << value << ' ';
  };
  out << error.wrong << " of " << error.entries << " entries disagree";
  out
      << (error.wrong > static_cast<int64_t>(error.worst.size())
              ? text(", the worst ", error.worst.size(), ":\n")
              : std::string(":\n"));
  for (const char* title : {"output", "input"}) {
    cell(title, 12);
  }
  for (const char* title : {"analytic", "numeric", "error"}) {
    cell(title, 14);
  }
  out << "allowed";
  for (const auto& entry : error.worst) {
    out << '\n';
    cell(index_text(entry.output), 12);
    cell(index_text(entry.input), 12);
    cell(complex_words(entry.analytic), 14);
    cell(complex_words(entry.numeric), 14);
    cell(complex_words(entry.error), 14);
    out << complex_words(entry.allowed);
  }
  out << '\n';
  return out.str();
}

inline std::string sweep_text(const GradcheckError& error) {
  std::ostringstream out;
  out << "The numeric derivative of the worst entry, by eps:\n";
  for (const auto& step : error.sweep) {
    out << "  eps " << std::setw(6) << std::left << step.eps << ' '
        << std::setw(14) << complex_words(step.numeric) << " error "
        << complex_words(step.error) << (step.agrees ? "  agrees" : "") << '\n';
  }
  return out.str() + error.advice;
}

/// The error for two Jacobians that disagree in the entries `all`. Sets the row
/// and column of `at` to those of the worst entry.
inline GradcheckError describe_difference(
    const Problem& problem,
    Subject& at,
    const at::Tensor& analytic,
    const at::Tensor& numeric,
    std::vector<Difference> all,
    const Tolerance& tolerance) {
  GradcheckError error(GradcheckKind::jacobian, headline(problem, at));
  error.forward_mode = at.forward;
  error.output = at.o;
  error.input = problem.wrt[at.j];
  error.part = part_name(at.part);
  error.wrong = static_cast<int64_t>(all.size());
  error.entries = numeric.numel();
  error.analytic = analytic;
  error.numeric = numeric;
  keep_worst(all, tolerance, kShown);
  for (const auto& one : all) {
    error.worst.push_back(
        {unravel_index(problem.outputs[at.o].sizes(), one.column),
         unravel_index(problem.input(at.j).sizes(), one.row),
         one.analytic,
         one.numeric,
         one.error(),
         tolerance.allowed(one.numeric)});
  }
  if (!all.empty()) {
    at.row = all[0].row;
    at.column = all[0].column;
  }
  return error;
}

/// Throws unless the analytic and the numeric Jacobian agree.
inline void compare(
    const Problem& problem,
    Subject at,
    const at::Tensor& analytic,
    const at::Tensor& numeric) {
  const Tolerance tolerance{problem.options.atol, problem.options.rtol};
  auto all = differences(analytic, numeric, tolerance);
  if (all.empty()) {
    return;
  }
  auto error = describe_difference(
      problem, at, analytic, numeric, std::move(all), tolerance);
  if (!problem.options.raise_exception) {
    throw error;
  }
  const auto& worst = error.worst[0];
  error.sweep = sweep(problem, at, worst.analytic);
  error.advice = advise(problem, at, worst.analytic, error.sweep);
  error.message += side_by_side(error) + sweep_text(error);
  throw error;
}

}  // namespace libgrad::detail
