/// libgrad/checkpoint.h: forward again, instead of keeping what it saved.

#include "check.h"
#include "tensors.h"

#include <libgrad/libgrad.h>

#include <c10/core/CPUAllocator.h>

#include <thread>

using libgrad::checkpoint;
using libgrad::checkpoint_sequential;
using libgrad::CheckpointOptions;

namespace {

using Layer = std::function<Tensor(const Tensor&)>;

Tensor weights(int64_t size, int seed) {
  torch::manual_seed(seed);
  return (torch::randn({size, size}) / std::sqrt(size)).requires_grad_();
}

/// Saves its input, the product and the tanh: three tensors of x's size.
Tensor layer(const Tensor& x, const Tensor& w) {
  const auto y = torch::gelu(x.mm(w));
  return y + y.tanh() * 0.1;
}

/// A function of one tensor, counted.
struct Counted {
  std::shared_ptr<int> runs = std::make_shared<int>(0);
  Tensor operator()(const Tensor& x) const {
    ++*runs;
    return (x.exp() * x).tanh();
  }
};

Tensor grad_of(const Tensor& y, const Tensor& x, bool keep = false) {
  return libgrad::grad({y.sum()}, {x}, {.retain_graph = keep})[0];
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

/// What a chain of layers keeps after forward and takes in backward, in tensors
/// of its input's size.
Usage measure(int layers, int segments) {
  constexpr int64_t kRows = 512;
  constexpr int64_t kSize = 64;
  std::vector<Tensor> all;
  for (int i = 0; i < layers; ++i) {
    all.push_back(weights(kSize, i));
    all.back().mutable_grad() = torch::zeros({kSize, kSize});
  }
  const auto x = torch::randn({kRows, kSize});
  const auto memory = std::make_shared<Memory>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, memory);
  auto h = x;
  const int size = layers / segments;
  for (int s = 0; s < segments; ++s) {
    const auto part = [&all, s, size](const Tensor& in) {
      auto out = in;
      for (int i = s * size; i < (s + 1) * size; ++i) {
        out = layer(out, all[i]);
      }
      return out;
    };
    h = segments == 1 ? part(h) : checkpoint(part, h);
  }
  auto loss = h.pow(2).mean();
  h.reset();
  const double unit = kRows * kSize * sizeof(float);
  const double kept = memory->now / unit;
  memory->peak = memory->now;
  loss.backward();
  return {kept, memory->peak / unit};
}

bool within(double value, double expected, double part) {
  return std::abs(value - expected) <= part * expected;
}

}  // namespace

TEST(gradients_are_the_same_bits_and_forward_runs_once_more) {
  const auto x = leaf({1, 2, 3});
  const Counted f;
  const auto y = checkpoint(f, x);
  EXPECT(same(y, f(x)) && *f.runs == 2);
  EXPECT(same(grad_of(y, x), grad_of(f(x), x)) && *f.runs == 4);
}

TEST(several_tensors_come_in_and_go_out) {
  const auto x = leaf({1, 2});
  const auto w = leaf({3, 4});
  const auto index = torch::tensor({1, 0});
  const auto f = [&w](const variable_list& in) {
    EXPECT(in[0].requires_grad() && !in[1].requires_grad());
    EXPECT(!in[2].defined());
    return variable_list{
        in[0].index_select(0, in[1]).exp() * w, in[0].sin(), Tensor()};
  };
  const variable_list inputs{x, index, Tensor()};
  const auto expected = f(inputs);
  const auto got = checkpoint(f, inputs);
  EXPECT(got.size() == 3 && !got[2].defined());
  const auto a = libgrad::grad({got[0].sum(), got[1].sum()}, {x, w});
  const auto b = libgrad::grad({expected[0].sum(), expected[1].sum()}, {x, w});
  EXPECT(same(a[0], b[0]) && same(a[1], b[1]));
}

TEST(a_graph_that_is_kept_runs_forward_again_each_time) {
  const auto x = leaf({1, 2});
  const Counted f;
  const auto y = checkpoint(f, x);
  const auto first = grad_of(y, x, true);
  EXPECT(same(grad_of(y, x, true), first) && same(grad_of(y, x), first));
  EXPECT(*f.runs == 4);
}

