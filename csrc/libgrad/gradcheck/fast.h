/// libgrad/gradcheck/fast.h -- compares one product vᵀJu for each Jacobian,
/// with random vectors.

#pragma once

#include <libgrad/gradcheck/slow.h>

namespace libgrad::detail {

/// The vectors u for one input: two for a complex input.
struct Directions {
  Vector real;
  Vector imaginary = {};

  /// The sum of u. Times the sum of v it is vᵀEu for a matrix E of ones: the
  /// error of the product when every entry of J is off by one.
  double sum() const { return real.sum() + imaginary.sum(); }
};

inline constexpr const char* kFastNote =
    "fast_mode compares the products vᵀJu for random vectors v and u; ";

/// Throws for a product that disagrees, with what the entries of the whole
/// Jacobian show.
[[noreturn]] inline void fail_fast(
    const Problem& problem,
    Subject at,
    const Complex& analytic,
    const Complex& numeric,
    const Slopes& slopes,
    const at::Tensor& rows) {
  const auto v = valued_place(problem, at.o);
  const auto& along =
      at.part == Part::imaginary ? slopes.imaginary : slopes.real;
  const auto matrix =
      at.forward ? along[v] : as_of_backward(slopes, v, at.part);
  const Tolerance tolerance{problem.options.atol, problem.options.rtol};
  auto error = describe_difference(
      problem,
      at,
      rows,
      matrix,
      differences(rows, matrix, tolerance),
      tolerance);
  error.message += text(
      kFastNote,
      "analytic ",
      complex_words(analytic),
      ", numeric ",
      complex_words(numeric),
      " for one of them. ");
  if (error.worst.empty()) {
    error.advice =
        "Fast gradcheck failed but element-wise differences are small: "
        "fast_mode=False would pass.";
    error.message += error.advice;
    throw error;
  }
  const auto& worst = error.worst[0];
  error.sweep = sweep(problem, at, worst.analytic);
  error.advice = advise(problem, at, worst.analytic, error.sweep);
  error.message += "Entry by entry, " + side_by_side(error) + sweep_text(error);
  throw error;
}

/// fail_fast for the backward of `output`, which is a part of output at.o.
[[noreturn]] inline void fail_fast_backward(
    const Problem& problem,
    const Subject& at,
    const at::Tensor& output,
    const Complex& analytic,
    const Complex& numeric) {
  if (!problem.options.raise_exception) {
    throw GradcheckError(GradcheckKind::jacobian, headline(problem, at));
  }
  fail_fast(
      problem,
      at,
      analytic,
      numeric,
      numeric_jacobians(problem, at.j),
      backward_rows(problem, output).rows[at.j].t());
}

[[noreturn]] inline void fail_fast_forward(
    const Problem& problem,
    const Subject& at,
    const Complex& analytic,
    const Complex& numeric) {
  if (!problem.options.raise_exception) {
    throw GradcheckError(GradcheckKind::jacobian, headline(problem, at));
  }
  const auto& axis = at.part == Part::imaginary ? kImaginaryAxis : kRealAxis;
  fail_fast(
      problem,
      at,
      analytic,
      numeric,
      numeric_jacobians(problem, at.j),
      forward_rows(problem, at.j, axis)[valued_place(problem, at.o)]);
}

/// The slopes with respect to input `j` along its directions.
inline Slopes slopes_by(
    const Problem& problem, size_t j, const Directions& directions) {
  Slopes slopes{slopes_along(problem, j, directions.real, kRealAxis)};
  if (directions.imaginary.defined()) {
    slopes.imaginary =
        slopes_along(problem, j, directions.imaginary, kImaginaryAxis);
  }
  return slopes;
}

/// vᵀJu, where `row` is vᵀJ from the backward.
inline Complex product_with(
    const Directions& directions, const at::Tensor& row) {
  if (!directions.imaginary.defined()) {
    return sum_of_products(directions.real, row);
  }
  const auto real = sum_of_products(directions.real, at::real(row));
  return real +
         kImaginaryAxis * sum_of_products(directions.imaginary, at::imag(row));
}

inline std::vector<Directions> directions_for(
    const Problem& problem, Draw& draw) {
  std::vector<Directions> result;
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const auto& input = problem.input(j);
    result.push_back({draw.unit(input.numel())});
    if (input.is_complex()) {
      result.back().imaginary = draw.unit(input.numel());
    }
  }
  return result;
}

