/// libgrad/gradcheck.h -- derivatives checked against finite differences, for
/// any function and in any test framework.
///
/// The checks, their order, tolerances and defaults are those of
/// torch.autograd.gradcheck. A failure names the output and the input,
/// shows the worst entries with both derivatives side by side, and says whether
/// another eps would help: in what() and as members of the exception.

#pragma once

#include <libgrad/gradcheck/run.h>

#include <libgrad/functional.h>

namespace libgrad {

/// True when the derivatives of `f` with respect to the inputs that require
/// grad agree with finite differences of its values. Inputs should be in double
/// precision. They are changed in place during the check and restored bit for
/// bit; no `.grad` is touched.
///
///     auto f = [](const variable_list& x) -> variable_list {
///       return {MyFunction::apply(x[0], x[1])};
///     };
///     libgrad::gradcheck(f, {x, w});
///     libgrad::gradcheck(f, {x, w}, {.fast_mode = true});
///
/// Throws GradcheckError where a check fails, unless `raise_exception` is
/// false: then it returns false. Throws c10::ValueError where no input requires
/// grad, c10::Error for an input with stride 0 and inside a transform of
/// torch.func, GradcheckAssertion for options that contradict each other, and
/// what `f` and its backward throw. Costs two calls of `f` for each element of
/// the inputs and two backwards for each element of the outputs; with
/// `fast_mode`, two calls for each input and two backwards for each output.
inline bool gradcheck(
    const Callable& f,
    const variable_list& inputs,
    const GradcheckOptions& options = {}) {
  return detail::gradcheck_in({}, f, inputs, options);
}

/// True when the derivatives of the gradients of `f` are right: the double
/// backward (`check_rev_over_rev`), and forward mode over the backward
/// (`check_fwd_over_rev`). `grad_outputs` has one vector for each output that
/// requires grad; an empty list stands for random vectors.
///
///     libgrad::gradgradcheck(f, {x, w});
///
/// Throws as `gradcheck`.
inline bool gradgradcheck(
    const Callable& f,
    const variable_list& inputs,
    const variable_list& grad_outputs = {},
    const GradgradcheckOptions& options = {}) {
  return detail::gradgradcheck_in({}, f, inputs, grad_outputs, options);
}

/// Overloads for functions of a single tensor.
///
///     libgrad::gradcheck([](const at::Tensor& x) { return x.sin(); }, x);
inline bool gradcheck(
    const TensorCallable& f,
    const at::Tensor& input,
    const GradcheckOptions& options = {}) {
  return gradcheck(detail::listed(f), {input}, options);
}

inline bool gradgradcheck(
    const TensorCallable& f,
    const at::Tensor& input,
    const variable_list& grad_outputs = {},
    const GradgradcheckOptions& options = {}) {
  return gradgradcheck(detail::listed(f), {input}, grad_outputs, options);
}

}  // namespace libgrad