TEST(backward_of_backward_is_right) {
  const auto x = leaf({1, 2});
  const auto second = [&x](const Tensor& y) {
    const auto g = libgrad::grad({y.sum()}, {x}, {.create_graph = true})[0];
    return grad_of(g, x);
  };
  const Counted f;
  EXPECT(same(second(checkpoint(f, x)), second(f(x))));
}

TEST(part_of_a_graph_may_be_asked_for) {
  const auto x = leaf({1, 2});
  const auto w = leaf({3, 4});
  const auto f = [&w](const Tensor& in) { return in.exp() * w; };
  const auto y = checkpoint(f, x * 1);
  EXPECT(same(grad_of(y, w, true), x.exp()));
  EXPECT(same(grad_of(y, x), x.exp() * w));
}

TEST(checkpoints_may_be_inside_each_other) {
  const auto x = leaf({1, 2});
  const Counted f;
  const auto twice = [&f](const Tensor& in) {
    return checkpoint(f, checkpoint(f, in).sin()).cos();
  };
  const auto expected = grad_of(f(f(x).sin()).cos(), x);
  *f.runs = 0;
  const auto y = checkpoint(twice, x);
  EXPECT(*f.runs == 2);
  EXPECT(same(grad_of(y, x), expected));
  // The outer one again, and what each of the inner ones saved.
  EXPECT(*f.runs == 2 + 2 + 2);
}

TEST(random_numbers_are_drawn_again) {
  const auto x = torch::ones({1000}, torch::requires_grad());
  const auto f = [](const Tensor& in) {
    return torch::dropout(in, 0.5, true).exp() * torch::randn({1000});
  };
  torch::manual_seed(3);
  const auto expected = grad_of(f(x), x);
  const auto after = torch::randn({2});
  torch::manual_seed(3);
  const auto y = checkpoint(f, x);
  torch::manual_seed(4);
  EXPECT(same(grad_of(y, x), expected));
  const auto next = torch::randn({2});
  torch::manual_seed(4);  // backward has drawn nothing
  EXPECT(same(torch::randn({2}), next));
  torch::manual_seed(3);
  checkpoint(f, x);
  EXPECT(same(torch::randn({2}), after));
  torch::manual_seed(3);
  const auto other = checkpoint(f, x, {.preserve_rng_state = false});
  EXPECT(!same(grad_of(other, x), expected));
}

TEST(odd_normal_samples_are_kept) {
  const auto x = leaf({1});
  const auto f = [](const Tensor& in) {  // one of a pair is left for the next
    return in.exp() * torch::randn({1}, torch::kDouble);
  };
  torch::manual_seed(1);
  torch::randn({1}, torch::kDouble);
  const auto y = checkpoint(f, x);
  EXPECT(same(grad_of(y, x), y.detach()));
}

TEST(autocast_is_that_of_forward) {
  const auto x = torch::randn({8, 8}, torch::requires_grad());
  const auto w = weights(8, 0);
  const auto f = [&w](const Tensor& in) { return in.mm(w).tanh(); };
  at::autocast::set_autocast_enabled(at::kCPU, true);
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  const auto plain = f(x);
  const auto y = checkpoint(f, x);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  EXPECT(y.scalar_type() == at::kBFloat16);
  EXPECT(same(grad_of(y, x), grad_of(plain, x)));
  EXPECT(!at::autocast::is_autocast_enabled(at::kCPU));
}

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

TEST(nothing_is_left_behind) {
  const auto alive = std::make_shared<int>(0);
  const auto x = leaf({1, 2});
  const auto f = [alive](const Tensor& in) { return in.exp().sin(); };
  {
    const auto y = checkpoint(f, x);
    EXPECT(alive.use_count() > 2);
    grad_of(y, x, true);
    libgrad::grad({y.sum()}, {y});  // nothing of it
  }
  EXPECT(alive.use_count() == 2);
  {
    const auto y = checkpoint(f, x * 1);
    grad_of(y, x);  // the graph has let go what it saved
    EXPECT(alive.use_count() == 2);
  }
}

