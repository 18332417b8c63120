/// libgrad/gradcheck/problem.h -- the function under test, its inputs, and its
/// outputs there.

#pragma once

#include <libgrad/gradcheck/moved.h>

#include <libgrad/functional/evaluate.h>

#include <cmath>

namespace libgrad::detail {

inline constexpr Call kGradcheck{"gradcheck", "outputs", "seeds"};

/// What gradcheck must know about the language that the function is written in.
struct GradcheckHost {
  /// The meaning of an exception: a failure of the code that threw it (a
  /// RuntimeError in Python), another error, or an interrupt, after which
  /// nothing else may be tried.
  enum class Thrown { failure, other, interrupt };

  static Thrown by_cpp(const std::exception& error) {
    const bool of_libtorch = dynamic_cast<const c10::Error*>(&error) != nullptr;
    const bool other =
        dynamic_cast<const c10::IndexError*>(&error) != nullptr ||
        dynamic_cast<const c10::ValueError*>(&error) != nullptr ||
        dynamic_cast<const c10::TypeError*>(&error) != nullptr;
    const bool failure =
        of_libtorch
            ? !other
            : dynamic_cast<const std::runtime_error*>(&error) != nullptr;
    return failure ? Thrown::failure : Thrown::other;
  }

  std::function<Thrown(const std::exception&)> classify = by_cpp;
  /// Called with true when a level of dual tensors begins, and with false after
  /// it has ended.
  std::function<void(bool)> forward_mode = [](bool) {};
};

/// What names the inputs and outputs in messages when the function under test
/// is the gradient of another function.
struct SecondOrder {
  size_t inputs = 0;             // number of inputs; grad_outputs follow them
  std::vector<size_t> wrt = {};  // inputs whose gradients are the outputs
};

struct Problem {
  const ListFunction& f;
  const variable_list& inputs;  // undefined for an argument that is no tensor
  const GradcheckOptions& options;
  const GradcheckHost& host;
  const SecondOrder* second_order = nullptr;

  std::vector<size_t> wrt = {};             // inputs that require grad
  variable_list outputs = {};               // undefined where it is no tensor
  std::vector<size_t> valued = {};          // real or complex outputs
  std::vector<size_t> differentiable = {};  // outputs with a graph

  const at::Tensor& input(size_t j) const { return inputs[wrt[j]]; }

  /// The inputs that are differentiated.
  variable_list targets() const {
    variable_list result;
    for (const auto i : wrt) {
      result.push_back(inputs[i]);
    }
    return result;
  }

  std::string name_of_input(size_t i) const {
    return second_order != nullptr && i >= second_order->inputs
               ? text("grad_outputs[", i - second_order->inputs, ']')
               : text("input ", i);
  }

