/// libgrad/checkpoint.h: what is kept, and how often functions run.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/libgrad.h>

#include <c10/core/CPUAllocator.h>

#include <map>

using libgrad::checkpoint;
using libgrad::checkpoint_optimal;
using libgrad::checkpoint_sequential;

namespace {

/// Saves its input, the product and the tanh: three tensors of x's size.
Tensor layer(const Tensor& x, const Tensor& w) {
  const auto y = torch::gelu(x.mm(w));
  return y + y.tanh() * 0.1;
}

/// Bytes of the CPU's allocator on this thread, while it lives.
class Memory : public c10::MemoryReportingInfoBase {
 public:
  void reportMemoryUsage(
      void*, int64_t size, size_t, size_t, c10::Device) override {
    now += size;
    peak = std::max(peak, now);
  }
  bool memoryProfilingEnabled() const override { return true; }
  int64_t now = 0;
  int64_t peak = 0;
};

struct Usage {
  double kept;
  double peak;
};

/// The fewest steps forward, by trying all cuts.
int64_t fewest(int64_t steps, int64_t slots) {
  static std::map<std::pair<int64_t, int64_t>, int64_t> known;
  if (steps == 1) {
    return 0;
  }
  if (slots == 0) {
    return steps * (steps - 1) / 2;
  }
  const auto [place, is_new] = known.try_emplace({steps, slots}, INT64_MAX);
  for (int64_t k = 1; is_new && k < steps; ++k) {
    const auto cost = k + fewest(k, slots) + fewest(steps - k, slots - 1);
    place->second = std::min(place->second, cost);
  }
  return place->second;
}

/// What a chain of layers keeps after forward and takes in backward, in tensors
/// of its input's size.
using Run = std::function<Tensor(const std::vector<Layer>&, const Tensor&)>;

Usage measure(int layers, const Run& run) {
  constexpr int64_t kRows = 512;
  constexpr int64_t kSize = 64;
  std::vector<Tensor> all;
  std::vector<Layer> functions;
  for (int i = 0; i < layers; ++i) {
    all.push_back(weights(kSize, i));
    all.back().mutable_grad() = torch::zeros({kSize, kSize});
    functions.push_back(
        [w = all.back()](const Tensor& x) { return layer(x, w); });
  }
  const auto x = torch::randn({kRows, kSize});
  const auto memory = std::make_shared<Memory>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, memory);
  auto h = run(functions, x);
  auto loss = h.pow(2).mean();
  h.reset();
  const double unit = kRows * kSize * sizeof(float);
  const double kept = memory->now / unit;
  memory->peak = memory->now;
  loss.backward();
  return {kept, memory->peak / unit};
}

/// Each of `segments` is a checkpoint.
Usage measure(int layers, int segments) {
  const int size = layers / segments;
  return measure(layers, [&](const std::vector<Layer>& all, const Tensor& x) {
    auto h = x;
    for (int s = 0; s < segments; ++s) {
      const auto part = [&all, s, size](const Tensor& in) {
        auto out = in;
        for (int i = s * size; i < (s + 1) * size; ++i) {
          out = all[i](out);
        }
        return out;
      };
      h = segments == 1 ? part(h) : checkpoint(part, h);
    }
    return h;
  });
}

bool within(double value, double expected, double part) {
  return std::abs(value - expected) <= part * expected;
}

}  // namespace

TEST(memory_is_as_predicted) {
  const auto none = measure(16, 1);
  EXPECT(within(none.kept, 16 * 3, 0.03));
  // An input for each segment but the first, and the last one's result.
  const auto four = measure(16, 4);
  EXPECT(within(four.kept, 4, 0.03));
  EXPECT(within(four.peak, 4 + 4 * 3 + 1, 0.03));
  const auto eight = measure(64, 8);
  EXPECT(within(eight.kept, 8, 0.03));
  EXPECT(within(eight.peak, 8 + 8 * 3 + 1, 0.03));
}

TEST(the_best_schedule_runs_as_often_as_the_theory_says) {
  EXPECT(libgrad::detail::revolve_steps(64, 4) + 64 == 264);
  EXPECT(libgrad::detail::revolve_steps(64, 6) + 64 == 220);
  EXPECT(libgrad::detail::revolve_steps(64, 11) + 64 == 179);
  const auto x = leaf({1, 2});
  for (const int count : {1, 2, 3, 7, 16, 40}) {
    for (const int slots : {0, 1, 2, 3, 5, 10, 50}) {
      int runs = 0;
      const std::vector<Layer> functions(count, [&runs](const Tensor& in) {
        ++runs;
        return (in.exp() * in).tanh();
      });
      Tensor plain = x;
      for (const auto& function : functions) {
        plain = function(plain);
      }
      const auto expected = grad_of(plain, x);
      runs = 0;
      const auto y = checkpoint_optimal(functions, x, slots);
      EXPECT(runs == count);
      EXPECT(same(grad_of(y, x), expected));
      EXPECT(runs == count + fewest(count, slots));
      EXPECT(runs == count + libgrad::detail::revolve_steps(count, slots + 1));
    }
  }
  EXPECT_THROWS(
      c10::Error,
      "expected at least one function",
      checkpoint_optimal({}, x, 1));
  EXPECT_THROWS(
      c10::Error,
      "slots must not be negative, but is -1",
      checkpoint_optimal({Counted()}, x, -1));
}

TEST(every_cut_is_the_best) {
  for (int64_t steps = 2; steps <= 150; ++steps) {
    for (int64_t slots = 1; slots <= 12; ++slots) {
      const auto cut = libgrad::detail::revolve_cut(steps, slots + 1);
      EXPECT(cut >= 1 && cut < steps);
      EXPECT(
          cut + fewest(cut, slots) + fewest(steps - cut, slots - 1) ==
          fewest(steps, slots));
    }
  }
}

TEST(the_best_schedule_keeps_its_slots) {
  // What one layer takes whose input is nobody else's.
  const auto one = measure(
      1, [](const auto& all, const Tensor& x) { return all[0](x.clone()); });
  for (const int slots : {3, 5, 10}) {
    const auto usage = measure(64, [slots](const auto& all, const Tensor& x) {
      return checkpoint_optimal(all, x, slots);
    });
    EXPECT(within(usage.kept, slots + one.kept, 0.03));
    EXPECT(within(usage.peak, slots + one.peak, 0.03));
  }
}

TEST(sequences_keep_the_last_segment) {
  const auto x = leaf({1, 2});
  std::vector<int> runs(5);
  std::vector<Layer> functions;
  for (int i = 0; i < 5; ++i) {
    functions.push_back([&runs, i](const Tensor& in) {
      ++runs[i];
      return (in.exp() * in).tanh();
    });
  }
  Tensor expected = x;
  for (const auto& function : functions) {
    expected = function(expected);
  }
  const auto grad = grad_of(expected, x);
  runs.assign(5, 0);
  const auto y = checkpoint_sequential(functions, 2, x);
  EXPECT(same(y, expected) && same(grad_of(y, x), grad));
  EXPECT(runs == std::vector<int>({2, 2, 1, 1, 1}));
  for (const int segments : {0, 6}) {
    EXPECT_THROWS(
        c10::Error,
        "checkpoint_sequential: segments must be 1 to 5",
        checkpoint_sequential(functions, segments, x));
  }
}
