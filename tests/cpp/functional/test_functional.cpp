/// libgrad/functional.h: products and matrices, by every option and strategy.

#include "functional/plain.h"
#include "support/check.h"

#include <libgrad/grad.h>

using libgrad::Strategy;

namespace {

using enum Strategy;
const std::vector<Strategy> kReverse{automatic, loop, batched, double_reverse};
const std::vector<Strategy> kAll{
    automatic, loop, batched, double_reverse, forward};

bool by_columns(Strategy strategy) {
  return strategy == double_reverse || strategy == forward;
}

bool closed_form_products() {
  const auto x = constant({1, 2});
  const auto f = [](const Tensor& t) { return t * t; };
  const auto left = libgrad::vjp(f, x, {.v = {constant({3, 5})}});
  const auto right = libgrad::jvp(f, x, {.v = {constant({3, 5})}});
  return same(left.output, constant({1, 4})) &&
         same(left.product, constant({6, 20})) &&
         same(right.output, constant({1, 4})) &&
         same(right.product, constant({6, 20})) &&
         !left.output.requires_grad() && !right.product.requires_grad();
}

}  // namespace

TEST(vjp_and_jvp_are_the_closed_forms) {
  EXPECT(closed_form_products());
  const torch::NoGradGuard no_grad;  // makes no difference
  EXPECT(closed_form_products() && !torch::GradMode::is_enabled());
}

TEST(jvp_by_dual_tensors_is_the_same) {
  const variable_list xs{randn({2, 3}), randn({3})},
      v{randn({2, 3}), randn({3})};
  const auto twice = libgrad::jvp(two_by_two, xs, {.v = v});
  const auto dual =
      libgrad::jvp(two_by_two, xs, {.v = v, .strategy = Strategy::forward});
  for (size_t i = 0; i < 2; ++i) {
    EXPECT(close(twice.outputs[i], dual.outputs[i]));
    EXPECT(close(twice.product[i], dual.product[i]));
    EXPECT(!dual.product[i]._fw_grad(0).defined());
  }
}

TEST(products_of_many_are_those_with_the_matrix) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const variable_list v{randn({2, 3}), randn({3})}, u{randn({2}), randn({})};
  const auto left = libgrad::vjp(two_by_two, xs, {.v = u}).product;
  const auto right = libgrad::jvp(two_by_two, xs, {.v = v}).product;
  const auto block = [&](size_t i, size_t j) {
    return plain_rows(two_by_two, xs, i, j).view({u[i].numel(), -1});
  };
  for (size_t k = 0; k < 2; ++k) {
    const auto row =
        u[0].flatten().matmul(block(0, k)) + u[1].flatten().matmul(block(1, k));
    const auto column =
        block(k, 0).matmul(v[0].flatten()) + block(k, 1).matmul(v[1].flatten());
    EXPECT(close(left[k], row.view_as(xs[k])));
    EXPECT(close(right[k], column.view_as(u[k])));
  }
}

TEST(hessian_products_are_the_closed_forms) {
  const auto x = constant({1, 2}), v = constant({3, 5});
  for (const bool strict : {false, true}) {  // two routes of hvp
    const auto left = libgrad::vhp(cube_sum, x, {.v = {v}, .strict = strict});
    const auto right = libgrad::hvp(cube_sum, x, {.v = {v}, .strict = strict});
    EXPECT(same(left.output, constant({9}).squeeze()));
    EXPECT(same(left.product, constant({18, 60})));
    EXPECT(same(right.product, constant({18, 60})));
  }
}

TEST(value_and_grad_is_both) {
  const auto [value, grad] = libgrad::value_and_grad(cube_sum, leaf({1, 2}));
  EXPECT(same(value, constant({9}).squeeze()) && !value.requires_grad());
  EXPECT(same(grad, constant({3, 12})) && !grad.requires_grad());
}

TEST(vector_may_be_left_out_for_one_element) {
  const auto f = [](const Tensor& t) { return t.pow(3); };
  const auto x = constant({2});
  EXPECT(same(libgrad::vjp(f, x).product, constant({12})));
  EXPECT(same(libgrad::jvp(f, x).product, constant({12})));
  EXPECT(same(
      libgrad::jvp(f, x, {.strategy = Strategy::forward}).product,
      constant({12})));
  EXPECT(same(libgrad::vhp(f, x).product, constant({12})));
  EXPECT(same(libgrad::hvp(f, x).product, constant({12})));
}

