/// libgrad/gradcheck/slow.h -- compares all entries of the Jacobians.

#pragma once

#include <libgrad/gradcheck/report.h>

#include <libgrad/gradcheck/analytic.h>

namespace libgrad::detail {

/// The passes of a check, each over one part of complex tensors. Real tensors
/// are checked only in the first pass.
inline std::vector<Part> passes(bool any_complex) {
  return any_complex ? std::vector{Part::imaginary, Part::real}
                     : std::vector{Part::whole};
}

/// The part of `tensor` that `pass` checks; none where an earlier pass did.
inline std::optional<Part> seen_in(Part pass, const at::Tensor& tensor) {
  if (tensor.is_complex()) {
    return pass;
  }
  return pass == Part::real ? std::nullopt : std::optional(Part::whole);
}

inline bool any_complex(
    const variable_list& tensors, const std::vector<size_t>& among) {
  return std::any_of(among.begin(), among.end(), [&](size_t i) {
    return tensors[i].is_complex();
  });
}

/// Throws for errors that show without a numeric derivative: wrong dtypes or
/// shapes, and a backward that differs between two runs.
inline void check_gradients(
    const Problem& problem, size_t o, const Gradients& gradients) {
  const auto fail = [&](GradcheckKind kind, const std::string& said) {
    GradcheckError error(kind, said);
    error.output = o;
    throw error;
  };
  const auto of = text(" (of ", problem.name_of_output(o), ')');
  if (!gradients.dtypes && problem.options.check_grad_dtypes) {
    fail(
        GradcheckKind::dtype,
        "Gradient has dtype mismatch" + of +
            "; the backward must give the dtypes of the inputs");
  }
  if (!gradients.sizes) {
    fail(
        GradcheckKind::size,
        "Analytical gradient has incorrect size" + of +
            "; the backward must give the shapes of the inputs");
  }
  if (gradients.difference > problem.options.nondet_tol) {
    fail(
        GradcheckKind::not_repeatable,
        text(
            "Backward is not reentrant, i.e., running backward with same input "
            "and grad_output multiple times gives different values",
            of,
            ": two runs differ by ",
            gradients.difference,
            ". The tolerance for nondeterminism was ",
            problem.options.nondet_tol,
            ". If the backward is random, or sums in no fixed order, as some "
            "do on GPUs, raise nondet_tol; else look for something that it "
            "changes in place."));
  }
}

/// Throws for a function without a graph whose output changes.
[[noreturn]] inline void fail_not_zero(
    const Problem& problem, size_t v, size_t j) {
  const auto o = problem.valued[v];
  GradcheckError error(
      GradcheckKind::not_zero,
      text(
          "Numerical gradient for function expected to be zero: no output of "
          "it requires grad, but ",
          problem.name_of_output(o),
          " changes with ",
          problem.name_of_input(problem.wrt[j]),
          at::GradMode::is_enabled()
              ? ". Something in it leaves autograd, such as detach(), item(), "
                "numpy() or torch.tensor() of a tensor."
              : ". Nothing is recorded here (no_grad or the like): call "
                "gradcheck outside."));
  error.output = o;
  error.input = problem.wrt[j];
  throw error;
}

/// Throws unless all slopes are zero, as they must be where no output has a
/// graph.
inline void check_all_zero(
    const Problem& problem, const std::vector<Slopes>& numeric) {
  for (size_t j = 0; j < numeric.size(); ++j) {
    for (size_t v = 0; v < problem.valued.size(); ++v) {
      if (any_nonzero(numeric[j].real[v]) ||
          (!numeric[j].imaginary.empty() &&
           any_nonzero(numeric[j].imaginary[v]))) {
        fail_not_zero(problem, v, j);
      }
    }
  }
}

/// The index of output `o` in Problem::valued.
inline size_t valued_place(const Problem& problem, size_t o) {
  return std::find(problem.valued.begin(), problem.valued.end(), o) -
         problem.valued.begin();
}

inline void check_backward_jacobians(
    const Problem& problem, const std::vector<Slopes>& numeric) {
  const bool complex = any_complex(problem.outputs, problem.valued);
  for (const auto pass : passes(complex)) {
    for (const auto o : problem.differentiable) {
      const auto part = seen_in(pass, problem.outputs[o]);
      if (!part) {
        continue;
      }
      const auto gradients =
          backward_rows(problem, part_of(problem.outputs[o], *part));
      check_gradients(problem, o, gradients);
      for (size_t j = 0; j < problem.wrt.size(); ++j) {
        compare(
            problem,
            {false, *part, o, j},
            gradients.rows[j].t(),
            as_of_backward(numeric[j], valued_place(problem, o), *part));
      }
    }
  }
}

inline void check_forward_jacobians(
    const Problem& problem, const std::vector<Slopes>& numeric) {
  for (const auto pass : passes(any_complex(problem.inputs, problem.wrt))) {
    std::vector<variable_list> analytic(problem.wrt.size());
    for (size_t j = 0; j < problem.wrt.size(); ++j) {
      if (seen_in(pass, problem.input(j))) {
        const bool imaginary =
            pass == Part::imaginary && problem.input(j).is_complex();
        analytic[j] =
            forward_rows(problem, j, imaginary ? kImaginaryAxis : kRealAxis);
      }
    }
    for (const auto o : problem.differentiable) {
      const auto v = valued_place(problem, o);
      for (size_t j = 0; j < problem.wrt.size(); ++j) {
        const auto part = seen_in(pass, problem.input(j));
        if (part) {
          const auto& slopes =
              *part == Part::imaginary ? numeric[j].imaginary : numeric[j].real;
          compare(problem, {true, *part, o, j}, analytic[j][v], slopes[v]);
        }
      }
    }
  }
}

/// Compares every entry of the Jacobians with its numeric derivative.
inline void check_slowly(const Problem& problem) {
  std::vector<Slopes> numeric;
  {
    const NumbersOnly mode(problem, 2 * elements(problem.targets()));
    for (size_t j = 0; j < problem.wrt.size(); ++j) {
      numeric.push_back(numeric_jacobians(problem, j));
    }
  }
  if (problem.differentiable.empty()) {
    check_all_zero(problem, numeric);
    return;
  }
  if (problem.options.check_backward_ad) {
    check_backward_jacobians(problem, numeric);
  }
  if (problem.options.check_forward_ad) {
    check_forward_jacobians(problem, numeric);
  }
}

}  // namespace libgrad::detail
