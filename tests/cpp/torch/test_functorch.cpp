/// What detail/functorch.h and detail/dual.h rely on inside LibTorch, and what
/// is made of it: forward mode, and the check of a matrix.

#include "functional/plain.h"
#include "functional/unusual.h"
#include "support/check.h"

#include <libgrad/grad.h>

using namespace libgrad::detail;
using libgrad::Strategy;

namespace {

/// x², with a backward that is wrong for a batch, as some batching rules are.
struct Lying : torch::autograd::Function<Lying> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * x * (functorch_active() ? 3 : 2)};
  }
};

Tensor lying(const Tensor& x) {
  return Lying::apply(x);
}

Tensor skewed(const Tensor& x) {
  return (x.pow(3) * x.sum()).sum() + x.narrow(0, 0, 1).sin().sum();
}

}  // namespace

// functorch.h

TEST(functorch_level_maps_over_the_first_dimension) {
  const auto batch = torch::arange(6, torch::kDouble).view({3, 2});
  const auto results = run_mapped(3, {batch}, [&](const variable_list& in) {
    EXPECT(functorch_active() && in[0].sizes() == 2);
    return variable_list{in[0].sum(0), in[0].sin(), constant({7}), {}};
  });
  EXPECT(same(results[0], batch.sum(1)) && same(results[1], batch.sin()));
  EXPECT(same(results[2], constant({7, 7, 7}).view({3, 1})));
  EXPECT(!results[3].defined() && !functorch_active());
}

TEST(functorch_finds_batching_rules_without_its_interpreter) {
  const auto x = leaf({0.5, 2, 3}), w = torch::randn({2, 3}, torch::kDouble);
  const auto y = (w.mv(x).tanh() * x.narrow(0, 0, 2)).softmax(0);
  const auto rows = [&](const variable_list& units) {
    EXPECT(functorch_active());  // so that what would go wrong is refused
    return execute({root_edge(y)}, units, true, false, false, {target_edge(x)});
  };
  const auto units = torch::eye(2, torch::kDouble);
  for (const auto route : {Route::direct, Route::interpreter}) {
    const auto result = run_mapped(2, {units}, rows, route)[0];
    for (int64_t i = 0; i < 2; ++i) {
      const auto row = libgrad::grad(
          {y}, {x}, {.grad_outputs = {units[i]}, .retain_graph = true});
      EXPECT(result[i].allclose(row[0], 1e-12, 1e-12));
    }
    EXPECT(!functorch_active());
  }
}

TEST(functorch_without_its_interpreter_refuses_a_level_inside) {
  const auto nested = [](const variable_list& in) {
    const FunctorchLevel inner(2);
    const auto both = inner.enter(torch::ones({2}, torch::kDouble)) + in[0];
    return variable_list{unbatched(both * both, inner.number(), 2)};
  };
  const auto batch = constant({1, 2, 3});
  EXPECT(run_mapped(3, {batch}, nested)[0].size(1) == 2);
  EXPECT_THROWS(
      c10::Error,
      "",
      run_mapped(3, {batch}, nested, Route::direct)[0].sum().item<double>());
  EXPECT(!functorch_active());
  EXPECT(same(batch + 1, constant({2, 3, 4})));  // no key stays switched off
}

TEST(functorch_batch_comes_back_in_front) {
  const auto batch = torch::randn({3, 2, 4}, torch::kDouble);
  int64_t number = 0;
  Tensor inside;
  {
    const FunctorchLevel level(3);
    number = level.number();
    inside = at::functorch::makeBatched(batch, 1, number);  // of 2, in between
    EXPECT(inside.sizes() == at::IntArrayRef({3, 4}));
  }
  EXPECT(same(unbatched(inside, number, 2), batch.movedim(1, 0)));
}

TEST(functorch_level_ends_with_an_exception) {
  const auto fail = [](const variable_list&) -> variable_list {
    TORCH_CHECK(functorch_active(), "there should be a level");
    throw std::domain_error("inside");
  };
  EXPECT_THROWS(
      std::domain_error, "inside", run_mapped(1, {constant({1})}, fail));
  EXPECT(!functorch_active());
  EXPECT(!at::functorch::maybeCurrentDynamicLayer().has_value());
}

TEST(functorch_level_draws_what_is_random_once) {
  const auto draws = run_mapped(3, {constant({1, 2, 3})}, [](const auto& in) {
    return variable_list{torch::rand_like(in[0])};
  })[0];
  EXPECT(draws[0].equal(draws[1]) && draws[1].equal(draws[2]));
}

TEST(functorch_backward_records_below_the_level) {
  const auto x = leaf({1, 2}), y = x * x * x;
  const auto units = torch::eye(2, torch::kDouble);
  const auto rows = run_mapped(2, {units}, [&](const variable_list& in) {
    const edge_list root{root_edge(y)};
    return execute(root, in, true, true, false, {target_edge(x)});
  })[0];
  EXPECT(same(rows.detach(), constant({3, 12}).diag()));
  const auto second = libgrad::grad({rows.sum()}, {x})[0];
  EXPECT(same(second, constant({6, 12})));
}

