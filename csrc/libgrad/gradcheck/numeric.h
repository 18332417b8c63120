/// libgrad/gradcheck/numeric.h -- derivatives by central differences.

#pragma once

#include <libgrad/gradcheck/problem.h>

namespace libgrad::detail {

/// The derivatives of the outputs with respect to one input along the real axis
/// and, for a complex input, along the imaginary axis. Each list has one tensor
/// for each output in Problem::valued.
struct Slopes {
  variable_list real;
  variable_list imaginary = {};
};

/// From this number of evaluations on, one more evaluation is worth while to
/// find out whether they can do without a graph.
inline constexpr int64_t kManyEvaluations = 8;

/// Switches grad mode off for many evaluations whose outputs are only compared,
/// if the function gives the same numbers without it.
class NumbersOnly {
 public:
  NumbersOnly(const Problem& problem, int64_t evaluations)
      : mode_(
            at::GradMode::is_enabled() &&
            !(evaluations >= kManyEvaluations && same_unrecorded(problem))) {}

 private:
  at::AutoGradMode mode_;
};

/// For each output in Problem::valued a matrix, made by `make`, with a row for
/// each of `rows` evaluations.
inline variable_list rows_for_outputs(
    const Problem& problem,
    int64_t rows,
    at::Tensor (*make)(at::IntArrayRef, const at::Tensor&)) {
  variable_list result;
  result.reserve(problem.valued.size());
  for (const auto o : problem.valued) {
    const auto& output = problem.outputs[o];
    result.push_back(make({rows, output.numel()}, output));
  }
  return result;
}

/// (plus - minus) / (2 eps), computed in place in `plus`.
inline variable_list quotients(
    variable_list plus, const variable_list& minus, double eps) {
  for (size_t v = 0; v < plus.size(); ++v) {
    make_quotient(plus[v], minus[v], eps);
  }
  return plus;
}

/// The slopes with respect to each element of input `j` along one axis: for
/// each output a matrix with a row for each element of the input.
inline variable_list slopes_along(
    const Problem& problem, size_t j, const Complex& axis) {
  const auto& input = problem.input(j);
  const auto eps = problem.options.eps;
  const auto count = input.numel();
  const auto minus = rows_for_outputs(problem, count, room);
  const auto plus = rows_for_outputs(problem, count, room);
  Moved moved(input);
  const auto evaluate = [&](int64_t k, double step, const variable_list& to) {
    moved.one(k, step * axis);
    const auto outputs =
        evaluate_moved(problem, eps, unravel_index(input.sizes(), k));
    for (size_t v = 0; v < to.size(); ++v) {
      put_row(to[v], k, outputs[problem.valued[v]]);
    }
  };
  for (int64_t k = 0; k < count; ++k) {
    evaluate(k, -eps, minus);
    evaluate(k, eps, plus);
  }
  return quotients(plus, minus, eps);
}

/// The slopes with respect to input `j` along `direction`: for each output a
/// matrix with one row.
inline variable_list slopes_along(
    const Problem& problem,
    size_t j,
    const Vector& direction,
    const Complex& axis) {
  const auto eps = problem.options.eps;
  const auto minus = rows_for_outputs(problem, 1, room);
  const auto plus = rows_for_outputs(problem, 1, room);
  Moved moved(problem.input(j));
  const auto evaluate = [&](double step, const variable_list& to) {
    moved.all(direction, step * axis);
    const auto outputs = evaluate_moved(problem, eps, std::nullopt);
    for (size_t v = 0; v < to.size(); ++v) {
      put_row(to[v], 0, outputs[problem.valued[v]]);
    }
  };
  evaluate(-eps, minus);
  evaluate(eps, plus);
  return quotients(plus, minus, eps);
}

inline const Complex kRealAxis{1, 0};
inline const Complex kImaginaryAxis{0, 1};

/// The numeric Jacobians with respect to input `j`.
inline Slopes numeric_jacobians(const Problem& problem, size_t j) {
  Slopes slopes{slopes_along(problem, j, kRealAxis)};
  if (problem.input(j).is_complex()) {
    slopes.imaginary = slopes_along(problem, j, kImaginaryAxis);
  }
  return slopes;
}

/// The part of a complex tensor that a check considers; `whole` for real ones.
enum class Part { whole, real, imaginary };

inline const char* part_name(Part part) {
  switch (part) {
    case Part::real:
      return "real";
    case Part::imaginary:
      return "imaginary";
    default:
      return "";
  }
}

inline at::Tensor part_of(const at::Tensor& tensor, Part part) {
  if (part == Part::whole || !tensor.is_complex()) {
    return tensor;
  }
  return part == Part::real ? at::real(tensor) : at::imag(tensor);
}

/// The numeric counterpart of what the backward returns for a part of output
/// `v` of Problem::valued: for a complex input the conjugate Wirtinger
/// derivative.
inline at::Tensor as_of_backward(const Slopes& slopes, size_t v, Part part) {
  if (slopes.imaginary.empty()) {
    return part_of(slopes.real[v], part);
  }
  const auto wide = [&](const at::Tensor& slope) {
    const auto seen = part_of(slope, part).contiguous();
    return seen.scalar_type() == at::kFloat ? seen : seen.to(at::kDouble);
  };
  return at::complex(wide(slopes.real[v]), wide(slopes.imaginary[v]));
}

}  // namespace libgrad::detail
