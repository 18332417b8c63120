/// libgrad/gradcheck/types.h -- the options of gradcheck, and the exceptions
/// that it throws.

#pragma once

#include <libgrad/base/describe.h>

#include <c10/util/Exception.h>
#include <c10/util/complex.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `gradcheck`, by the names and with the defaults of
/// torch.autograd.gradcheck.
struct GradcheckOptions {
  /// The step of the differences (f(x + eps) - f(x - eps)) / (2 eps).
  double eps = 1e-6;
  /// Entries agree where |analytic - numeric| <= atol + rtol |numeric|.
  double atol = 1e-5;
  double rtol = 1e-3;
  /// Throw GradcheckError where a check fails, instead of returning false.
  bool raise_exception = true;
  /// The allowed difference between two runs of one backward.
  double nondet_tol = 0.0;
  /// Also run the backward with undefined gradients, which stand for zeros.
  bool check_undefined_grad = true;
  /// Also require that gradients have the dtypes of their inputs, and that the
  /// tangents of complex outputs, and only those, are complex.
  bool check_grad_dtypes = false;
  /// Also run the backward under vmap (the vmap of is_grads_batched).
  bool check_batched_grad = false;
  /// Also run forward mode under vmap.
  bool check_batched_forward_grad = false;
  /// Check forward mode, with dual tensors.
  bool check_forward_ad = false;
  /// Check the backward.
  bool check_backward_ad = true;
  /// Compare one random product vᵀJu instead of all of J.
  bool fast_mode = false;
  /// Allow the gradients of a zero seed to be only close to zero. The option
  /// has no other effect: sparse inputs, for which torch has it, are refused.
  bool masked = false;
};

/// Options of `gradgradcheck`. Options that GradcheckOptions has too mean the
/// same.
struct GradgradcheckOptions {
  double eps = 1e-6;
  double atol = 1e-5;
  double rtol = 1e-3;
  /// Draw non-contiguous vectors, where no vectors are given.
  bool gen_non_contig_grad_outputs = false;
  bool raise_exception = true;
  double nondet_tol = 0.0;
  bool check_undefined_grad = true;
  bool check_grad_dtypes = false;
  bool check_batched_grad = false;
  /// Check forward mode over the backward.
  bool check_fwd_over_rev = false;
  /// Check the backward of the backward.
  bool check_rev_over_rev = true;
  bool fast_mode = false;
  bool masked = false;
};

/// Which check failed.
enum class GradcheckKind {
  jacobian,        ///< analytic and numeric derivatives differ
  not_zero,        ///< no output has a graph, yet the function changes
  dtype,           ///< a gradient has another dtype than its input
  size,            ///< a gradient has another shape than its input
  layout,          ///< a gradient has another layout than its input
  device,          ///< a gradient is on another device than its input
  not_repeatable,  ///< two runs of one backward differ
  grad_output,     ///< a zero gradient of the outputs gives nonzero gradients
  undefined,       ///< undefined gradients or tangents are not taken for zeros
  batched,         ///< vmap fails, or gives other numbers than a loop
};

inline const char* name(GradcheckKind kind) {
  switch (kind) {
    case GradcheckKind::jacobian:
      return "jacobian";
    case GradcheckKind::not_zero:
      return "not_zero";
    case GradcheckKind::dtype:
      return "dtype";
    case GradcheckKind::size:
      return "size";
    case GradcheckKind::layout:
      return "layout";
    case GradcheckKind::device:
      return "device";
    case GradcheckKind::not_repeatable:
      return "not_repeatable";
    case GradcheckKind::grad_output:
      return "grad_output";
    case GradcheckKind::undefined:
      return "undefined";
    case GradcheckKind::batched:
      return "batched";
  }
  return "";
}

/// One entry of the analytic and the numeric Jacobian.
struct GradcheckEntry {
  std::vector<int64_t> output;  ///< index of the element in the output
  std::vector<int64_t> input;   ///< index of the element in the input
  c10::complex<double> analytic = 0;
  c10::complex<double> numeric = 0;
  double error = 0;    ///< |analytic - numeric|
  double allowed = 0;  ///< atol + rtol |numeric|
};

/// The numeric derivative of one entry with one step.
struct GradcheckStep {
  double eps;
  c10::complex<double> numeric;
  double error;  ///< |analytic - numeric|
  bool agrees;   ///< within the tolerances
};

/// Thrown where a check fails. what() describes the failure in sentences, the
/// members describe it as data. Members that do not apply to a kind are empty.
class GradcheckError : public std::exception {
 public:
  GradcheckError(GradcheckKind kind, std::string message)
      : kind(kind),
        message(std::move(message)) {}

  const char* what() const noexcept override { return message.c_str(); }

  GradcheckKind kind;
  std::string message;
  bool forward_mode = false;     ///< forward mode failed, not the backward
  std::optional<size_t> output;  ///< index among all outputs of the function
  std::optional<size_t> input;   ///< index among all inputs of the function
  /// "real" or "imaginary", where only that part of a complex output (in
  /// forward mode: of a complex input) was checked.
  std::string part;
  /// The entries that disagree most, the worst first; ten at most.
  std::vector<GradcheckEntry> worst;
  int64_t wrong = 0;    ///< the number of entries that disagree
  int64_t entries = 0;  ///< the number of all entries
  /// Both Jacobians, with a row for each element of the input and a column for
  /// each element of the output.
  at::Tensor analytic;
  at::Tensor numeric;
  /// The numeric derivative of the worst entry with steps from 1e-2 down to
  /// 1e-10.
  std::vector<GradcheckStep> sweep;
  std::string advice;                  ///< what the sweep means, and what to do
  std::exception_ptr cause = nullptr;  ///< the exception of a backward
};

/// Thrown where torch.autograd.gradcheck raises an AssertionError: for options
/// that contradict each other, and for outputs whose shape or dtype changes
/// with the inputs.
class GradcheckAssertion : public c10::Error {
 public:
  using c10::Error::Error;
};

namespace detail {

/// `parts`, printed one after another.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

template <class... Parts>
void assert_that(bool holds, const Parts&... parts) {
  if (!holds) {
    throw GradcheckAssertion(
        {__func__, __FILE__, static_cast<uint32_t>(__LINE__)}, text(parts...));
  }
}

}  // namespace detail

}  // namespace libgrad