// dual.h

TEST(dual_level_ends_and_takes_the_tangents_off) {
  const auto x = constant({1, 2});
  Tensor dual;
  for (int i = 0; i < 2; ++i) {  // levels do not nest: the first must be over
    const DualLevel level;
    dual = level.dual(x, constant({3, 4}));
    EXPECT(same(level.tangent(dual * dual), constant({6, 16})));
    EXPECT(same(level.primal(dual), x));
    EXPECT(same(level.tangent(x), constant({0, 0})));
    EXPECT_THROWS(c10::Error, "Nested forward mode", DualLevel());
  }
  EXPECT(!dual._fw_grad(0).defined());
}

TEST(batch_of_duals_stays_dual_under_functorch) {
  const DualLevel level;
  const auto points = torch::randn({3, 2}, torch::kDouble);
  const auto tangents = torch::randn({3, 2}, torch::kDouble);
  const auto out = run_mapped(
      3, {level.dual(points, tangents)}, [](const variable_list& in) {
        return variable_list{(in[0] * in[0]).sum()};
      })[0];
  EXPECT(level.tangent(out).allclose((2 * points * tangents).sum(1)));
}

// functional/matrix.h

TEST(hessian_by_forward_mode_is_that_by_rows) {
  const auto x = randn({4});
  const auto rows = libgrad::hessian(skewed, x);
  for (const int64_t chunk : {1, 3, 4, 100}) {
    const auto columns = libgrad::hessian(
        skewed, x, {.strategy = Strategy::forward, .chunk_size = chunk});
    EXPECT(close(rows, columns) && !columns.requires_grad());
    EXPECT(!columns._fw_grad(0).defined());
  }
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto expected = libgrad::hessian(pair_loss, xs);
  const auto blocks =
      libgrad::hessian(pair_loss, xs, {.strategy = Strategy::forward});
  for (size_t i = 0; i < 2; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      EXPECT(close(blocks[i][j], expected[i][j]));
    }
  }
}

TEST(hessian_by_forward_mode_of_what_does_not_depend_is_zero) {
  const auto f = [](const variable_list& xs) -> variable_list {
    return {xs[0].sum() * 2};
  };
  const auto blocks = libgrad::hessian(
      f, {randn({2}), randn({3})}, {.strategy = Strategy::forward});
  EXPECT(same(blocks[0][0], torch::zeros({2, 2}, torch::kDouble)));
  EXPECT(same(blocks[1][0], torch::zeros({3, 2}, torch::kDouble)));
}

// verify.h

TEST(check_finds_a_wrong_batch_and_nothing_else) {
  const auto x = randn({3});
  const auto wrong = [&](Strategy strategy) {
    libgrad::jacobian(lying, x, {.strategy = strategy, .check = true});
  };
  EXPECT(close(libgrad::jacobian(lying, x), (3 * x).diag()));
  EXPECT_THROWS(CheckFailed, "found a wrong matrix", wrong(Strategy::batched));
  EXPECT_THROWS(CheckFailed, "input 0", wrong(Strategy::automatic));
  wrong(Strategy::loop);
  for (const auto strategy :
       {Strategy::automatic,
        Strategy::loop,
        Strategy::batched,
        Strategy::double_reverse,
        Strategy::forward}) {
    const libgrad::JacobianOptions options{
        .strategy = strategy, .chunk_size = 2, .check = true};
    EXPECT(libgrad::jacobian(cube_sum, x, options).defined());
    EXPECT(libgrad::hessian(skewed, x, options).defined());
    libgrad::jacobian(two_by_two, {randn({2, 3}), randn({3})}, options);
    const auto z = torch::randn({3}, torch::kComplexDouble);
    const auto squares = [](const Tensor& t) { return t * t.sum(); };
    EXPECT(libgrad::jacobian(squares, z, options).is_complex());
    const auto roots = [](const Tensor& t) { return (t - t).sqrt() * t; };
    libgrad::jacobian(roots, x, options);  // is not finite
  }
}

TEST(check_leaves_the_random_numbers_of_the_program) {
  torch::manual_seed(3);
  const auto expected = torch::randn({2});
  torch::manual_seed(3);
  libgrad::jacobian(cube_sum, constant({1, 2}), {.check = true});
  EXPECT(same(torch::randn({2}), expected));
}

// fallback.h

TEST(what_is_final_is_not_tried_again) {
  const auto f = [](const Tensor& x) { return Failing::apply(x); };
  host().is_final = [](const std::exception& error) {
    return dynamic_cast<const std::domain_error*>(&error) != nullptr;
  };
  Warnings warnings;
  EXPECT_THROWS(
      std::domain_error, "in backward", libgrad::jacobian(f, constant({1, 2})));
  host().is_final = nullptr;
  EXPECT(warnings.texts.empty());
}
