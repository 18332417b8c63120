/// libgrad/torch/transforms/dual_level.h -- a level of forward mode.
///
/// Relies on (covered by tests/cpp/torch/test_functorch.cpp):
/// ForwardADLevel::get_next_idx opens a level of dual tensors, and release_idx
/// closes it and clears its tangents.

#pragma once

#include <ATen/Functions.h>
#include <torch/csrc/autograd/forward_grad.h>

#include <cstdint>

namespace libgrad::detail {

/// A level of dual tensors, for as long as this object lives.
class DualLevel {
 public:
  DualLevel() = default;
  DualLevel(const DualLevel&) = delete;
  DualLevel& operator=(const DualLevel&) = delete;
  ~DualLevel() { torch::autograd::ForwardADLevel::release_idx(level_); }

  at::Tensor dual(const at::Tensor& primal, const at::Tensor& tangent) const {
    return at::_make_dual(primal, tangent, static_cast<int64_t>(level_));
  }

  /// The tangent of `tensor`; zeros if it has none.
  at::Tensor tangent(const at::Tensor& tensor) const {
    auto [primal, tangent] =
        at::_unpack_dual(tensor, static_cast<int64_t>(level_));
    return tangent.defined() ? tangent : at::zeros_like(primal);
  }

  /// The tangent of `tensor`; undefined if it has none.
  at::Tensor own_tangent(const at::Tensor& tensor) const {
    return std::get<1>(at::_unpack_dual(tensor, static_cast<int64_t>(level_)));
  }

  at::Tensor primal(const at::Tensor& tensor) const {
    return std::get<0>(at::_unpack_dual(tensor, static_cast<int64_t>(level_)));
  }

 private:
  uint64_t level_ = torch::autograd::ForwardADLevel::get_next_idx();
};

}  // namespace libgrad::detail
