/// libgrad/grad.h: gradients, by every option and along edges.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/grad.h>

using libgrad::backward;
using libgrad::grad;

TEST(grad_sums_over_outputs) {
  const auto x = leaf({1, 2}), y = leaf({3, 4});
  const auto grads = grad({(x * y).sum(), (x * x).sum()}, {x, y});
  EXPECT(grads.size() == 2);
  EXPECT(same(grads[0], constant({5, 8})));
  EXPECT(same(grads[1], constant({1, 2})));
}

TEST(grad_leaves_dot_grad_untouched) {
  const auto x = leaf({1, 2});
  grad({(x * x).sum()}, {x});
  EXPECT(!x.grad().defined());
}

TEST(output_that_is_the_input_has_gradient_one) {
  const auto x = leaf({7});
  EXPECT(same(grad({x}, {x})[0], constant({1})));
}

TEST(grad_outputs_weigh_and_undefined_ones_stand_for_one) {
  const auto x = leaf({1, 2});
  const variable_list ys{x * x, x.sum()};
  const auto dx = grad(ys, {x}, {.grad_outputs = {constant({1, 10}), {}}});
  EXPECT(same(dx[0], constant({3, 41})));
}

TEST(complex_gradient_is_the_conjugate_one) {
  const auto z = torch::tensor(c10::complex<double>(1, 2)).requires_grad_();
  const auto dz = grad({torch::real(z * z.conj())}, {z})[0];
  EXPECT(same(dz, torch::tensor(c10::complex<double>(2, 4))));
}

TEST(graph_is_freed_unless_it_is_retained) {
  const auto x = leaf({1, 2});
  const auto y = (x * x).sum();
  const auto first = grad({y}, {x}, {.retain_graph = true})[0];
  EXPECT(same(first, grad({y}, {x})[0]));
  EXPECT_THROWS(c10::Error, "a second time", grad({y}, {x}));
}

TEST(retain_graph_overrules_create_graph) {
  const auto x = leaf({1, 2});
  const auto y = (x * x).sum();
  grad({y}, {x}, {.retain_graph = false, .create_graph = true});
  EXPECT_THROWS(c10::Error, "a second time", grad({y}, {x}));
}

TEST(create_graph_reaches_the_third_order) {
  const auto x = leaf({2});
  auto y = x.pow(4);
  for (const double expected : {32, 48, 48}) {
    y = grad({y}, {x}, {.create_graph = true})[0];
    EXPECT(same(y, constant({expected})));
  }
  EXPECT(!grad({y}, {x})[0].requires_grad());
}

TEST(unused_input_is_undefined_zero_or_an_error) {
  const auto x = leaf({1, 2}), unused = leaf({3});
  const auto y = (x * x).sum();
  const auto is_zero = [&](const Tensor& t) { return same(t, constant({0})); };
  auto g = grad({y}, {x, unused}, {.retain_graph = true, .allow_unused = true});
  EXPECT(same(g[0], constant({2, 4})) && !g[1].defined());
  g = grad({y}, {unused}, {.retain_graph = true, .materialize_grads = true});
  EXPECT(is_zero(g[0]) && !g[0].requires_grad());
  g = grad({y}, {unused}, {.create_graph = true, .materialize_grads = true});
  EXPECT(is_zero(g[0]) && g[0].requires_grad());
  EXPECT_THROWS(
      c10::Error,
      "grad: The differentiated Tensor at index 1 appears to not have been "
      "used in the graph. Set allow_unused=True if this is the desired "
      "behavior. (inputs[1] is float64 [1] on cpu)",
      grad({y}, {x, unused}));
}

TEST(batched_grads_are_those_of_a_loop) {
  const auto x = leaf({1, 2, 3}), z = leaf({4});
  const variable_list ys{x.sin() * x, (x * x).sum() * z};
  const auto v = torch::randn({5, 3}, torch::kDouble);
  const auto w = torch::randn({5, 1}, torch::kDouble);
  const auto batched = grad(
      ys,
      {x, z},
      {.grad_outputs = {v, w}, .retain_graph = true, .is_grads_batched = true});
  for (int64_t i = 0; i < 5; ++i) {
    const auto one =
        grad(ys, {x, z}, {.grad_outputs = {v[i], w[i]}, .retain_graph = true});
    EXPECT(batched[0][i].allclose(one[0]) && batched[1][i].allclose(one[1]));
  }
  EXPECT(!libgrad::detail::in_vmap());
}

TEST(batched_grads_can_be_differentiated) {
  const auto x = leaf({1, 2});
  const auto y = x * x * x;
  const auto rows = grad(
      {y},
      {x},
      {.grad_outputs = {torch::eye(2, torch::kDouble)},
       .create_graph = true,
       .is_grads_batched = true})[0];
  EXPECT(same(rows, constant({3, 12}).diag()));
  EXPECT(same(grad({rows.sum()}, {x})[0], constant({6, 12})));
}

TEST(batched_grads_may_be_unused) {
  const auto x = leaf({1, 2}), unused = leaf({3});
  const auto g = grad(
      {x * x},
      {unused},
      {.grad_outputs = {torch::eye(2, torch::kDouble)},
       .allow_unused = true,
       .is_grads_batched = true});
  EXPECT(!g[0].defined());
}

TEST(backward_accumulates) {
  const auto x = leaf({1, 2}), y = leaf({3, 4});
  const auto z = x * y;
  backward({z.sum()}, {.retain_graph = true});
  EXPECT(same(x.grad(), y) && same(y.grad(), x));
  backward({z}, {.grad_tensors = {constant({1, 10})}});
  EXPECT(same(x.grad(), constant({6, 44})));
  EXPECT_THROWS(c10::Error, "a second time", backward({z.sum()}));
}

TEST(backward_fills_its_inputs_alone) {
  const auto x = leaf({1, 2}), y = leaf({3, 4});
  const auto z = x * y;
  backward({z.exp().sum()}, {.inputs = {x, z}});
  EXPECT(same(z.grad(), z.exp()));
  EXPECT(same(x.grad(), z.exp() * y));
  EXPECT(!y.grad().defined());
}

TEST(backward_with_create_graph_leaves_a_graph) {
  const auto x = leaf({2});
  backward({(x * x * x).sum()}, {.create_graph = true});
  const auto dx = x.grad();
  x.mutable_grad() = Tensor();  // the graph would hold its own leaf
  EXPECT(same(grad({dx}, {x})[0], constant({12})));
}

TEST(edges_stand_for_tensors) {
  const auto x = leaf({1, 2});
  const auto y = x * 2;
  const auto z = y.exp().sum();
  const auto expected = grad({z}, {x, y}, {.retain_graph = true});
  const libgrad::edge_list out{edge(z)}, in{edge(x), edge(y)};
  const auto got = grad(out, in, {.retain_graph = true});
  EXPECT(same(got[0], expected[0]) && same(got[1], expected[1]));
  backward(out, {.retain_graph = true});
  EXPECT(same(x.grad(), expected[0]));
  y.retain_grad();
  backward(out, {.inputs = {edge(y)}});
  EXPECT(same(x.grad(), expected[0]) && same(y.grad(), expected[1]));
}

TEST(edge_names_one_of_several_outputs) {
  const auto x = leaf({1, 2});
  const auto parts = (x * x).unbind();
  EXPECT(same(grad({edge(parts[1])}, {edge(x)})[0], constant({0, 4})));
}