TEST(jacobian_is_that_of_plain_rows_by_every_strategy) {
  const variable_list xs{randn({2, 3}), randn({3})};
  for (const auto strategy : kAll) {
    for (const std::optional<int64_t> chunk : {0, 1, 2, 100}) {
      const auto size = *chunk == 0 ? std::nullopt : chunk;
      const auto j = libgrad::jacobian(
          two_by_two, xs, {.strategy = strategy, .chunk_size = size});
      EXPECT(j.size() == 2 && j[0].size() == 2);
      for (size_t i = 0; i < 4; ++i) {
        const auto expected = plain_rows(two_by_two, xs, i / 2, i % 2);
        EXPECT(close(j[i / 2][i % 2], expected));
      }
    }
  }
}

TEST(tall_jacobian_is_that_of_plain_rows) {
  const auto w = randn({40, 3});
  const auto f = [&](const Tensor& x) {
    return w.matmul(x).sin().view({4, 10});
  };
  const auto list = [&](const variable_list& xs) -> variable_list {
    return {f(xs[0])};
  };
  const auto x = randn({3});
  for (const auto strategy : kAll) {
    const auto j = libgrad::jacobian(f, x, {.strategy = strategy});
    EXPECT(close(j, plain_rows(list, {x}, 0, 0)) && !j.requires_grad());
  }
}

TEST(hessian_is_that_of_plain_rows_of_the_gradient) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto gradient = [](const variable_list& at) {
    return torch::autograd::grad(pair_loss(at), at, {}, true, true);
  };
  for (const auto strategy : kReverse) {
    for (const std::optional<int64_t> chunk : {1, 4, 100}) {
      const auto h = libgrad::hessian(
          pair_loss, xs, {.strategy = strategy, .chunk_size = chunk});
      for (size_t i = 0; i < 4; ++i) {
        EXPECT(close(h[i / 2][i % 2], plain_rows(gradient, xs, i / 2, i % 2)));
      }
    }
  }
}

TEST(created_graph_can_be_differentiated) {
  const auto x = leaf({1, 2}), v = constant({3, 5});
  const auto derivative = [&](const Tensor& result) {
    return libgrad::grad({result.sum()}, {x})[0];
  };
  const auto f = [](const Tensor& t) { return t.pow(3); };
  const libgrad::ProductOptions options{.v = {v}, .create_graph = true};
  const auto sixes = constant({6 * 1 * 3, 6 * 2 * 5});
  EXPECT(same(derivative(libgrad::vjp(f, x, options).product), sixes));
  const auto right =
      libgrad::jvp(f, x, {.v = {v}, .create_graph = true}).product;
  EXPECT(same(derivative(right), sixes));
  for (const auto& product :
       {libgrad::vhp(cube_sum, x, options).product,
        libgrad::hvp(cube_sum, x, options).product}) {
    EXPECT(same(derivative(product), constant({18, 30})));
  }
  const auto grad =
      libgrad::value_and_grad(cube_sum, x, {.create_graph = true}).second;
  EXPECT(same(derivative(grad), constant({6, 12})));
}

TEST(created_graph_of_matrices_can_be_differentiated) {
  const auto x = leaf({1, 2});
  for (const auto strategy : kReverse) {
    for (const std::optional<int64_t> chunk : {1, 100}) {
      const libgrad::JacobianOptions options{
          .create_graph = true, .strategy = strategy, .chunk_size = chunk};
      const auto j = libgrad::jacobian(
          [](const Tensor& t) { return t.pow(3).repeat({20}); }, x, options);
      const auto h = libgrad::hessian(power_mix, x, options);
      EXPECT(j.requires_grad() && h.requires_grad());
      const auto dj = libgrad::grad({j.sum()}, {x})[0];
      EXPECT(close(dj.detach(), constant({120, 240})));
      // The second derivatives of (Σx³)(Σx) sum up to 6(Σx)² + 12Σx².
      const auto dh = libgrad::grad({h.sum()}, {x})[0];
      EXPECT(close(dh.detach(), constant({60, 84})));
    }
  }
}

TEST(inputs_are_not_touched_and_others_are_constants) {
  const auto x = leaf({1, 2}), w = leaf({3, 4});
  const auto j =
      libgrad::jacobian([&](const Tensor& t) { return t * w * x; }, x);
  EXPECT(same(j, constant({3, 8}).diag()));
  EXPECT(!x.grad().defined() && !w.grad().defined());
}

