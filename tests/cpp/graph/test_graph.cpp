/// libgrad/graph.h and draw.h: nodes as values, and the graph as text.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

#include <torch/csrc/autograd/custom_function.h>

#include <limits>

using libgrad::Node;
using libgrad::node;
using libgrad::to_text;
using torch::autograd::AutogradContext;

namespace {

Tensor scalar() {
  return torch::ones({}, torch::requires_grad());
}

/// -x, `links` times.
Tensor chain(const Tensor& x, int links) {
  auto y = x;
  for (int i = 0; i < links; ++i) {
    y = y.neg();
  }
  return y;
}

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * 3 * x * x};
  }
};

/// A Function that is a template.
template <class T>
struct Same : torch::autograd::Function<Same<T>> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x.clone(); }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return grads;
  }
};

}  // namespace

TEST(node_has_the_name_it_has_in_python) {
  const auto x = scalar();
  EXPECT(node(x).name() == "AccumulateGrad");
  EXPECT(node(x * x).name() == "MulBackward0");
  EXPECT(node(x + 1).name() == "AddBackward1");
  EXPECT(node(Cube::apply(x)).name() == "CubeBackward");
  const auto name = node(Same<std::string>::apply(x)).name();
  EXPECT(name.substr(0, 5) == "Same<" && name.ends_with(">Backward"));
}

TEST(next_is_where_gradients_go) {
  const auto x = scalar(), y = scalar();
  const auto next = node(x * y).next();
  EXPECT(next.size() == 2);
  EXPECT(next[0].first == node(x) && next[0].second == 0);
  EXPECT(next[1].first == node(y) && next[1].second == 0);
  EXPECT(node(x).next().empty());
}

TEST(next_has_no_node_for_what_needs_no_gradient) {
  const auto x = scalar();
  const auto next = node(x * torch::ones({})).next();
  EXPECT(next.size() == 2 && next[0].first && !next[1].first);
}

TEST(next_says_which_input_of_the_node) {
  const auto parts = torch::ones(3, torch::requires_grad()).unbind();
  const auto next = node(parts[2] * parts[1]).next();
  EXPECT(next[0].first == next[1].first);
  EXPECT(next[0].second == 2 && next[1].second == 1);
}

TEST(inputs_describe_the_outputs_of_the_operation) {
  const auto x = torch::ones({2, 3}, torch::kBFloat16).requires_grad_();
  const auto inputs = node(x.sum(0)).inputs();
  EXPECT(inputs.size() == 1 && inputs[0]);
  EXPECT(inputs[0]->shape == std::vector<c10::SymInt>{3});
  EXPECT(inputs[0]->dtype == torch::kBFloat16);
  EXPECT(inputs[0]->device == torch::kCPU);
}

TEST(inputs_has_nothing_for_outputs_that_were_not_made) {
  const auto g = torch::ones({1, 1, 2}, torch::requires_grad());
  const auto dx = std::get<0>(at::convolution_backward(
      g,
      torch::ones({1, 1, 3}),
      torch::ones({1, 1, 2}),
      std::nullopt,
      {1},
      {0},
      {1},
      false,
      {0},
      1,
      {true, false, false}));
  const auto inputs = node(dx).inputs();
  EXPECT(inputs.size() == 3 && inputs[0] && !inputs[1] && !inputs[2]);
}

TEST(variable_is_the_leaf) {
  const auto x = scalar();
  EXPECT(node(x).variable().is_same(x));
  EXPECT(!node(x * x).variable().defined());
}

TEST(sequence_numbers_count_up) {
  const auto x = scalar();
  const auto y = x * x, z = y * y;
  EXPECT(node(y).sequence_nr() < node(z).sequence_nr());
  EXPECT(node(x).sequence_nr() == std::numeric_limits<uint64_t>::max());
}

TEST(nodes_are_values) {
  const auto x = scalar();
  auto y = x * x;
  const Node kept = node(y);
  EXPECT(kept == node(y) && kept != node(x * x) && kept != node(x));
  y = Tensor();
  EXPECT(kept.name() == "MulBackward0" && kept.next()[0].first == node(x));
}

