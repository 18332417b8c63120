/// tensors.h -- short names for what several tests are about.

#pragma once

#include <libgrad/graph.h>

#include <torch/types.h>  // torch::tensor

#include <vector>

using torch::Tensor;
using torch::autograd::Edge;
using torch::autograd::variable_list;

/// A vector to differentiate with respect to.
inline Tensor leaf(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble).requires_grad_();
}

inline Tensor constant(const std::vector<double>& values) {
  return torch::tensor(values, torch::kDouble);
}

/// Where the gradient of `tensor` enters the graph.
inline Edge edge(const Tensor& tensor) {
  return {
      libgrad::node(tensor).get(), static_cast<uint32_t>(tensor.output_nr())};
}

inline bool same(const Tensor& a, const Tensor& b) {
  return a.defined() && b.defined() && a.dtype() == b.dtype() && a.equal(b);
}