/// Throws unless all slopes are zero up to nondet_tol, as they must be where no
/// output has a graph.
inline void check_nearly_zero(
    const Problem& problem, const std::vector<Slopes>& numeric) {
  const auto most = [](const at::Tensor& slope) {
    return slope.numel() == 0 ? 0.0 : slope.abs().max().item<double>();
  };
  for (size_t j = 0; j < numeric.size(); ++j) {
    for (size_t v = 0; v < problem.valued.size(); ++v) {
      const auto& [real, imaginary] = numeric[j];
      if (most(real[v]) > problem.options.nondet_tol ||
          (!imaginary.empty() &&
           most(imaginary[v]) > problem.options.nondet_tol)) {
        fail_not_zero(problem, v, j);
      }
    }
  }
}

/// Compares the products of one part of one output, with respect to each input.
inline void check_backward_products(
    const Problem& problem,
    size_t o,
    Part part,
    const Vector& vector,
    const std::vector<Directions>& directions,
    const std::vector<Slopes>& numeric) {
  const auto& options = problem.options;
  const auto output = part_of(problem.outputs[o], part);
  const auto gradients = backward_product(problem, output, vector);
  check_gradients(problem, o, gradients);
  const auto weight = vector.sum();
  const auto v = valued_place(problem, o);
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const auto theirs = product_with(directions[j], gradients.rows[j]);
    const auto ours =
        sum_of_products(vector, as_of_backward(numeric[j], v, part));
    const Tolerance tolerance{
        options.atol * directions[j].sum() * weight, options.rtol};
    if (!tolerance.agree(theirs, ours)) {
      fail_fast_backward(problem, {false, part, o, j}, output, theirs, ours);
    }
  }
}

inline void check_backward_fast(const Problem& problem) {
  Draw draw;
  const auto directions = directions_for(problem, draw);
  std::vector<Slopes> numeric;
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    numeric.push_back(slopes_by(problem, j, directions[j]));
  }
  if (problem.differentiable.empty()) {
    check_nearly_zero(problem, numeric);
    return;
  }
  std::vector<Vector> vectors;
  for (const auto o : problem.differentiable) {
    vectors.push_back(draw.unit(problem.outputs[o].numel()));
  }
  const bool complex = any_complex(problem.outputs, problem.valued);
  for (const auto pass : passes(complex)) {
    for (size_t d = 0; d < vectors.size(); ++d) {
      const auto o = problem.differentiable[d];
      if (const auto part = seen_in(pass, problem.outputs[o])) {
        check_backward_products(
            problem, o, *part, vectors[d], directions, numeric);
      }
    }
  }
}

/// Compares the tangents of all outputs for one tangent of input `j`.
inline void check_forward_product(
    const Problem& problem, size_t j, Part part, const Vector& vector) {
  const auto& options = problem.options;
  const auto& axis = part == Part::imaginary ? kImaginaryAxis : kRealAxis;
  const auto numeric = slopes_along(problem, j, vector, axis);
  const auto analytic = forward_product(problem, j, vector, axis);
  const Tolerance tolerance{options.atol * vector.sum(), options.rtol};
  for (size_t v = 0; v < problem.valued.size(); ++v) {
    const auto wrong = differences(analytic[v], numeric[v], tolerance);
    if (!wrong.empty()) {
      fail_fast_forward(
          problem,
          {true, part, problem.valued[v], j},
          wrong[0].analytic,
          wrong[0].numeric);
    }
  }
}

inline void check_forward_fast(const Problem& problem) {
  for (const auto pass : passes(any_complex(problem.inputs, problem.wrt))) {
    Draw draw;
    for (size_t j = 0; j < problem.wrt.size(); ++j) {
      const auto vector = draw.unit(problem.input(j).numel());
      if (const auto part = seen_in(pass, problem.input(j))) {
        check_forward_product(problem, j, *part, vector);
      }
    }
  }
}

}  // namespace libgrad::detail
