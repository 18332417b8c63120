/// libgrad/checkpoint.h: functions that fail or do something else.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/libgrad.h>

using libgrad::checkpoint;

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

TEST(without_gradients_nothing_is_kept) {
  const auto alive = std::make_shared<int>(0);
  const at::NoGradGuard guard;
  const auto y = checkpoint(
      [alive](const Tensor& in) { return in.exp(); }, constant({1, 2}));
  EXPECT(alive.use_count() == 1 && !y.requires_grad());
}
