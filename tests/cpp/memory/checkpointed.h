/// checkpointed.h -- functions that are checkpoints in several tests.

#pragma once

#include "support/tensors.h"

#include <libgrad/checkpoint.h>
#include <libgrad/grad.h>

using Layer = std::function<Tensor(const Tensor&)>;

inline Tensor weights(int64_t size, int seed) {
  torch::manual_seed(seed);
  return (torch::randn({size, size}) / std::sqrt(size)).requires_grad_();
}

/// A layer with a weight, from so many columns to so many.
inline Layer layer_of(const Tensor& w) {
  return [w](const Tensor& x) {
    const auto y = torch::gelu(x.mm(w));
    return y + y.tanh() * 0.1;
  };
}

/// A function of one tensor, counted.
struct Counted {
  std::shared_ptr<int> runs = std::make_shared<int>(0);
  Tensor operator()(const Tensor& x) const {
    ++*runs;
    return (x.exp() * x).tanh();
  }
};

inline Tensor grad_of(const Tensor& y, const Tensor& x, bool keep = false) {
  return libgrad::grad({y.sum()}, {x}, {.retain_graph = keep})[0];
}