TEST(an_input_that_was_changed_is_told) {
  const auto x = leaf({1, 2});
  const Counted f;
  const auto in = x * 1;
  const auto y = checkpoint(f, in);
  in.add_(1);
  EXPECT_THROWS(
      c10::Error, "is at version 1; expected version 0", grad_of(y, x));
}

TEST(a_function_that_does_something_else_is_told) {
  const auto x = leaf({1, 2});
  int run = 0;
  const auto fewer = [&run](const Tensor& in) {
    return run++ == 0 ? in.exp().sin() : in * 1;
  };
  EXPECT_THROWS(
      c10::Error,
      "Number of tensors saved during forward: 2\nNumber of tensors saved "
      "during recomputation: 0",
      grad_of(checkpoint(fewer, x), x));
  run = 0;
  const auto more = [&run](const Tensor& in) {
    return run++ == 0 ? in.exp() : in.exp().sin();
  };
  EXPECT_THROWS(
      c10::Error,
      "Number of tensors saved during recomputation: 2",
      grad_of(checkpoint(more, x, {.early_stop = false}), x));
  run = 0;
  const auto another = [&run](const Tensor& in) {
    return run++ == 0 ? in.exp() : in.to(at::kFloat).exp();
  };
  EXPECT_THROWS(
      c10::Error,
      "position 0:\nsaved metadata: Double [2] on cpu\nrecomputed metadata: "
      "Float [2] on cpu",
      grad_of(checkpoint(another, x), x));
  run = 0;
  grad_of(checkpoint(another, x, {.determinism_check = false}), x);
}

TEST(errors_of_the_function_pass_through) {
  const auto x = leaf({1, 2});
  int run = 0;
  const auto fails = [&run](const Tensor& in) -> Tensor {
    if (run++ == 1) {
      throw std::runtime_error("mine");
    }
    return in.exp().sin();
  };
  const auto y = checkpoint(fails, x);
  EXPECT_THROWS(std::runtime_error, "mine", grad_of(y, x, true));
  EXPECT(same(grad_of(y, x), grad_of(x.exp().sin(), x)));  // the third time
  run = 1;
  EXPECT_THROWS(std::runtime_error, "mine", checkpoint(fails, x));
  EXPECT(same(grad_of(x.exp(), x), x.exp()));  // no hook was left
}

TEST(gradients_may_be_taken_inside) {
  const auto x = leaf({1, 2});
  const auto f = [](const Tensor& in) {
    const auto y = in.exp() * in;
    return y +
           libgrad::grad({y.sum()}, {in}, {.create_graph = true})[0].square();
  };
  EXPECT(same(grad_of(checkpoint(f, x), x), grad_of(f(x), x)));
}

TEST(hooks_around_pack_the_inputs_alone) {
  const auto x = leaf({1, 2});
  int packs = 0;
  const auto in = x * 1;
  {
    const libgrad::SavedTensorHooks guard{
        [&packs](const Tensor& tensor) {
          ++packs;
          return tensor;
        },
        [](const Tensor& tensor) { return tensor; }};
    const auto y = checkpoint(Counted(), in);
    EXPECT(packs == 1);
    EXPECT(same(grad_of(y, x), grad_of(Counted()(x), x)));
  }
}

TEST(backward_may_run_in_another_thread) {
  const auto x = leaf({1, 2});
  const auto y = checkpoint(Counted(), x);
  Tensor got;
  std::thread([&] { got = grad_of(y, x); }).join();
  EXPECT(same(got, grad_of(Counted()(x), x)));
}

TEST(without_gradients_nothing_is_kept) {
  const auto alive = std::make_shared<int>(0);
  const at::NoGradGuard guard;
  const auto y = checkpoint(
      [alive](const Tensor& in) { return in.exp(); }, constant({1, 2}));
  EXPECT(alive.use_count() == 1 && !y.requires_grad());
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
