/// libgrad/gradcheck.h: right derivatives pass, wrong ones fail and tell how,
/// in this framework as in any other.

#include "functional/plain.h"
#include "functional/unusual.h"
#include "support/check.h"

#include <libgrad/gradcheck.h>

using libgrad::GradcheckError;
using libgrad::GradcheckKind;
using libgrad::GradcheckOptions;

namespace {

variable_list both(const variable_list& xs) {
  return {xs[0].matmul(xs[1]).tanh(), (xs[0] * xs[0]).sum(), torch::arange(3)};
}

Tensor wrong(const Tensor& x) {
  return Wrong::apply(x, 1.5, 0.0);
}

/// What gradcheck throws.
template <class F>
GradcheckError failure(
    const F& f, const Tensor& x, const GradcheckOptions& options = {}) {
  try {
    libgrad::gradcheck(libgrad::TensorCallable(f), x, options);
  } catch (const GradcheckError& error) {
    return error;
  }
  throw std::runtime_error("gradcheck passed");
}

bool says(const GradcheckError& error, const std::string& part) {
  return error.message.find(part) != std::string::npos;
}

const std::vector<GradcheckOptions> kModes{{}, {.fast_mode = true}};

}  // namespace

TEST(right_derivatives_pass) {
  const variable_list xs{
      randn({2, 3}).requires_grad_(), randn({3}).requires_grad_()};
  for (const bool fast : {false, true}) {
    EXPECT(
        libgrad::gradcheck(
            both,
            xs,
            {.check_grad_dtypes = true,
             .check_batched_grad = true,
             .check_batched_forward_grad = true,
             .check_forward_ad = true,
             .fast_mode = fast}));
    EXPECT(
        libgrad::gradgradcheck(
            both, xs, {}, {.check_fwd_over_rev = true, .fast_mode = fast}));
  }
}

TEST(complex_derivatives_pass) {
  const auto z = torch::randn({3}, torch::kComplexDouble).requires_grad_();
  const auto x = randn({3}).requires_grad_();
  const auto f = [](const variable_list& xs) -> variable_list {
    return {xs[0] * xs[1] * xs[1].conj(), at::real(xs[1]).sin(), xs[1].abs()};
  };
  for (const bool fast : {false, true}) {
    EXPECT(
        libgrad::gradcheck(
            f, {x, z}, {.check_forward_ad = true, .fast_mode = fast}));
    EXPECT(libgrad::gradgradcheck(f, {x, z}, {}, {.fast_mode = fast}));
  }
}

TEST(inputs_come_back_to_the_bit) {
  auto x = torch::tensor({-0.0, 1.0 / 3, 1e-300}, torch::kDouble);
  const auto before = x.clone();
  const auto view = torch::zeros({3, 2}, torch::kDouble).select(1, 1).copy_(x);
  const auto bits = [](const Tensor& t) {
    return t.contiguous().view(torch::kLong);
  };
  for (auto input : {x, view}) {
    input.requires_grad_();
    const auto version = input._version();
    const auto f = [](const Tensor& t) { return t.sin(); };
    EXPECT(libgrad::gradcheck(f, input));
    EXPECT(bits(input.detach()).equal(bits(before)));
    int calls = 0;
    const auto fails = [&](const Tensor& t) {
      TORCH_CHECK(++calls < 3, "the third call");
      return t.sin();
    };
    for (const auto& options : kModes) {
      calls = 0;
      EXPECT_THROWS(
          c10::Error, "third", libgrad::gradcheck(fails, input, options));
      EXPECT(bits(input.detach()).equal(bits(before)));
    }
    EXPECT(input._version() == version && !input.grad().defined());
  }
}

