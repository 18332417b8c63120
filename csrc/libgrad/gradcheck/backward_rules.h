/// libgrad/gradcheck/backward_rules.h -- the checks of a backward besides its
/// numbers: it must accept zeros and undefined gradients, and run under vmap.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp):
/// UndefinedGradBackward is a node that returns an undefined gradient whatever
/// it receives.

#pragma once

#include <libgrad/gradcheck/analytic.h>

#include <libgrad/functional/fallback.h>
#include <libgrad/gradcheck/slow.h>

namespace libgrad::detail {

/// The message of `error`, without a backtrace.
inline std::string all_lines(const std::exception& error) {
  const auto* ours = dynamic_cast<const c10::Error*>(&error);
  return ours != nullptr ? ours->what_without_backtrace() : error.what();
}

/// Rethrows the exception that is being handled, unless it is a failure of the
/// code under test.
inline void expect_failure(
    const Problem& problem, const std::exception& error) {
  if (problem.host.classify(error) != GradcheckHost::Thrown::failure) {
    throw;
  }
}

/// The outputs with a graph.
inline variable_list recorded(const Problem& problem) {
  variable_list result;
  for (const auto o : problem.differentiable) {
    result.push_back(problem.outputs[o]);
  }
  return result;
}

inline variable_list zeros_for(const variable_list& outputs) {
  variable_list result;
  for (const auto& output : outputs) {
    result.push_back(zeros(output.sizes(), output));
  }
  return result;
}

[[noreturn]] inline void fail_gradient(
    const Problem& problem,
    GradcheckKind kind,
    size_t j,
    const std::string& said) {
  GradcheckError error(
      kind, text(said, " (", problem.name_of_input(problem.wrt[j]), ')'));
  error.input = problem.wrt[j];
  throw error;
}

inline bool is_zero(const at::Tensor& gradient, bool nearly) {
  const at::AutoGradMode grad_mode(false);
  return nearly ? at::allclose(gradient, at::zeros_like(gradient))
                : !any_nonzero(gradient);
}

/// Throws unless a seed of zeros gives gradients of zeros, with the layout,
/// dtype, device and shape of the inputs.
inline void check_multiplies_gradient(const Problem& problem) {
  const auto outputs = recorded(problem);
  if (outputs.empty()) {
    return;
  }
  const auto grads = Backward(problem, outputs)(zeros_for(outputs));
  for (size_t j = 0; j < grads.size(); ++j) {
    if (!grads[j].defined()) {
      continue;
    }
    const auto& input = problem.input(j);
    const auto fail = [&](GradcheckKind kind, const std::string& said) {
      fail_gradient(problem, kind, j, said);
    };
    if (grads[j].layout() != input.layout()) {
      fail(
          GradcheckKind::layout,
          text(
              "grad is incorrect layout (",
              grads[j].layout(),
              " is not ",
              input.layout(),
              ')'));
    }
    if (!is_zero(grads[j], problem.options.masked)) {
      fail(
          GradcheckKind::grad_output,
          "backward not multiplied by grad_output: where grad_output is zero, "
          "the gradient must be, too");
    }
    if (grads[j].scalar_type() != input.scalar_type()) {
      fail(GradcheckKind::dtype, "grad is incorrect type");
    }
    if (grads[j].device() != input.device()) {
      fail(GradcheckKind::device, "grad is incorrect device");
    }
    if (grads[j].sizes() != input.sizes()) {
      fail(GradcheckKind::size, "grad is incorrect size");
    }
  }
}

inline void warn_of_undefined() {
  TORCH_WARN(
      "gradcheck: Backwards compatibility: New undefined gradient support "
      "checking feature is enabled by default, but it may break existing "
      "callers of this function. If this is true for you, you can call this "
      "function with \"check_undefined_grad=False\" to disable the feature");
}

inline constexpr const char* kUndefinedAdvice =
    " A backward gets an undefined gradient (None in Python, unless "
    "set_materialize_grads is left on) for an output that nothing used: treat "
    "it as zeros, or pass check_undefined_grad=False.";

/// An edge through which the gradient of `output` enters the graph and becomes
/// undefined.
inline Edge undefining_edge(const at::Tensor& output) {
  auto node = make_node<torch::autograd::UndefinedGradBackward>();
  node->add_input_metadata(output);
  node->set_next_edges({root_edge(output)});
  return {std::move(node), 0};
}

/// Throws unless the backward from `roots` treats undefined gradients as zeros.
/// The seeds are zeros; some roots are undefining edges.
inline void check_undefined(
    const Problem& problem,
    const edge_list& roots,
    const variable_list& seeds) {
  variable_list grads;
  try {
    grads = Backward(problem, roots)(seeds);
  } catch (const std::exception& error) {
    expect_failure(problem, error);
    warn_of_undefined();
    GradcheckError failure(
        GradcheckKind::undefined,
        "Expected backward function to handle undefined output grads, but it "
        "raised: " +
            all_lines(error) + '.' + kUndefinedAdvice);
    failure.cause = std::current_exception();
    throw failure;
  }
  for (size_t j = 0; j < grads.size(); ++j) {
    if (grads[j].defined() && !is_zero(grads[j], /*nearly=*/false)) {
      warn_of_undefined();
      fail_gradient(
          problem,
          GradcheckKind::undefined,
          j,
          text(
              "Expected all input grads to be undefined or zero when all "
              "output grads are undefined or zero.",
              kUndefinedAdvice));
    }
  }
}

/// check_undefined with the gradients of all outputs undefined, and, where
/// there are several outputs, with that of each output alone.
inline void check_undefined_gradients(const Problem& problem) {
  const auto outputs = recorded(problem);
  if (outputs.empty()) {
    return;
  }
  const auto seeds = zeros_for(outputs);
  const auto undefined = edges(outputs, undefining_edge);
  check_undefined(problem, undefined, seeds);
  for (size_t d = 0; outputs.size() > 1 && d < outputs.size(); ++d) {
    auto roots = edges(outputs, root_edge);
    roots[d] = undefined[d];
    check_undefined(problem, roots, seeds);
  }
}

/// Drops vmap's warnings that it loops over an operator ("There is a
/// performance drop").
class QuietVmap : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("There is a performance drop") ==
        std::string::npos) {
      outer_->process(warning);
    }
  }

 private:
  c10::WarningHandler* outer_ = c10::WarningUtils::get_warning_handler();
  c10::WarningUtils::WarningHandlerGuard guard_{this};
};

