/// libgrad/functional.h: what is refused, what is fallen back from, and that
/// nothing stays behind.

#include "functional/unusual.h"
#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/functional.h>

using libgrad::Strategy;

namespace {

bool all_as_before() {
  return at::GradMode::is_enabled() && !libgrad::detail::functorch_active() &&
         !at::functorch::maybeCurrentDynamicLayer().has_value() &&
         !libgrad::detail::in_vmap();
}

Tensor square(const Tensor& x) {
  return x * x;
}

Tensor linear(const Tensor& x) {
  return x.sum() * 2;
}

variable_list first_only(const variable_list& xs) {
  return {xs[0].pow(2).sum()};
}

}  // namespace

TEST(backward_that_cannot_be_batched_is_looped_with_one_warning) {
  const auto f = [](const Tensor& x) { return Inspecting::apply(x); };
  const auto x = constant({1, 2});
  Warnings warnings;
  for (int i = 0; i < 2; ++i) {
    EXPECT(same(libgrad::jacobian(f, x), constant({2, 4}).diag()));
  }
  EXPECT(warnings.texts.size() == 1);
  const auto& text = warnings.texts[0];
  EXPECT(text.find("jacobian: the batched backward failed (") == 0);
  EXPECT(text.find("item()") != text.npos);
  EXPECT(text.find("for each row instead") != text.npos && all_as_before());
}

TEST(backward_that_is_no_graph_is_not_taken_for_zero) {
  const auto f = [](const Tensor& x) { return Opaque::apply(x).repeat({20}); };
  Warnings warnings;
  const auto eye = constant({2, 4}).diag().repeat({20, 1});
  for (const auto strategy : {Strategy::automatic, Strategy::double_reverse}) {
    const auto j =
        libgrad::jacobian(f, constant({1, 2}), {.strategy = strategy});
    EXPECT(same(j, eye));
  }
  EXPECT(warnings.texts.size() == 1);
  EXPECT(
      warnings.texts[0].find("differentiating twice failed") !=
      std::string::npos);
}

TEST(half_a_backward_that_is_no_graph_is_noticed_too) {
  const auto f = [](const Tensor& x) {
    return (Opaque::apply(x) + x.pow(3)).repeat({20});
  };
  Warnings warnings;
  const auto j = libgrad::jacobian(f, constant({1, 2}));
  EXPECT(same(j, constant({5, 16}).diag().repeat({20, 1})));
}

TEST(forward_mode_falls_back_to_rows) {
  const auto f = [](const Tensor& x) { return Inspecting::apply(x); };
  Warnings warnings;
  const auto j =
      libgrad::jacobian(f, constant({1, 2}), {.strategy = Strategy::forward});
  EXPECT(same(j, constant({2, 4}).diag()) && !warnings.texts.empty());
  EXPECT(warnings.texts[0].find("jacobian: forward mode failed") == 0);
  EXPECT(all_as_before());
}

TEST(exception_in_the_function_arrives_and_restores_all) {
  const auto f = [](const Tensor& x) -> Tensor {
    throw std::domain_error("inside");
    return x;
  };
  const auto x = constant({1, 2});
  EXPECT_THROWS(std::domain_error, "inside", libgrad::vjp(f, x, {.v = {x}}));
  EXPECT_THROWS(std::domain_error, "inside", libgrad::jvp(f, x, {.v = {x}}));
  EXPECT_THROWS(std::domain_error, "inside", libgrad::hvp(f, x, {.v = {x}}));
  EXPECT_THROWS(std::domain_error, "inside", libgrad::hessian(f, x));
  Warnings warnings;  // that forward mode is given up
  for (const auto strategy : {Strategy::automatic, Strategy::forward}) {
    EXPECT_THROWS(
        std::domain_error,
        "inside",
        libgrad::jacobian(f, x, {.strategy = strategy}));
  }
  EXPECT_THROWS(
      std::domain_error,
      "inside",
      libgrad::jvp(f, x, {.v = {x}, .strategy = Strategy::forward}));
  EXPECT(all_as_before());
  libgrad::detail::DualLevel free_again;  // throws where one is left
}

