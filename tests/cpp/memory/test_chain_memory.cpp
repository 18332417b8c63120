/// libgrad/chain.h: chains within a budget.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/chain.h>

using libgrad::ChainBudget;
using libgrad::checkpoint_optimal;
using libgrad::measure_chain;
using libgrad::detail::MemoryWatch;
using libgrad::detail::Watching;

namespace {

constexpr int64_t kRows = 256;
constexpr int64_t kLoss = 8;  // bytes, with its gradient

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
    layers.push_back(layer_of(w));
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

TEST(gradients_that_wait_count) {
  // Backward has the gradient of `many` when it comes to tanh, and then first
  // asks for something: what is in front runs again meanwhile.
  const std::vector<Layer> layers(5, [](const Tensor& x) {
    const auto many = x.repeat({8, 1, 1});
    const auto one = x.tanh();
    return (many * 2).sum(0) + one;
  });
  const auto x = torch::randn({64, 64}).requires_grad_();
  x.mutable_grad() = torch::zeros_like(x);
  const auto costs = measure_chain(layers, x);
  const auto smallest = libgrad::smallest_budget(costs);
  const auto largest = libgrad::largest_budget(costs);
  EXPECT(costs.steps[0].pending_bytes == 8 * 64 * 64 * 4);
  for (int i = 0; i <= 10; ++i) {
    const int64_t budget = smallest + (largest - smallest) * i / 10;
    const auto watch = std::make_shared<MemoryWatch>(c10::kCPU);
    const Watching watching(watch);
    Sum::apply(checkpoint_optimal(
                   layers, x, ChainBudget{.bytes = budget, .costs = costs}))
        .backward();
    EXPECT(watch->peak() <= budget + kLoss);
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