TEST(wrong_backward_fails_and_tells_where) {
  const auto x = leaf({1, 2, 3});
  for (const auto& options : kModes) {
    const auto error = failure(wrong, x, options);
    EXPECT(error.kind == GradcheckKind::jacobian && !error.forward_mode);
    EXPECT(error.output == 0u && error.input == 0u && error.part.empty());
    EXPECT(error.wrong == 3 && error.entries == 9 && error.worst.size() == 3);
    const auto& worst = error.worst[0];
    EXPECT(worst.output == std::vector<int64_t>{2});
    EXPECT(worst.input == std::vector<int64_t>{2});
    EXPECT(worst.analytic.real() == 9);
    EXPECT(std::abs(worst.numeric.real() - 6) < 1e-6);
    EXPECT(worst.error > worst.allowed && worst.allowed > 0);
    EXPECT(close(error.analytic, constant({3, 6, 9}).diag()));
    EXPECT(close(error.numeric, constant({2, 4, 6}).diag()));
    EXPECT(error.sweep.size() == 9 && error.sweep[0].eps == 1e-2);
    EXPECT(!error.sweep[4].agrees);
    EXPECT(
        says(error, "Jacobian mismatch for output 0 with respect to input 0"));
    EXPECT(says(error, "3 of 9 entries disagree"));
    EXPECT(says(error, "[2]          [2]          9              6 "));
    EXPECT(says(error, "it is 1.5 times what it should be"));
    EXPECT(error.what() == error.message);
  }
}

TEST(failure_names_the_output_and_input_of_the_function) {
  const auto f = [](const variable_list& xs) -> variable_list {
    return {xs[0], torch::arange(2), Tensor(), xs[1] * wrong(xs[2])};
  };
  const variable_list xs{constant({1, 2}), leaf({3, 4}), leaf({5, 6})};
  try {
    libgrad::gradcheck(f, xs);
  } catch (const GradcheckError& error) {
    EXPECT(error.output == 3u && error.input == 2u);
    EXPECT(says(error, "for output 0 with respect to input 1 (output 3 by "));
    return;
  }
  EXPECT(false);
}

TEST(false_instead_of_an_exception) {
  EXPECT(!libgrad::gradcheck(wrong, leaf({1}), {.raise_exception = false}));
  EXPECT(!libgrad::gradcheck(
      wrong, leaf({1}), {.raise_exception = false, .fast_mode = true}));
}

TEST(sweep_says_whether_another_eps_would_help) {
  const auto wide = [](const Tensor& x) { return (x * 1e4).sin(); };
  const auto smaller = failure(wide, leaf({1}), {.eps = 1e-3});
  EXPECT(smaller.advice.find("A smaller eps would help") == 0);
  const auto flat = [](const Tensor& x) { return x * 1e-3 + 1e7; };
  const auto larger = failure(flat, leaf({1}));
  EXPECT(larger.advice.find("A larger eps would help") == 0);
  const auto kink = [](const Tensor& x) { return (x - 1).abs().sqrt(); };
  const auto none = failure(kink, leaf({1.0 + 1e-12}));
  EXPECT(none.advice.find("does not settle") != std::string::npos);
  const auto zero = [](const Tensor& x) { return Wrong::apply(x, 0.0, 0.0); };
  const auto nothing = failure(zero, leaf({1}));
  EXPECT(nothing.advice.find("is wrong: it gives zero") != std::string::npos);
}

TEST(single_precision_is_warned_of_and_advised_on) {
  Warnings warnings;
  const auto x = torch::rand({3}).requires_grad_();
  const auto error = failure([](const Tensor& t) { return t.exp(); }, x);
  EXPECT(warnings.texts.size() == 1);
  EXPECT(
      warnings.texts[0].find("Input #0 requires gradient") !=
      std::string::npos);
  EXPECT(error.advice.find("larger eps") != std::string::npos);
  EXPECT(
      libgrad::gradcheck(
          [](const Tensor& t) { return t * 2; },
          x,
          {.eps = 1e-2, .atol = 1e-2}));
}

TEST(function_without_a_graph_must_be_constant) {
  const auto cut = [](const Tensor& x) { return x.detach() * 2; };
  const auto constant_one = [](const Tensor& x) { return torch::ones_like(x); };
  for (const auto& options : kModes) {
    const auto error = failure(cut, leaf({1}), options);
    EXPECT(error.kind == GradcheckKind::not_zero && error.output == 0u);
    EXPECT(says(error, "Numerical gradient for function expected to be zero"));
    EXPECT(libgrad::gradcheck(constant_one, leaf({1}), options));
  }
}

