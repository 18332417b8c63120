/// libgrad/linear.h: products with operators against those with the matrices.

#include "functional/plain.h"
#include "functional/unusual.h"
#include "support/check.h"

#include <libgrad/linear.h>

#include <thread>

namespace {

/// The Jacobian of flat outputs in flat inputs.
Tensor flat_matrix(const libgrad::Matrix& blocks, const variable_list& xs) {
  std::vector<Tensor> rows;
  for (const auto& row : blocks) {
    std::vector<Tensor> parts;
    for (size_t j = 0; j < xs.size(); ++j) {
      const auto count = row[j].numel() / xs[j].numel();
      parts.push_back(row[j].reshape({count, xs[j].numel()}));
    }
    rows.push_back(torch::cat(parts, 1));
  }
  return torch::cat(rows);
}

bool multiplies_as(const libgrad::LinearOperator& a, const Tensor& matrix) {
  const auto [rows, columns] = a.shape();
  const auto v = randn({columns}), block = randn({columns, 5});
  return matrix.size(0) == rows && matrix.size(1) == columns &&
         close(a.matmul(v), matrix.mv(v)) &&
         close(a.matmul(block), matrix.mm(block));
}

}  // namespace

TEST(jacobian_operator_multiplies_as_the_matrix_and_its_transposed) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto j = libgrad::jacobian_operator(two_by_two, xs);
  const auto matrix = flat_matrix(libgrad::jacobian(two_by_two, xs), xs);
  EXPECT(multiplies_as(j, matrix) && multiplies_as(j.transpose(), matrix.t()));
  EXPECT(multiplies_as(j.transpose().transpose(), matrix));
  EXPECT(!j.is_symmetric() && j.dtype() == torch::kDouble);
  EXPECT(j.device() == torch::kCPU);
}

TEST(hessian_operator_is_symmetric_and_multiplies_as_the_matrix) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto h = libgrad::hessian_operator(pair_loss, xs);
  const auto matrix = flat_matrix(libgrad::hessian(pair_loss, xs), xs);
  EXPECT(multiplies_as(h, matrix) && multiplies_as(h.transpose(), matrix));
  EXPECT(h.is_symmetric() && h.transpose().is_symmetric());
}

TEST(operators_of_a_single_tensor) {
  const auto x = constant({1, 2}), v = constant({3, 5});
  const auto square = [](const Tensor& t) { return t * t; };
  const auto j = libgrad::jacobian_operator(square, x);
  EXPECT(same(j.matmul(v), constant({6, 20})));
  EXPECT(same(
      libgrad::hessian_operator(cube_sum, x).matmul(v), constant({18, 60})));
}

TEST(apply_takes_and_gives_the_shapes_of_the_function) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const variable_list v{randn({2, 3}), randn({3})}, u{randn({2}), randn({})};
  const auto j = libgrad::jacobian_operator(two_by_two, xs);
  const auto right = j.apply(v), left = j.transpose().apply(u);
  const auto jv = libgrad::jvp(two_by_two, xs, {.v = v}).product;
  const auto uj = libgrad::vjp(two_by_two, xs, {.v = u}).product;
  for (size_t i = 0; i < 2; ++i) {
    EXPECT(close(right[i], jv[i]) && close(left[i], uj[i]));
  }
}

TEST(operator_refuses_what_does_not_fit) {
  const auto j = libgrad::jacobian_operator(
      [](const Tensor& x) { return x.sum(); }, randn({3}));
  EXPECT_THROWS(
      c10::Error,
      "shape (1, 3) multiplies vectors of shape (3,)",
      j.matmul(randn({2})));
  EXPECT_THROWS(c10::Error, "an undefined tensor", j.matmul(Tensor()));
  EXPECT_THROWS(c10::Error, "vector is float32", j.matmul(torch::ones({3})));
  EXPECT_THROWS(c10::Error, "invalid size", j.apply(variable_list{randn({2})}));
  const variable_list mixed{randn({2}), torch::ones({2})};
  EXPECT_THROWS(
      c10::Error,
      "inputs[1] is float32",
      libgrad::jacobian_operator(two_by_two, mixed));
  EXPECT_THROWS(
      c10::ValueError,
      "inputs is empty",
      libgrad::hessian_operator(pair_loss, variable_list()));
}

TEST(operator_tells_of_a_backward_that_is_no_graph) {
  const auto x = constant({1, 2});
  const auto j = libgrad::jacobian_operator(
      [](const Tensor& t) { return Opaque::apply(t) + t.sin(); }, x);
  EXPECT_THROWS(c10::Error, "Jv cannot be had", j.matmul(x));
  EXPECT(close(j.transpose().matmul(x), (2 * x + x.cos()) * x));
}

TEST(operator_takes_columns_one_by_one_where_they_cannot_be_batched) {
  const Warnings warnings;
  const auto x = constant({1, 2}), block = randn({2, 3});
  const auto j = libgrad::jacobian_operator(
      [](const Tensor& t) { return Inspecting::apply(t); }, x);
  EXPECT(close(j.transpose().matmul(block), 2 * x.unsqueeze(1) * block));
  EXPECT(close(j.matmul(block), 2 * x.unsqueeze(1) * block));
  EXPECT(warnings.texts.size() == 1);
  EXPECT(warnings.texts[0].find("for each column") != std::string::npos);
}

TEST(operator_passes_errors_of_the_backward_on_and_stays_usable) {
  bool fail = true;
  const auto f = [](const Tensor& t) { return t * t; };
  const auto x = constant({1, 2});
  const auto j = libgrad::jacobian_operator(
      [&](const Tensor& t) {
        const auto y = f(t);
        y.register_hook([&](const Tensor& grad) {
          TORCH_CHECK(!fail, "in a hook");
          return grad;
        });
        return y;
      },
      x);
  EXPECT_THROWS(c10::Error, "in a hook", j.matmul(x));
  fail = false;
  EXPECT(close(j.matmul(x), 2 * x * x));
}

TEST(threads_share_an_operator) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto j = libgrad::jacobian_operator(two_by_two, xs);
  const auto matrix = flat_matrix(libgrad::jacobian(two_by_two, xs), xs);
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      const auto v = torch::linspace(1, 2, 9, torch::kDouble);
      right +=
          close(j.matmul(v), matrix.mv(v)) &&
          close(
              j.transpose().matmul(matrix.mv(v)), matrix.t().mv(matrix.mv(v)));
    });
  }
  for (auto& thread : threads) {
    thread.join();
  }
  EXPECT(right == 4);
}