TEST(exception_in_a_backward_is_the_loops_own) {
  const auto f = [](const Tensor& x) { return Failing::apply(x); };
  Warnings warnings;
  for (const auto strategy :
       {Strategy::automatic, Strategy::loop, Strategy::double_reverse}) {
    EXPECT_THROWS(
        std::domain_error,
        "in backward",
        libgrad::jacobian(f, constant({1, 2}), {.strategy = strategy}));
  }
  EXPECT(all_as_before());
}

TEST(derivatives_inside_a_transform_are_refused) {
  const auto x = constant({1, 2});
  const libgrad::detail::FunctorchLevel level(2);
  const auto refused = [&](const auto& body) {
    EXPECT_THROWS(c10::Error, "inside a transform of torch.func", body());
  };
  refused([&] { libgrad::vjp(square, x, {.v = {x}}); });
  refused([&] { libgrad::jvp(square, x, {.v = {x}}); });
  refused([&] {
    libgrad::jvp(square, x, {.v = {x}, .strategy = Strategy::forward});
  });
  refused([&] { libgrad::vhp(linear, x, {.v = {x}}); });
  refused([&] { libgrad::hvp(linear, x, {.v = {x}, .strict = true}); });
  refused([&] { libgrad::value_and_grad(linear, x); });
  refused([&] { libgrad::jacobian(square, x); });
  refused([&] { libgrad::hessian(linear, x); });
}

TEST(derivatives_under_inference_mode_are_refused) {
  const c10::InferenceMode inference;
  const auto x = constant({1, 2});
  EXPECT_THROWS(
      c10::Error, "under inference_mode", libgrad::jacobian(square, x));
}

TEST(vector_must_fit) {
  const auto x = constant({1, 2}), y = constant({1, 2, 3});
  const auto pair = [](const variable_list& xs) { return xs; };
  EXPECT_THROWS(
      c10::Error,
      "vjp: The vector v can only be None if the user-provided function "
      "returns a single Tensor with a single element.",
      libgrad::vjp(square, x));
  EXPECT_THROWS(
      c10::Error,
      "hvp: The vector v can only be None if the input to the user-provided "
      "function is a single Tensor with a single element.",
      libgrad::hvp(linear, x));
  EXPECT_THROWS(
      c10::Error,
      "vjp: v has invalid size: should be torch.Size([2]) but got "
      "torch.Size([3]).",
      libgrad::vjp(square, x, {.v = {y}}));
  EXPECT_THROWS(
      c10::Error,
      "jvp: Entry 1 in v has invalid size: should be torch.Size([3]) but got "
      "torch.Size([2]).",
      libgrad::jvp(pair, {x, y}, {.v = {x, x}}));
  EXPECT_THROWS(
      c10::Error,
      "The given v should contain a single Tensor.",
      libgrad::vhp(linear, x, {.v = {x, x}}));
  EXPECT_THROWS(
      c10::Error,
      "v is a tuple of invalid length: should be 2 but got 1.",
      libgrad::jvp(pair, {x, y}, {.v = {x}}));
}

TEST(functions_of_one_element_must_be_that) {
  const auto x = constant({1, 2});
  const auto two = [](const variable_list& xs) -> variable_list {
    return {xs[0].sum(), xs[0].prod()};
  };
  EXPECT_THROWS(
      c10::Error,
      "The function given to hessian should return a single Tensor",
      libgrad::hessian(two, {x}));
  EXPECT_THROWS(
      c10::Error,
      "The Tensor returned by the function given to vhp should contain a "
      "single element, but it is float64 [2] on cpu",
      libgrad::vhp(square, x, {.v = {x}}));
}

