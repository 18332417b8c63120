/// libgrad/chain.h: what functions cost, and chains within a budget.

#include "check.h"
#include "checkpointed.h"

#include <libgrad/chain.h>

using libgrad::ChainBudget;
using libgrad::checkpoint_optimal;
using libgrad::measure_chain;
using libgrad::detail::MemoryWatch;
using libgrad::detail::Watching;

namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kLoss = 8;  // bytes, with its gradient

/// A layer with a weight, from so many columns to so many.
Layer layer(const Tensor& w) {
  return [w](const Tensor& x) {
    const auto y = torch::gelu(x.mm(w));
    return y + y.tanh() * 0.1;
  };
}

/// Layers of all kinds and sizes, with all the weights.
std::pair<std::vector<Layer>, std::vector<Tensor>> unequal() {
  std::vector<Layer> layers;
  std::vector<Tensor> all;
  const std::vector<int64_t> columns = {32, 96, 16, 64, 64, 128, 24, 40, 8};
  for (size_t i = 0; i + 1 < columns.size(); ++i) {
    const auto w =
        (torch::randn({columns[i], columns[i + 1]}) / std::sqrt(columns[i]))
            .requires_grad_();
    w.mutable_grad() = torch::zeros_like(w);
    all.push_back(w);
    layers.push_back(layer(w));
    layers.push_back([i](const Tensor& x) {
      return i % 2 == 0 ? torch::dropout(x, 0.2, true) : x.relu();
    });
  }
  layers.push_back([](const Tensor& x) { return x * 2; });  // saves nothing
  layers.push_back([](const Tensor& x) { return x.view({-1, 4}); });
  layers.push_back([](const Tensor& x) { return torch::softmax(x, 1) * x; });
  return {layers, all};
}

/// Each with a count of its runs.
std::vector<Layer> counted(
    const std::vector<Layer>& layers, std::vector<int64_t>& runs) {
  runs.assign(layers.size(), 0);
  std::vector<Layer> all;
  for (size_t i = 0; i < layers.size(); ++i) {
    all.push_back([f = layers[i], &run = runs[i]](const Tensor& x) {
      ++run;
      return f(x);
    });
  }
  return all;
}

/// A sum whose backward makes the whole gradient, which nobody else has.
struct Sum : torch::autograd::Function<Sum> {
  static Tensor forward(
      torch::autograd::AutogradContext* ctx, const Tensor& x) {
    ctx->saved_data["sizes"] = x.sizes().vec();
    return x.sum();
  }
  static variable_list backward(
      torch::autograd::AutogradContext* ctx, const variable_list& grads) {
    return {grads[0].expand(ctx->saved_data["sizes"].toIntVector()).clone()};
  }
};

struct Result {
  variable_list grads;
  int64_t peak;
};

/// Forward and backward, with `.grad`s that are there.
template <class Run>
Result train(const Run& run, const std::vector<Tensor>& all) {
  for (const auto& w : all) {
    w.grad().zero_();
  }
  torch::manual_seed(7);
  const auto x = torch::randn({kRows, 32}).requires_grad_();
  x.mutable_grad() = torch::zeros_like(x);
  const auto watch = std::make_shared<MemoryWatch>(c10::kCPU);
  {
    const Watching watching(watch);
    const auto y = run(x);
    Sum::apply(y).backward();
  }
  Result result{{x.grad()}, watch->peak()};
  for (const auto& w : all) {
    result.grads.push_back(w.grad().clone());
  }
  return result;
}

bool same_all(const variable_list& a, const variable_list& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!same(a[i], b[i])) {
      return false;
    }
  }
  return a.size() == b.size();
}

}  // namespace

