/// libgrad/grad.h: every mistake has its message and type.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/grad.h>

#include <torch/utils.h>  // NoGradGuard

using libgrad::backward;
using libgrad::grad;

TEST(grad_says_what_is_wrong_with_its_options) {
  const auto x = leaf({1, 2});
  const auto y = (x * x).sum();
  EXPECT_THROWS(c10::Error, "argument to `grad()` cannot be", grad({y}, {}));
  EXPECT_THROWS(
      c10::ValueError,
      "Expected allow_unused to be True or not passed",
      grad({y}, {x}, {.allow_unused = false, .materialize_grads = true}));
  EXPECT_THROWS(
      c10::Error,
      "grad: got 1 tensors and 2 gradients; grad_outputs needs one entry",
      grad({y}, {x}, {.grad_outputs = {y, y}}));
  EXPECT_THROWS(
      c10::Error,
      "backward: got 1 tensors and 2 gradients; grad_tensors needs one entry",
      backward({y}, {.grad_tensors = {y, y}}));
}

TEST(grad_says_which_tensor_has_no_graph) {
  const auto x = leaf({1, 2}), c = constant({3, 4});
  const auto y = (x * x).sum();
  torch::NoGradGuard no_grad;
  EXPECT_THROWS(c10::Error, "element 1 of tensors does not", grad({y, c}, {x}));
  EXPECT_THROWS(c10::Error, "compute outputs[0] from", grad({Tensor()}, {x}));
  EXPECT_THROWS(c10::Error, "compute tensors[0] from", backward({(x * x)}));
  EXPECT_THROWS(
      c10::Error,
      "grad: One of the differentiated Tensors does not require grad: "
      "inputs[1] (float64 [2] on cpu); call requires_grad_() on it",
      grad({y}, {x, c}));
  EXPECT_THROWS(
      c10::Error, "inputs[0] (undefined)", backward({y}, {.inputs = {{}}}));
  EXPECT(!x.grad().defined());
}

TEST(grad_says_which_seed_does_not_fit) {
  const auto x = leaf({1, 2});
  const auto y = x * x, s = y.sum();
  const auto z = torch::complex(y, y);
  EXPECT_THROWS(
      c10::Error,
      "but outputs[1] is float64 [2] on cpu; pass grad",
      grad({s, y}, {x}));
  EXPECT_THROWS(
      c10::Error, "real scalar outputs but got", grad({z.sum()}, {x}));
  EXPECT_THROWS(
      c10::Error,
      "Mismatch in shape: grad_output[0] has a shape of [3] and output[0] has "
      "a shape of [2]",
      grad({y}, {x}, {.grad_outputs = {constant({1, 2, 3})}}));
  EXPECT_THROWS(
      c10::Error,
      "grad_output[0] has a dtype of torch.complex128 and output[0] has a "
      "dtype of torch.float64",
      grad({y}, {x}, {.grad_outputs = {z}}));
  EXPECT_THROWS(
      c10::Error,
      "expected device cpu but got meta",
      grad({y}, {x}, {.grad_outputs = {torch::ones(2, torch::kMeta)}}));
}

TEST(grad_says_what_is_wrong_with_a_batch) {
  const auto x = leaf({1, 2}), s = x.sum();
  const auto batched = [&](const variable_list& ys, const variable_list& vs) {
    grad(ys, {x}, {.grad_outputs = vs, .is_grads_batched = true});
  };
  EXPECT_THROWS(
      c10::ValueError, "but grad_outputs[0] is None", batched({s}, {}));
  EXPECT_THROWS(
      c10::IndexError,
      "needs a batch dimension in front, but grad_outputs[0] is a scalar",
      batched({s}, {torch::ones({})}));
  EXPECT_THROWS(
      c10::Error,
      "grad_output[0] has a shape of [3] behind its first dimension",
      batched({x * x}, {torch::eye(3, torch::kDouble)}));
  EXPECT_THROWS(
      c10::ValueError,
      "grad_outputs[0] has 2 and grad_outputs[1] has 3",
      batched({s, s}, {constant({1, 2}), constant({1, 2, 3})}));
  EXPECT(!libgrad::detail::in_vmap());
}

TEST(grad_says_which_edge_is_wrong) {
  const auto x = leaf({1, 2});
  const auto y = (x * x).sum();
  const Edge beyond{edge(y).function, 7}, nowhere;
  using edges = libgrad::edge_list;
  EXPECT_THROWS(
      c10::IndexError,
      "grad: outputs[0] is edge 7 of SumBackward0, which has 1",
      grad(edges{beyond}, edges{edge(x)}));
  EXPECT_THROWS(
      c10::IndexError,
      "backward: inputs[0] is edge 7 of SumBackward0, which has 1",
      backward(edges{edge(y)}, {.inputs = {beyond}}));
  EXPECT_THROWS(
      c10::Error, "inputs[0] is an edge to", grad({edge(y)}, {nowhere}));
  EXPECT_THROWS(
      c10::Error, "element 0 of tensors", backward(edges{nowhere}, {}));
  EXPECT_THROWS(
      c10::Error,
      "(inputs[0] is a GradientEdge)",
      grad({edge(y)}, {edge(leaf({1}) * 2)}, {.retain_graph = true}));
  EXPECT_THROWS(
      c10::Error,
      "materialize_grads cannot be used when the given input is a Gradient",
      grad({edge(y)}, {edge(leaf({1}) * 2)}, {.materialize_grads = true}));
}

TEST(inside_a_vmap_level_is_refused) {
  const auto x = leaf({1, 2});
  const libgrad::detail::VmapLevel level(2);
  const auto entered = level.enter(x);
  EXPECT_THROWS(
      c10::Error,
      "the case where any outputs are vmapped tensors (outputs[0]",
      grad({entered * entered}, {x}));
  EXPECT_THROWS(
      c10::Error, "(inputs[0] is being vmapped", grad({x * x}, {entered}));
  EXPECT_THROWS(
      c10::Error, "called inside torch.vmap. This", backward({x.sum()}));
  EXPECT(same(grad({x.sum()}, {x})[0], constant({1, 1})));
}