/// The result of `run` for all of `batches` at once, by vmap.
template <class Run>
variable_list mapped(
    const Problem& problem,
    const char* mode,
    const variable_list& batches,
    const Run& run) {
  try {
    const QuietVmap quiet;
    return run_batched(batches, run);
  } catch (const std::exception& error) {
    expect_failure(problem, error);
    GradcheckError failure(
        GradcheckKind::batched,
        text(
            "While computing batched gradients, got: ",
            all_lines(error),
            "\n\ngradcheck or gradgradcheck failed while testing batched "
            "gradient computation",
            mode,
            ": something in it does not go through vmap."));
    failure.cause = std::current_exception();
    throw failure;
  }
}

/// Throws unless the batch `mapped` equals `looped`, the results of single
/// runs.
inline void check_batch(
    const Problem& problem,
    size_t o,
    size_t j,
    const char* mode,
    const at::Tensor& mapped,
    const at::Tensor& looped) {
  const at::AutoGradMode grad_mode(false);
  if (at::allclose(mapped, looped)) {
    return;
  }
  GradcheckError error(
      GradcheckKind::batched,
      text(
          "For ",
          problem.name_of_output(o),
          " and ",
          problem.name_of_input(problem.wrt[j]),
          ": gradcheck or gradgradcheck failed while testing batched gradient "
          "computation",
          mode,
          "; vmap gives other numbers than a loop.\n\nGot:\n",
          mapped,
          "\n\nExpected:\n",
          looped));
  error.output = o;
  error.input = problem.wrt[j];
  error.analytic = mapped;
  error.numeric = looped;
  throw error;
}

/// `tensors` with zeros like `like` in place of undefined tensors.
inline variable_list filled(variable_list tensors, const variable_list& like) {
  fill_zeros(tensors, like);
  return tensors;
}

/// Throws unless the backward of each output gives under vmap what it gives in
/// a loop.
inline void check_batched_gradients(const Problem& problem) {
  Draw draw;
  const auto inputs = problem.targets();
  for (const auto o : problem.differentiable) {
    const Backward backward(problem, {problem.outputs[o]});
    const variable_list seeds{
        draw.like(problem.outputs[o]), draw.like(problem.outputs[o])};
    const auto first = filled(backward({seeds[0]}), inputs);
    const auto second = filled(backward({seeds[1]}), inputs);
    const auto both = mapped(
        problem, "", {at::stack(seeds)}, [&](const variable_list& vectors) {
          return filled(backward(vectors), inputs);
        });
    for (size_t j = 0; j < inputs.size(); ++j) {
      check_batch(problem, o, j, "", both[j], at::stack({first[j], second[j]}));
    }
  }
}

}  // namespace libgrad::detail