TEST(options_must_go_together) {
  const auto x = constant({1, 2});
  EXPECT_THROWS(
      c10::ValueError,
      "jacobian: chunk_size is 0",
      libgrad::jacobian(square, x, {.chunk_size = 0}));
  EXPECT_THROWS(
      c10::Error,
      "`strict=True` and `vectorized=True` are not supported together",
      libgrad::jacobian(
          square, x, {.strict = true, .strategy = Strategy::batched}));
  EXPECT_THROWS(
      c10::NotImplementedError,
      "`create_graph=True` and `strategy=\"forward-mode\"`",
      libgrad::jacobian(
          square, x, {.create_graph = true, .strategy = Strategy::forward}));
  EXPECT_THROWS(
      c10::Error,
      "`strict=True` and `strategy=\"forward-mode\"`",
      libgrad::jacobian(
          square, x, {.strict = true, .strategy = Strategy::forward}));
  EXPECT_THROWS(
      c10::NotImplementedError,
      "hessian: `create_graph=True`",
      libgrad::hessian(
          linear, x, {.create_graph = true, .strategy = Strategy::forward}));
  EXPECT_THROWS(
      c10::ValueError, "inputs is empty", libgrad::vjp(first_only, {}));
}

TEST(strict_refuses_outputs_without_a_graph) {
  const auto x = constant({1, 2});
  const auto f = [](const Tensor& t) { return t.detach().sum(); };
  const char* text = "Output 0 of the user-provided function does not require";
  EXPECT_THROWS(c10::Error, text, libgrad::vjp(f, x, {.strict = true}));
  EXPECT_THROWS(
      c10::Error, text, libgrad::jvp(f, x, {.v = {x}, .strict = true}));
  EXPECT_THROWS(
      c10::Error, text, libgrad::hvp(f, x, {.v = {x}, .strict = true}));
  EXPECT_THROWS(c10::Error, text, libgrad::jacobian(f, x, {.strict = true}));
  EXPECT_THROWS(c10::Error, text, libgrad::hessian(f, x, {.strict = true}));
}

TEST(strict_refuses_inputs_that_are_not_used) {
  const variable_list xs{constant({1, 2}), constant({3})};
  EXPECT_THROWS(
      c10::Error,
      "The output of the user-provided function is independent of input 1.",
      libgrad::vjp(first_only, xs, {.strict = true}));
  EXPECT_THROWS(
      c10::Error,
      "Output 0 of the user-provided function is independent of input 1.",
      libgrad::jacobian(first_only, xs, {.strict = true}));
  EXPECT_THROWS(
      c10::Error,
      "The output of the user-provided function is independent of input 1.",
      libgrad::jvp(first_only, xs, {.v = xs, .strict = true}));
}

TEST(strict_refuses_derivatives_that_do_not_depend) {
  const auto x = constant({1, 2});
  EXPECT_THROWS(
      c10::Error,
      "found that the jacobian of the user-provided function with respect to "
      "input 0 is independent of the input.",
      libgrad::hessian(linear, x, {.strict = true}));
  EXPECT_THROWS(
      c10::Error,
      "found that the jacobian",
      libgrad::vhp(linear, x, {.v = {x}, .strict = true}));
  const auto y = leaf({1, 2});
  EXPECT_THROWS(
      c10::Error,
      "The jacobian of the user-provided function is independent of input 0. "
      "This is not allowed in strict mode when create_graph=True.",
      libgrad::jacobian(linear, y, {.create_graph = true, .strict = true}));
}

TEST(strict_gives_the_same_where_all_depends) {
  const auto x = constant({1, 2});
  const auto j = libgrad::jacobian(square, x, {.strict = true});
  EXPECT(same(j, constant({2, 4}).diag()));
  const auto cube = [](const Tensor& t) { return t.pow(3).sum(); };
  const auto h = libgrad::hessian(cube, x, {.strict = true});
  EXPECT(same(h, constant({6, 12}).diag()));
}

TEST(rows_at_once_stay_under_the_bound) {
  using libgrad::detail::rows_at_once;
  const variable_list big{torch::empty({1 << 20}, torch::kDouble)};
  const variable_list small{torch::empty({4}, torch::kFloat)};
  EXPECT(rows_at_once(std::nullopt, big, big) == 1);
  const auto rows = rows_at_once(std::nullopt, small, small);
  EXPECT(rows * 32 <= libgrad::detail::kBatchBytes && rows > 100000);
  EXPECT(rows_at_once(7, big, small) == 7);
}
