/// libgrad/chain.h: what functions cost, and what finding it leaves as it was.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/chain.h>

using libgrad::ChainBudget;
using libgrad::checkpoint_optimal;
using libgrad::measure_chain;
using libgrad::detail::MemoryWatch;
using libgrad::detail::Watching;

TEST(costs_are_as_predicted) {
  constexpr int64_t kRows = 256;
  const auto w = weights(64, 1);
  const auto x = torch::randn({kRows, 64}).requires_grad_();
  constexpr int64_t kUnit = kRows * 64 * sizeof(float);
  const std::vector<Layer> layers = {
      layer_of(w),
      [](const Tensor& in) { return in.tanh(); },
      [](const Tensor& in) { return in * in.sigmoid(); },
      [](const Tensor& in) { return in.view({-1}) * 2; }};
  const auto costs = measure_chain(layers, x);
  EXPECT(costs.steps.size() == 4 && costs.output_bytes == kUnit);
  for (const auto& step : costs.steps) {
    EXPECT(step.seconds > 0 && step.input_bytes == kUnit);
  }
  const auto is = [](const libgrad::StepCosts& step, auto... expected) {
    const std::vector<int64_t> found = {
        step.saved_bytes / kUnit,
        step.forward_bytes / kUnit,
        step.backward_bytes / kUnit,
        step.pending_bytes / kUnit,
        step.saves_input,
        step.saves_output};
    return found == std::vector<int64_t>{expected...};
  };
  // The product, and tanh of its gelu; then gelu itself, 0.1 tanh. Backward
  // asks for tanh first, when it has made 0.1 of the gradient.
  EXPECT(is(costs.steps[0], 2, 2, 1, 1, 1, 0));
  EXPECT(is(costs.steps[1], 0, 0, 1, 0, 0, 1));  // the output
  EXPECT(is(costs.steps[2], 1, 0, 1, 0, 1, 0));  // the sigmoid; its gradient
  EXPECT(is(costs.steps[3], 0, 0, 0, 0, 0, 0));
}

TEST(measuring_changes_nothing) {
  const auto w = weights(16, 1);
  const auto x = torch::randn({4, 16}).requires_grad_();
  const auto buffer = torch::zeros({1});
  int called = 0;
  for (const auto& leaf : {w, x}) {
    leaf.register_hook([&called](const Tensor& grad) {
      ++called;
      return grad;
    });
  }
  for (const bool fails : {false, true}) {
    const std::vector<Layer> layers = {
        layer_of(w),
        [](const Tensor& in) { return torch::dropout(in, 0.5, true); },
        [&](const Tensor& in) -> Tensor {
          EXPECT(at::GradMode::is_enabled());
          if (fails) {
            throw std::runtime_error("mine");
          }
          return in.mm(w) + torch::randn({16});
        }};
    torch::manual_seed(3);
    const auto expected = torch::rand({4});
    torch::manual_seed(3);
    const at::NoGradGuard no_grad;
    at::autocast::set_autocast_cache_enabled(true);
    if (fails) {
      EXPECT_THROWS(std::runtime_error, "mine", measure_chain(layers, x));
    } else {
      measure_chain(layers, x);
    }
    EXPECT(same(torch::rand({4}), expected));
    EXPECT(!at::GradMode::is_enabled() && !Watching::is_taken());
    EXPECT(at::autocast::is_autocast_cache_enabled());
    EXPECT(!w.grad().defined() && !x.grad().defined() && called == 0);
    EXPECT(w._version() == 0 && x._version() == 0);
    const at::AutoGradMode enabled(true);
    EXPECT(same(grad_of(x.exp(), x), x.exp()));  // no hook was left
    called = 0;
  }
}

TEST(a_graph_that_a_function_keeps_leads_where_it_did) {
  const auto w = leaf({1, 2});
  Tensor kept;
  const auto x = leaf({3, 4});
  measure_chain({[&](const Tensor& in) { return in * (kept = w + 1); }}, x);
  EXPECT(same(grad_of(kept, w), constant({1, 1})));
}

TEST(what_cannot_be_measured_is_told) {
  const auto x = leaf({1, 2});
  const Layer f = [](const Tensor& in) { return in.exp(); };
  EXPECT_THROWS(
      c10::ValueError,
      "measure_chain: expected at least one function",
      measure_chain({}, x));
  EXPECT_THROWS(
      c10::TypeError,
      "measure_chain: input must be a tensor, but is none",
      measure_chain({f}, Tensor()));
  EXPECT_THROWS(
      c10::Error,
      "measure_chain: a function returned no tensor",
      measure_chain({[](const Tensor&) { return Tensor(); }}, x));
  EXPECT_THROWS(
      c10::ValueError,
      "checkpoint_optimal: costs are of 1 functions, but there are 2",
      checkpoint_optimal(
          {f, f}, x, ChainBudget{.bytes = 9, .costs = measure_chain({f}, x)}));
  EXPECT_THROWS(
      c10::ValueError,
      "budget_bytes must be positive, but is -1",
      checkpoint_optimal({f}, x, ChainBudget{.bytes = -1}));
  EXPECT_THROWS(
      c10::ValueError,
      "checkpoint_optimal: expected at least one function",
      checkpoint_optimal({}, x, ChainBudget{.bytes = 1}));
  {
    const Watching watching(std::make_shared<MemoryWatch>(c10::kCPU));
    EXPECT_THROWS(c10::Error, "while a profiler is on", measure_chain({f}, x));
  }
  const c10::InferenceMode inference;
  EXPECT_THROWS(c10::Error, "in inference mode", measure_chain({f}, x));
}