TEST(costs_are_as_predicted) {
  const auto w = weights(64, 1);
  const auto x = torch::randn({kRows, 64}).requires_grad_();
  constexpr int64_t kUnit = kRows * 64 * sizeof(float);
  const std::vector<Layer> layers = {
      layer(w),
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

TEST(peaks_stay_within_the_budget) {
  torch::manual_seed(1);
  const auto [layers, all] = unequal();
  const auto x = torch::randn({kRows, 32}).requires_grad_();
  const auto costs = measure_chain(layers, x);
  std::vector<int64_t> runs;
  const auto functions = counted(layers, runs);
  const auto plain = train(
      [&layers = layers](Tensor value) {
        for (const auto& f : layers) {
          value = f(value);
        }
        return value;
      },
      all);
  const auto smallest = libgrad::smallest_budget(costs);
  const auto largest = libgrad::largest_budget(costs);
  EXPECT(smallest < 0.6 * largest && largest < 1.02 * plain.peak);
  for (int i = 0; i <= 40; ++i) {
    const int64_t budget = smallest + (largest - smallest) * i / 40;
    const auto plan = libgrad::plan_chain(costs, budget);
    std::fill(runs.begin(), runs.end(), 0);
    const auto found = train(
        [&](const Tensor& value) {
          return checkpoint_optimal(
              functions, value, ChainBudget{.bytes = budget, .costs = costs});
        },
        all);
    EXPECT(same_all(found.grads, plain.grads));
    EXPECT(found.peak <= budget + kLoss && found.peak > 0.9 * plan.peak_bytes);
    EXPECT(runs == plan.runs);
    EXPECT(i < 40 || runs == std::vector<int64_t>(runs.size(), 1));
  }
}

TEST(gradients_of_what_functions_share_count) {
  const auto w = torch::randn({128, 128}).div_(12).requires_grad_();
  w.mutable_grad() = torch::zeros_like(w);
  const auto bend = torch::ones({32, 128}).requires_grad_();
  const auto outside = bend * 2;  // of another graph
  bend.mutable_grad() = torch::zeros_like(bend);
  const std::vector<Layer> layers(
      6, [&](const Tensor& x) { return (x.mm(w) * outside).tanh(); });
  const auto x = torch::randn({32, 128});
  const auto costs = measure_chain(layers, x);
  for (int i = 0; i < 5; ++i) {
    EXPECT(costs.steps[i].pending_bytes >= (128 + 32) * 128 * 4);
  }
  const auto smallest = libgrad::smallest_budget(costs);
  const auto largest = libgrad::largest_budget(costs);
  for (const auto budget : {smallest, (smallest + largest) / 2, largest}) {
    const auto watch = std::make_shared<MemoryWatch>(c10::kCPU);
    const Watching watching(watch);
    const auto y = checkpoint_optimal(
        layers, x, ChainBudget{.bytes = budget, .costs = costs});
    Sum::apply(y).backward({}, /*keep_graph=*/false, false, {{w, outside}});
    EXPECT(watch->peak() <= budget + kLoss);
  }
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
        layer(w),
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

TEST(chains_work_as_any_graph) {
  const auto x = leaf({0.3, 0.7});
  const std::vector<Layer> layers(
      8, [](const Tensor& in) { return (in.exp() * in).tanh(); });
  Tensor plain = x;
  for (const auto& f : layers) {
    plain = f(plain);
  }
  const auto first = grad_of(plain, x, true);
  const auto costs = measure_chain(layers, x);
  const auto budget = libgrad::smallest_budget(costs);
  const auto y =
      checkpoint_optimal(layers, x, ChainBudget{.bytes = budget});  // measures
  EXPECT(same(grad_of(y, x, true), first) && same(grad_of(y, x, true), first));
  const auto second = [&x](const Tensor& result) {
    const auto g =
        libgrad::grad({result.sum()}, {x}, {.create_graph = true})[0];
    return grad_of(g, x);
  };
  EXPECT(same(second(y), second(plain)));
  const at::NoGradGuard no_grad;
  const auto alone = checkpoint_optimal(layers, x, ChainBudget{.bytes = 1});
  EXPECT(same(alone, plain) && !alone.requires_grad());
}

TEST(inputs_may_be_anything) {
  const auto table = weights(16, 1);
  const std::vector<Layer> layers = {
      [&](const Tensor& ids) { return torch::embedding(table, ids); },
      [](const Tensor& in) { return in.tanh(); },
      [](const Tensor& in) { return in.t().slice(0, 1, 3); },
      [](const Tensor& in) { return in.expand({2, 2, 5}); },
      [](const Tensor& in) { return in.sum(); }};
  const auto ids = torch::arange(5);
  const auto y = checkpoint_optimal(layers, ids, ChainBudget{.bytes = 1 << 20});
  EXPECT(grad_of(y, table).defined());
  measure_chain({[](const Tensor& in) { return in.detach(); }}, table);
  measure_chain({[](const Tensor& in) { return in; }}, table);
  measure_chain({[&](const Tensor&) { return table; }}, table);
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