  std::string name_of_output(size_t o) const {
    return second_order != nullptr
               ? text("the gradient of input ", second_order->wrt.at(o))
               : text("output ", o);
  }
};

/// Warns about inputs and refuses inputs as torch does.
inline void check_problem(const Problem& problem) {
  const double eps = problem.options.eps;
  TORCH_CHECK_VALUE(
      std::isfinite(eps) && eps != 0,
      "gradcheck: eps is ",
      eps,
      ", but must be a step to move the inputs by, such as 1e-6");
  for (const auto i : problem.wrt) {
    const auto& input = problem.inputs[i];
    const auto dtype = input.scalar_type();
    if (dtype != at::kDouble && dtype != at::kComplexDouble) {
      TORCH_WARN(
          "gradcheck: Input #",
          i,
          " requires gradient and is not a double precision floating point or "
          "complex. This check will likely fail if all the inputs are not of "
          "double precision floating point or complex. (It is ",
          describe(input),
          "; call double() on it, or loosen eps, atol and rtol.)");
    }
    TORCH_CHECK_NOT_IMPLEMENTED(
        !input.is_meta(),
        "gradcheck: input ",
        i,
        " is a meta tensor, which has no numbers to differentiate; give one on "
        "the CPU or another device");
    TORCH_CHECK_NOT_IMPLEMENTED(
        input.layout() == at::kStrided,
        "gradcheck: input ",
        i,
        " is ",
        input.layout(),
        ", but only strided tensors are checked; use "
        "torch.autograd.gradcheck for it");
    for (int64_t d = 0; d < input.dim(); ++d) {
      TORCH_CHECK(
          input.stride(d) > 0 || input.size(d) <= 1,
          "gradcheck: The ",
          i,
          "th input has a dimension with stride 0. gradcheck only supports "
          "inputs that are non-overlapping to be able to compute the numerical "
          "gradients correctly. You should call .contiguous on the input "
          "before passing it to gradcheck.");
    }
  }
  TORCH_CHECK_VALUE(
      !problem.wrt.empty(),
      "gradcheck expects at least one input tensor to require gradient, but "
      "none of them have requires_grad=True.");
}

inline void check_layout_of_output(size_t o, const at::Tensor& output) {
  const auto layout = output.layout();
  const bool mkldnn = layout == at::kMkldnn;
  TORCH_CHECK_VALUE(
      layout == at::kStrided,
      mkldnn ? "MKLDNN" : "Sparse",
      " output is not supported at gradcheck yet. Please call "
      "to_dense(masked_grad=...) on the output of fn for gradcheck. (output ",
      o,
      " is ",
      layout,
      ')');
}

/// Calls the function and classifies its outputs.
inline void evaluate_problem(Problem& problem) {
  for (size_t i = 0; i < problem.inputs.size(); ++i) {
    if (problem.inputs[i].defined() && problem.inputs[i].requires_grad()) {
      problem.wrt.push_back(i);
    }
  }
  check_problem(problem);
  problem.outputs = problem.f(problem.inputs);
  for (size_t o = 0; o < problem.outputs.size(); ++o) {
    const auto& output = problem.outputs[o];
    if (has_numbers(output)) {
      problem.valued.push_back(o);
    }
    if (output.defined() && output.requires_grad()) {
      check_layout_of_output(o, output);
      problem.differentiable.push_back(o);
    }
  }
}

/// True when the function returns the same values, bit for bit, with grad mode
/// off: evaluations can then do without a graph.
inline bool same_unrecorded(const Problem& problem) {
  const at::AutoGradMode grad_mode(false);
  try {
    const auto outputs = problem.f(problem.inputs);
    for (const auto o : problem.valued) {
      const auto& before = problem.outputs[o];
      if (o >= outputs.size() || !outputs[o].defined() ||
          outputs[o].sizes() != before.sizes() ||
          outputs[o].scalar_type() != before.scalar_type() ||
          !outputs[o].equal(before)) {
        return false;
      }
    }
    return true;
  } catch (const std::exception& error) {
    if (problem.host.classify(error) == GradcheckHost::Thrown::interrupt) {
      throw;
    }
    return false;
  }
}

/// The outputs for inputs that were moved by `step`. Throws unless their
/// number, shapes and dtypes are those of Problem::outputs. `place` is the
/// index of the element that was moved; none where all elements were.
inline variable_list evaluate_moved(
    const Problem& problem,
    double step,
    const std::optional<std::vector<int64_t>>& place) {
  auto outputs = problem.f(problem.inputs);
  const auto changed = [&](const char* what) {
    auto said = text("Expected `func` to return outputs with the same ", what);
    said += " when inputs are perturbed ";
    if (place) {
      said += text("on index ", at::IntArrayRef(*place), ' ');
    }
    return said + text("by ", step, ", but got:");
  };
  assert_that(
      outputs.size() == problem.outputs.size(),
      changed("number"),
      ' ',
      outputs.size(),
      " and ",
      problem.outputs.size());
  for (const auto o : problem.valued) {
    const auto &before = problem.outputs[o], &now = outputs[o];
    if (now.defined() && now.sizes() == before.sizes() &&
        now.scalar_type() == before.scalar_type()) {
      continue;
    }
    assert_that(
        now.defined() && now.sizes() == before.sizes(),
        changed("shape"),
        " shapes ",
        now.defined() ? now.sizes() : at::IntArrayRef(),
        " and ",
        before.sizes());
    assert_that(
        false,
        changed("dtype"),
        " dtypes ",
        dtype_name(now.scalar_type()),
        " and ",
        dtype_name(before.scalar_type()));
  }
  return outputs;
}

}  // namespace libgrad::detail
