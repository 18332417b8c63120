/// libgrad/gradcheck/compare.h -- compares two Jacobians entry by entry.

#pragma once

#include <libgrad/gradcheck/numeric.h>

#include <algorithm>

namespace libgrad::detail {

struct Tolerance {
  double atol;
  double rtol;

  double allowed(const Complex& numeric) const {
    return atol + rtol * std::abs(numeric);
  }

  /// As in torch.allclose: equal infinities agree, and NaN agrees with nothing.
  bool agree(const Complex& analytic, const Complex& numeric) const {
    const double error = std::abs(analytic - numeric);
    return analytic == numeric ||
           (std::isfinite(error) && error <= allowed(numeric));
  }
};

/// Two entries that disagree, and their place in the matrices.
struct Difference {
  int64_t row = 0;     // the element of the input
  int64_t column = 0;  // the element of the output
  Complex analytic = 0;
  Complex numeric = 0;

  double error() const { return std::abs(analytic - numeric); }

  /// By how much the error exceeds what is allowed; infinite for NaN.
  double excess(const Tolerance& tolerance) const {
    const double by = error() - tolerance.allowed(numeric);
    return std::isnan(by) ? std::numeric_limits<double>::infinity() : by;
  }
};

template <class Number>
std::vector<Difference> differences(
    const at::Tensor& analytic,
    const at::Tensor& numeric,
    const Tolerance& tolerance) {
  const auto* a = analytic.const_data_ptr<Number>();
  const auto* n = numeric.const_data_ptr<Number>();
  const auto a_row = analytic.stride(0), a_column = analytic.stride(1);
  const auto n_row = numeric.stride(0), n_column = numeric.stride(1);
  std::vector<Difference> result;
  for (int64_t i = 0; i < numeric.size(0); ++i) {
    for (int64_t j = 0; j < numeric.size(1); ++j) {
      const auto left = a[i * a_row + j * a_column];
      const auto right = n[i * n_row + j * n_column];
      if (left != right && !tolerance.agree(left, right)) {
        result.push_back({i, j, left, right});
      }
    }
  }
  return result;
}

/// The entries in which two matrices of one shape disagree.
inline std::vector<Difference> differences(
    const at::Tensor& analytic,
    const at::Tensor& numeric,
    const Tolerance& tolerance) {
  const bool complex = analytic.is_complex() || numeric.is_complex();
  const auto a = in_double(analytic, complex);
  const auto n = in_double(numeric, complex);
  return complex ? differences<Complex>(a, n, tolerance)
                 : differences<double>(a, n, tolerance);
}

/// Sorts the worst differences to the front and keeps at most `count` of them.
inline void keep_worst(
    std::vector<Difference>& all, const Tolerance& tolerance, size_t count) {
  const auto kept = std::min(count, all.size());
  std::partial_sort(
      all.begin(),
      all.begin() + static_cast<std::ptrdiff_t>(kept),
      all.end(),
      [&](const Difference& a, const Difference& b) {
        return a.excess(tolerance) > b.excess(tolerance);
      });
  all.resize(kept);
}

}  // namespace libgrad::detail
