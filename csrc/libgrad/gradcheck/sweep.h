/// libgrad/gradcheck/sweep.h -- computes one wrong entry with many eps, and
/// says whether another eps would help.

#pragma once

#include <libgrad/gradcheck/compare.h>

#include <array>

namespace libgrad::detail {

/// An entry of a Jacobian: which Jacobian, which row and column.
struct Subject {
  bool forward = false;
  Part part = Part::whole;  // of the output; in forward mode: of the input
  size_t o = 0;             // index among all outputs
  size_t j = 0;             // index in Problem::wrt
  int64_t row = 0;
  int64_t column = 0;
};

/// One element of an output after a step in one element of an input.
inline Complex value_after(
    const Problem& problem, const Subject& at, Moved& moved, Complex step) {
  moved.one(at.row, step);
  const auto output = problem.f(problem.inputs)[at.o];
  const auto value = in_double(output, /*complex=*/true).reshape(-1);
  return value.const_data_ptr<
      Complex>()[at.column * (value.numel() > 1 ? value.stride(0) : 0)];
}

/// The numeric derivative of one entry with the step `eps`, combined as in the
/// Jacobian of that part and mode.
inline Complex numeric_entry(
    const Problem& problem, const Subject& at, double eps) {
  Moved moved(problem.input(at.j));
  const auto slope = [&](const Complex& axis) {
    const auto plus = value_after(problem, at, moved, eps * axis);
    const auto minus = value_after(problem, at, moved, -eps * axis);
    const auto whole = (plus - minus) / (2 * eps);
    return at.forward || at.part == Part::whole ? whole
           : at.part == Part::real              ? Complex(whole.real())
                                                : Complex(whole.imag());
  };
  if (at.forward) {
    return slope(at.part == Part::imaginary ? kImaginaryAxis : kRealAxis);
  }
  const auto real = slope(kRealAxis);
  return problem.input(at.j).is_complex()
             ? real + kImaginaryAxis * slope(kImaginaryAxis)
             : real;
}

/// The numeric derivatives of one entry with steps from 1e-2 down to 1e-10.
inline std::vector<GradcheckStep> sweep(
    const Problem& problem, const Subject& at, const Complex& analytic) {
  const Tolerance tolerance{problem.options.atol, problem.options.rtol};
  std::vector<GradcheckStep> steps;
  double eps = 1e-2;
  for (int power = 2; power <= 10; ++power, eps /= 10) {
    const auto numeric = numeric_entry(problem, at, eps);
    steps.push_back(
        {eps,
         numeric,
         std::abs(analytic - numeric),
         tolerance.agree(analytic, numeric)});
  }
  return steps;
}

inline std::string complex_words(const Complex& value) {
  std::ostringstream out;
  out.precision(6);
  out << value.real();
  if (value.imag() != 0) {
    out << std::showpos << value.imag() << 'j';
  }
  return out.str();
}

/// The longest run of successive steps, at least three, whose numeric
/// derivatives agree: there the difference is exact. Empty where there is none.
inline std::vector<GradcheckStep> plateau(
    const std::vector<GradcheckStep>& steps) {
  std::vector<GradcheckStep> best, run;
  for (const auto& step : steps) {
    const bool same =
        !run.empty() && std::abs(step.numeric - run.back().numeric) <=
                            1e-3 * std::abs(run.back().numeric) + 1e-9;
    if (!same) {
      run.clear();
    }
    run.push_back(step);
    if (run.size() > best.size()) {
      best = run;
    }
  }
  return best.size() >= 3 ? best : std::vector<GradcheckStep>();
}

/// The sentence that names the wrong derivative, where the numeric derivative
/// is the same for many steps.
inline std::string blame(
    const Subject& at,
    const Complex& analytic,
    const std::vector<GradcheckStep>& stable) {
  const auto& numeric = stable[stable.size() / 2].numeric;
  const char* culprit = at.forward ? "forward mode" : "the backward";
  auto said = text(
      "No eps makes them agree: from ",
      stable.front().eps,
      " to ",
      stable.back().eps,
      " the numeric derivative stays ",
      complex_words(numeric),
      ", so ",
      culprit,
      " is wrong");
  if (analytic == Complex(0)) {
    return said + ": it gives zero.";
  }
  if (std::abs(numeric) <= 1e-9) {
    return said + ": it gives something where there is nothing.";
  }
  const auto ratio = analytic / numeric;
  return said +
         text(": it is ", complex_words(ratio), " times what it should be.");
}

/// The advice for an entry whose numeric derivatives are `steps`.
inline std::string advise(
    const Problem& problem,
    const Subject& at,
    const Complex& analytic,
    const std::vector<GradcheckStep>& steps) {
  const auto eps = problem.options.eps;
  const GradcheckStep* best = nullptr;
  for (const auto& step : steps) {
    if (step.agrees && (best == nullptr || step.error < best->error)) {
      best = &step;
    }
  }
  if (best != nullptr) {
    return text(
        "A ",
        best->eps > eps ? "larger" : "smaller",
        " eps would help: with eps=",
        best->eps,
        " this entry agrees (error ",
        best->error,
        "). The numeric derivative with eps=",
        eps,
        " is the inexact one.");
  }
  const auto dtype = problem.input(at.j).scalar_type();
  if (dtype != at::kDouble && dtype != at::kComplexDouble) {
    return text(
        "The input is ",
        dtype_name(dtype),
        ", too coarse for differences: check in double precision, or with "
        "larger atol and rtol and an eps about 1e-3.");
  }
  const auto stable = plateau(steps);
  if (!stable.empty()) {
    return blame(at, analytic, stable);
  }
  return "The numeric derivative does not settle for any eps: at this point "
         "the function has a jump or a kink, is random, or rounds off what "
         "eps changes. Check at another point.";
}

}  // namespace libgrad::detail