TEST(node_wants_a_tensor_that_requires_grad) {
  EXPECT_THROWS(
      c10::Error,
      "node: the tensor (float32 [2] on cpu) does not require grad, so no node",
      node(torch::ones(2)));
  EXPECT_THROWS(c10::Error, "node: the tensor (undefined)", node(Tensor()));
  EXPECT_THROWS(c10::Error, "node: the tensor", to_text(torch::ones(2)));
}

TEST(a_million_nodes_are_walked_drawn_and_freed) {
  constexpr int kLinks = 1'000'000;
  const auto x = scalar();
  auto y = chain(x, kLinks);
  int walked = 0;
  for (Node at = node(y); at.name() == "NegBackward0"; ++walked) {
    at = *at.next()[0].first;
  }
  EXPECT(walked == kLinks);
  const auto text = to_text(y, {.max_depth = 1});
  EXPECT(
      text ==
      "NegBackward0  float32 []\n"
      "└── NegBackward0  float32 []\n"
      "    └── ...\n"
      "(999999 more nodes below depth 1)\n");
  const Node last = node(y);
  y = Tensor();
  EXPECT(last.name() == "NegBackward0");
}

TEST(text_is_a_tree_with_the_leaves_at_its_ends) {
  const auto x = scalar(), y = scalar();
  EXPECT(
      to_text((x + y) * (y + 1), {.params = {{"x", x}, {"y", y}}}) ==
      "MulBackward0  float32 []\n"
      "├── AddBackward0  float32 []\n"
      "│   ├── AccumulateGrad  x: float32 []\n"
      "│   └── AccumulateGrad  y: float32 []\n"
      "└── AddBackward1  float32 []\n"
      "    └── AccumulateGrad  y: float32 []\n");
}

TEST(text_draws_a_shared_node_once) {
  const auto x = torch::ones({2, 3}, torch::kDouble).requires_grad_();
  const auto s = x.sin();
  EXPECT(
      to_text(s + s.exp()) ==
      "AddBackward0  float64 [2, 3]\n"
      "├── SinBackward0  float64 [2, 3]\n"
      "│   └── AccumulateGrad  float64 [2, 3]\n"
      "└── ExpBackward0  float64 [2, 3]\n"
      "    └── SinBackward0  float64 [2, 3]  (drawn above)\n");
}

TEST(text_tells_the_outputs_of_a_node_apart) {
  const auto x = torch::ones(2, torch::requires_grad());
  const auto parts = x.unbind();
  const libgrad::TextOptions names{.params = {{"x", x}}};
  EXPECT(
      to_text(parts[0] * parts[1], names) ==
      "MulBackward0  float32 []\n"
      "├── UnbindBackward0  float32 []\n"
      "│   └── AccumulateGrad  x: float32 [2]\n"
      "└── UnbindBackward0 (output 1)  float32 []  (drawn above)\n");
  EXPECT(
      to_text(parts[1], names) ==
      "UnbindBackward0 (output 1)  float32 []\n"
      "└── AccumulateGrad  x: float32 [2]\n");
}

TEST(text_of_a_cpp_function_and_of_a_leaf) {
  const auto x = scalar();
  EXPECT(
      to_text(Cube::apply(x)) ==
      "CubeBackward  float32 []\n"
      "└── AccumulateGrad  float32 []\n");
  EXPECT(to_text(x) == "AccumulateGrad  float32 []\n");
}

TEST(text_is_cut_at_a_depth) {
  const auto x = scalar(), y = scalar();
  const auto f = (x + y) * (y + 1);
  EXPECT(
      to_text(f, {.max_depth = 0}) ==
      "MulBackward0  float32 []\n"
      "├── ...\n"
      "└── ...\n"
      "(4 more nodes below depth 0)\n");
  EXPECT(
      to_text(chain(x, 2), {.max_depth = 1}) ==
      "NegBackward0  float32 []\n"
      "└── NegBackward0  float32 []\n"
      "    └── ...\n"
      "(1 more node below depth 1)\n");
  EXPECT(
      to_text(chain(x, 2), {.max_depth = 2}) ==
      "NegBackward0  float32 []\n"
      "└── NegBackward0  float32 []\n"
      "    └── AccumulateGrad  float32 []\n");
}