TEST(backward_that_differs_from_run_to_run_fails) {
  const auto f = [](const Tensor& x) { return Counting::apply(x); };
  for (auto options : kModes) {
    const auto error = failure(f, leaf({1, 2}), options);
    EXPECT(error.kind == GradcheckKind::not_repeatable);
    EXPECT(says(error, "Backward is not reentrant"));
    options.nondet_tol = 1e-5;
    EXPECT(libgrad::gradcheck(f, leaf({1, 2}), options));
  }
}

TEST(backward_must_take_zeros_and_undefined_gradients) {
  const auto offset = [](const Tensor& x) { return Wrong::apply(x, 1., 1e-7); };
  const auto strict = [](const Tensor& x) { return Strict::apply(x); };
  for (auto options : kModes) {
    const auto zero = failure(offset, leaf({1}), options);
    EXPECT(zero.kind == GradcheckKind::grad_output && zero.input == 0u);
    EXPECT(says(zero, "backward not multiplied by grad_output"));
    Warnings warnings;
    const auto undefined = failure(strict, leaf({1}), options);
    EXPECT(undefined.kind == GradcheckKind::undefined && undefined.cause);
    EXPECT(says(undefined, "no gradient came") && warnings.texts.size() == 1);
    options.check_undefined_grad = false;
    EXPECT(libgrad::gradcheck(strict, leaf({1}), options));
  }
}

TEST(backward_that_cannot_be_mapped_over_fails) {
  const auto f = [](const Tensor& x) { return Inspecting::apply(x); };
  EXPECT(libgrad::gradcheck(f, leaf({1})));
  const auto error = failure(f, leaf({1}), {.check_batched_grad = true});
  EXPECT(error.kind == GradcheckKind::batched && error.cause);
  EXPECT(says(error, "While computing batched gradients, got: "));
  EXPECT(!libgrad::detail::in_vmap());
}

TEST(wrong_double_backward_fails) {
  const auto f = [](const Tensor& x) { return Opaque::apply(x); };
  const auto half = [](const Tensor& x) { return x * Opaque::apply(x); };
  EXPECT(libgrad::gradcheck(half, leaf({1, 2})));
  EXPECT_THROWS(
      GradcheckError,
      "(the gradient of input 0 by input 0)",
      libgrad::gradgradcheck(half, leaf({1, 2})));
  EXPECT_THROWS(
      GradcheckError,
      "expected to be zero",
      libgrad::gradgradcheck(f, leaf({1, 2}), {constant({1, 1})}));
}

TEST(misuse_is_refused) {
  const auto f = [](const Tensor& x) { return x * 2; };
  EXPECT_THROWS(
      c10::ValueError,
      "at least one input tensor to require gradient",
      libgrad::gradcheck(f, constant({1})));
  EXPECT_THROWS(
      c10::Error,
      "The 0th input has a dimension with stride 0",
      libgrad::gradcheck(f, leaf({1}).expand({2})));
  EXPECT_THROWS(
      libgrad::GradcheckAssertion,
      "Expected at least one of",
      libgrad::gradcheck(f, leaf({1}), {.check_backward_ad = false}));
  const auto sparse = [](const Tensor& x) { return x.to_sparse(); };
  EXPECT_THROWS(
      c10::ValueError,
      "Sparse output is not supported",
      libgrad::gradcheck(sparse, leaf({1})));
  const auto grows = [](const Tensor& x) {
    return x[0].item<double>() > 1 ? x.repeat({2}) : x * 2;
  };
  EXPECT_THROWS(
      libgrad::GradcheckAssertion,
      "the same shape when inputs are perturbed on index [0] by 1e-06",
      libgrad::gradcheck(grows, leaf({1})));
  EXPECT_THROWS(
      std::domain_error,
      "in backward",
      libgrad::gradcheck(
          [](const Tensor& x) { return Failing::apply(x); }, leaf({1})));
}

TEST(tangent_without_memory_is_zeros) {
  const auto f = [](const Tensor& x) { return x.sgn(); };
  EXPECT(libgrad::gradcheck(f, leaf({1, -2}), {.check_forward_ad = true}));
}