TEST(what_does_not_depend_has_zeros) {
  const variable_list xs{randn({2}), randn({3}).to(torch::kFloat)};
  const auto f = [](const variable_list& at) -> variable_list {
    return {at[0].sin(), torch::ones({2, 2}), torch::arange(3)};
  };
  for (const auto strategy : kReverse) {
    for (const std::optional<int64_t> chunk : {1, 100}) {
      const auto j =
          libgrad::jacobian(f, xs, {.strategy = strategy, .chunk_size = chunk});
      EXPECT(close(j[0][0], xs[0].cos().diag()));
      EXPECT(close(j[0][1], torch::zeros({2, 3}, j[0][1].options())));
      EXPECT(by_columns(strategy) || j[0][1].dtype() == torch::kFloat);
      EXPECT(j[1][0].sizes() == at::IntArrayRef({2, 2, 2}));
      EXPECT(j[2][1].sizes() == at::IntArrayRef({3, 3}));
      EXPECT(!j[1][0].any().item<bool>() && !j[2][1].any().item<bool>());
    }
  }
  const auto zero = libgrad::vjp(
      f, xs, {.v = {xs[0], torch::ones({2, 2}), torch::arange(3)}});
  EXPECT(close(zero.product[1], torch::zeros_like(xs[1])));
  EXPECT(!libgrad::jvp(f, xs, {.v = xs}).product[1].any().item<bool>());
}

TEST(hessian_of_a_linear_function_is_zero) {
  const auto f = [](const Tensor& x) { return x.sum(); };
  const auto x = randn({2, 2});
  EXPECT(
      close(libgrad::hessian(f, x), torch::zeros({2, 2, 2, 2}, x.options())));
  EXPECT(close(libgrad::vhp(f, x, {.v = {x}}).product, torch::zeros_like(x)));
}

TEST(empty_tensors_have_empty_jacobians) {
  const auto none = randn({0, 2}), some = randn({3});
  for (const auto strategy : kAll) {
    const libgrad::JacobianOptions options{.strategy = strategy};
    const auto f = [&](const variable_list& xs) -> variable_list {
      return {xs[0].sum() + some * xs[1], xs[0] * 2};
    };
    const auto j = libgrad::jacobian(f, {none, some}, options);
    EXPECT(close(j[0][1], some.diag()));
    EXPECT(j[0][0].sizes() == at::IntArrayRef({3, 0, 2}));
    EXPECT(j[1][0].sizes() == at::IntArrayRef({0, 2, 0, 2}));
    const auto alone = libgrad::jacobian(
        [&](const Tensor& x) { return x.sum() + some; }, none, options);
    EXPECT(alone.sizes() == at::IntArrayRef({3, 0, 2}));
  }
}

TEST(complex_rows_are_conjugated_and_columns_are_not) {
  const auto z = torch::randn({3}, torch::kComplexDouble);
  const auto f = [](const Tensor& t) { return t * t * t; };
  const auto derivative = (3 * z * z).diag();
  for (const auto strategy : kAll) {
    const auto j = libgrad::jacobian(f, z, {.strategy = strategy});
    EXPECT(close(j, by_columns(strategy) ? derivative : derivative.conj()));
  }
  const auto v = torch::randn({3}, torch::kComplexDouble);
  EXPECT(close(libgrad::jvp(f, z, {.v = {v}}).product, 3 * z * z * v));
  const auto norm = [](const Tensor& t) {
    return at::real(t * t.conj()).sum();
  };
  EXPECT(close(libgrad::value_and_grad(norm, z).second, 2 * z));
  EXPECT(close(libgrad::hvp(norm, z, {.v = {v}}).product, 2 * v));
}

TEST(dtype_is_the_inputs_by_rows_and_the_outputs_by_columns) {
  const auto x = randn({2}).to(torch::kFloat);
  const auto f = [](const Tensor& t) { return t.to(torch::kDouble).sin(); };
  for (const auto strategy : kAll) {
    const auto j = libgrad::jacobian(f, x, {.strategy = strategy});
    EXPECT(
        j.dtype() == (by_columns(strategy) ? torch::kDouble : torch::kFloat));
    EXPECT(j.to(torch::kDouble)
               .allclose(x.to(torch::kDouble).cos().diag(), 1e-4, 1e-6));
  }
}

TEST(function_is_called_once) {
  int calls = 0;
  const auto f = [&](const Tensor& x) {
    ++calls;
    return x.sin().repeat({20});
  };
  for (const auto strategy : kAll) {
    libgrad::jacobian(f, constant({1, 2}), {.strategy = strategy});
  }
  EXPECT(calls == static_cast<int>(kAll.size()));
}

TEST(identity_and_repeated_inputs_are_told_apart) {
  const auto x = randn({2});
  const auto eye = torch::eye(2, torch::kDouble);
  const auto same_back = [](const Tensor& t) { return t; };
  for (const auto strategy : kAll) {
    EXPECT(close(libgrad::jacobian(same_back, x, {.strategy = strategy}), eye));
  }
  const auto f = [](const variable_list& xs) -> variable_list {
    return {xs[0] * xs[1]};
  };
  const auto j = libgrad::jacobian(f, {x, x});
  EXPECT(close(j[0][0], x.diag()) && close(j[0][1], x.diag()));
}
