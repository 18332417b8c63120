/// libgrad/gradcheck/run.h -- runs the checks in their order, and makes the
/// gradient of a function a function that can be checked.

#pragma once

#include <libgrad/gradcheck/fast.h>

#include <libgrad/grad.h>
#include <libgrad/gradcheck/forward_rules.h>

namespace libgrad::detail {

inline void check_options(const GradcheckOptions& options) {
  assert_that(
      options.check_forward_ad || options.check_backward_ad,
      "Expected at least one of check_forward_ad or check_backward_ad to be "
      "True");
  assert_that(
      !options.check_batched_grad || options.check_backward_ad,
      "Setting check_batched_grad=True requires check_backward_ad to be True");
  assert_that(
      !options.check_batched_forward_grad || options.check_forward_ad,
      "Setting check_batched_forward_grad=True requires check_forward_ad to be "
      "True");
}

inline void check_options(const GradgradcheckOptions& options) {
  assert_that(
      options.check_fwd_over_rev || options.check_rev_over_rev,
      "Expected at least one of check_fwd_over_rev or check_rev_over_rev to be "
      "True");
  assert_that(
      !options.check_undefined_grad || options.check_rev_over_rev,
      "Setting check_undefined_grad=True requires check_rev_over_rev to be "
      "True");
  assert_that(
      !options.check_batched_grad || options.check_rev_over_rev,
      "Setting check_batched_grad=True requires check_rev_over_rev to be True");
}

inline void run_checks(Problem& problem) {
  const auto& options = problem.options;
  evaluate_problem(problem);
  if (options.fast_mode) {
    if (options.check_backward_ad) {
      check_backward_fast(problem);
    }
    if (options.check_forward_ad) {
      check_forward_fast(problem);
    }
  } else {
    check_slowly(problem);
  }
  if (options.check_forward_ad && options.check_undefined_grad) {
    check_undefined_tangents(problem);
  }
  if (options.check_batched_forward_grad) {
    check_batched_tangents(problem);
  }
  if (!options.check_backward_ad) {
    return;
  }
  if (options.check_batched_grad) {
    check_batched_gradients(problem);
  }
  check_multiplies_gradient(problem);
  if (options.check_undefined_grad) {
    check_undefined_gradients(problem);
  }
}

/// `gradcheck` for a function in the language of `host`.
inline bool gradcheck_in(
    const GradcheckHost& host,
    const ListFunction& f,
    const variable_list& inputs,
    const GradcheckOptions& options,
    const SecondOrder* second_order = nullptr) {
  check_options(options);
  check_surroundings(kGradcheck);
  Problem problem{f, inputs, options, host, second_order};
  try {
    run_checks(problem);
  } catch (const GradcheckError&) {
    if (options.raise_exception) {
      throw;
    }
    return false;
  }
  return true;
}

/// The indices of the tensors that require grad.
inline std::vector<size_t> requiring_grad(const variable_list& tensors) {
  std::vector<size_t> result;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].defined() && tensors[i].requires_grad()) {
      result.push_back(i);
    }
  }
  return result;
}

inline variable_list with_graph(const variable_list& tensors) {
  variable_list result;
  for (const auto& tensor : tensors) {
    if (tensor.defined() && tensor.requires_grad()) {
      result.push_back(tensor);
    }
  }
  return result;
}

/// Random vectors for the outputs of `f` that require grad.
inline variable_list random_grad_outputs(
    const ListFunction& f, const variable_list& inputs, bool contiguous) {
  Draw draw;
  variable_list vectors;
  for (const auto& output : with_graph(f(inputs))) {
    auto vector = draw.like(output.detach());
    if (!contiguous && vector.numel() > 1) {
      const auto dim = vector.dim() - 1;
      vector = vector.repeat_interleave(2, dim).slice(dim, 0, std::nullopt, 2);
    }
    vectors.push_back(vector.requires_grad_());
  }
  return vectors;
}

/// The gradients of `f` as a function of its inputs, followed by `vectors` (the
/// grad_outputs): one gradient for each of `inputs` that requires grad,
/// undefined where the outputs do not depend on the input. A graph is recorded
/// where grad mode is on.
inline ListFunction gradient_function(
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& vectors) {
  return [&f,
          wrt = requiring_grad(inputs),
          wrt_vectors = requiring_grad(vectors),
          count = inputs.size()](const variable_list& all) {
    const bool record = at::GradMode::is_enabled();
    const at::AutoGradMode grad_mode(true);
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(count);
    const variable_list xs(all.begin(), middle), vs(middle, all.end());
    variable_list targets;
    for (const auto i : wrt) {  // forward mode passes detached inputs
      targets.push_back(xs[i]);
      targets.back().requires_grad_();
    }
    for (const auto i : wrt_vectors) {
      at::Tensor(vs[i]).requires_grad_();
    }
    const auto outputs = with_graph(f(xs));
    if (outputs.empty()) {
      return variable_list();
    }
    return grad(
        outputs,
        targets,
        {.grad_outputs = vs, .create_graph = record, .allow_unused = true});
  };
}

/// `gradgradcheck` for a function in the language of `host`.
inline bool gradgradcheck_in(
    const GradcheckHost& host,
    const ListFunction& f,
    const variable_list& inputs,
    const variable_list& grad_outputs,
    const GradgradcheckOptions& options) {
  check_options(options);
  const auto vectors =
      grad_outputs.empty()
          ? random_grad_outputs(f, inputs, !options.gen_non_contig_grad_outputs)
          : grad_outputs;
  const auto g = gradient_function(f, inputs, vectors);
  auto all = inputs;
  all.insert(all.end(), vectors.begin(), vectors.end());
  const SecondOrder second_order{inputs.size(), requiring_grad(inputs)};
  return gradcheck_in(
      host,
      g,
      all,
      {.eps = options.eps,
       .atol = options.atol,
       .rtol = options.rtol,
       .raise_exception = options.raise_exception,
       .nondet_tol = options.nondet_tol,
       .check_undefined_grad = options.check_undefined_grad,
       .check_grad_dtypes = options.check_grad_dtypes,
       .check_batched_grad = options.check_batched_grad,
       .check_forward_ad = options.check_fwd_over_rev,
       .check_backward_ad = options.check_rev_over_rev,
       .fast_mode = options.fast_mode,
       .masked = options.masked},
      &second_order);
}

}  // namespace libgrad::detail
