/// libgrad/gradcheck/forward_rules.h -- the checks of forward mode besides its
/// numbers: it must accept undefined tangents, and run under vmap.

#pragma once

#include <libgrad/gradcheck/backward_rules.h>

#include <libgrad/gradcheck/fast.h>

#include <memory>

namespace libgrad::detail {

inline constexpr const char* kWithForward = " with forward-mode AD";

/// Throws unless an input without a tangent gives the same result as an input
/// whose tangent is zero. `pass` chooses the part of complex inputs that the
/// other tangents move.
inline void check_undefined_tangents(const Problem& problem, Part pass) {
  const CheckedLevel level(problem);
  Duals duals(problem, level);
  Draw draw;
  const auto directions = directions_for(problem, draw);
  std::vector<std::unique_ptr<Moved>> tangents;
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const bool imaginary =
        pass == Part::imaginary && problem.input(j).is_complex();
    tangents.push_back(std::make_unique<Moved>(duals.tangent(j)));
    tangents.back()->all(
        directions[j].real, imaginary ? kImaginaryAxis : kRealAxis);
  }
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const auto i = problem.wrt[j];
    const auto kept = duals[i];
    duals.replace(i, duals.fresh(i));
    const auto zeros = duals.evaluate();
    duals.replace(i, problem.inputs[i].detach());
    const auto none = duals.evaluate();
    duals.replace(i, kept);
    for (size_t v = 0; v < zeros.size(); ++v) {
      if (zeros[v].defined() && none[v].defined() &&
          !at::allclose(zeros[v], none[v])) {
        GradcheckError error(
            GradcheckKind::undefined,
            text(
                "Mismatch in tangent values for output with index: ",
                v,
                " when input: ",
                i,
                " has an undefined tangent value. Got: ",
                none[v],
                " but expected: ",
                zeros[v]));
        error.forward_mode = true;
        error.output = problem.valued[v];
        error.input = i;
        throw error;
      }
    }
  }
}

inline void check_undefined_tangents(const Problem& problem) {
  for (const auto pass : passes(any_complex(problem.inputs, problem.wrt))) {
    check_undefined_tangents(problem, pass);
  }
}

/// Jv with respect to input `j` alone, for each output in Problem::valued.
inline variable_list forward_single(
    const Problem& problem, size_t j, const at::Tensor& tangent) {
  const CheckedLevel level(problem);
  auto inputs = problem.inputs;
  for (auto& input : inputs) {
    input = input.defined() ? input.detach() : input;
  }
  const auto i = problem.wrt[j];
  inputs[i] = level->dual(inputs[i], tangent);
  const auto outputs = problem.f(inputs);
  variable_list result;
  for (const auto o : problem.valued) {
    result.push_back(level->tangent(outputs.at(o)));
  }
  return result;
}

/// Throws unless forward mode gives under vmap what it gives in a loop.
inline void check_batched_tangents(const Problem& problem) {
  Draw draw;
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const auto& input = problem.input(j);
    const variable_list tangents{draw.like(input), draw.like(input)};
    const auto first = forward_single(problem, j, tangents[0]);
    const auto second = forward_single(problem, j, tangents[1]);
    const auto both = mapped(
        problem,
        kWithForward,
        {at::stack(tangents)},
        [&](const variable_list& vectors) {
          return forward_single(problem, j, vectors[0]);
        });
    for (size_t v = 0; v < both.size(); ++v) {
      check_batch(
          problem,
          problem.valued[v],
          j,
          kWithForward,
          both[v],
          at::stack({first[v], second[v]}));
    }
  }
}

}  // namespace libgrad::detail
