/// libgrad/checkpoint.h: forward again, instead of keeping what it saved.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/libgrad.h>

#include <thread>

using libgrad::checkpoint;

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
