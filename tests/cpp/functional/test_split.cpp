/// libgrad/split.h: rows in parts against whole matrices.

#include "functional/plain.h"
#include "functional/unusual.h"
#include "support/check.h"

#include <libgrad/split.h>

namespace {

/// For each input all parts of `rows`, one after another.
variable_list all_parts(const libgrad::MatrixRows& rows, int64_t parts) {
  std::vector<std::vector<Tensor>> found;
  for (int64_t i = 0; i < parts; ++i) {
    const auto part = rows.part(i, parts);
    found.resize(part.size());
    for (size_t j = 0; j < part.size(); ++j) {
      EXPECT(part[j].size(0) == (rows.count() + parts - 1) / parts);
      found[j].push_back(part[j]);
    }
  }
  variable_list result;
  for (const auto& tensors : found) {
    result.push_back(torch::cat(tensors));
  }
  return result;
}

bool same_matrix(const libgrad::Matrix& a, const libgrad::Matrix& b) {
  bool result = a.size() == b.size();
  for (size_t i = 0; result && i < a.size(); ++i) {
    for (size_t j = 0; j < a[i].size(); ++j) {
      result &= close(a[i][j], b[i][j]);
    }
  }
  return result;
}

}  // namespace

TEST(parts_of_rows_make_the_whole_matrix) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto jacobian = libgrad::jacobian(two_by_two, xs);
  const auto hessian = libgrad::hessian(pair_loss, xs);
  using enum libgrad::Strategy;
  for (const auto strategy : {automatic, loop, batched}) {
    for (const std::optional<int64_t> chunk : {1, 2, 100}) {
      const libgrad::JacobianOptions options{
          .strategy = strategy, .chunk_size = chunk, .check = true};
      const auto j = libgrad::jacobian_rows(two_by_two, xs, options);
      const auto h = libgrad::hessian_rows(pair_loss, xs, options);
      EXPECT(j.count() == 3 && h.count() == 9);
      for (const int64_t parts : {1, 2, 4, 20}) {
        EXPECT(same_matrix(j.whole(all_parts(j, parts)), jacobian));
        EXPECT(same_matrix(h.whole(all_parts(h, parts)), hessian));
      }
    }
  }
}

TEST(check_finds_rows_that_are_wrong) {
  const variable_list xs{randn({2, 3}), randn({3})};
  const auto rows = libgrad::jacobian_rows(two_by_two, xs, {.check = true});
  auto parts = all_parts(rows, 2);
  parts[1][0][0] += 1;
  EXPECT_THROWS(
      libgrad::detail::CheckFailed, "found a wrong matrix", rows.whole(parts));
}

TEST(rows_in_parts_refuse_what_needs_the_whole) {
  const variable_list xs{randn({2, 3}), randn({3})};
  using libgrad::Strategy;
  EXPECT_THROWS(
      c10::NotImplementedError,
      "`create_graph=True` and `group`",
      libgrad::jacobian_rows(two_by_two, xs, {.create_graph = true}));
  for (const auto columns : {Strategy::forward, Strategy::double_reverse}) {
    EXPECT_THROWS(
        c10::NotImplementedError,
        "only implemented for",
        libgrad::hessian_rows(pair_loss, xs, {.strategy = columns}));
  }
  EXPECT_THROWS(
      c10::Error,
      "`strict=True` and `group`",
      libgrad::jacobian_rows(two_by_two, xs, {.strict = true}));
  const auto rows = libgrad::jacobian_rows(two_by_two, xs);
  EXPECT_THROWS(c10::ValueError, "part 2 of 2", rows.part(2, 2));
  EXPECT_THROWS(c10::ValueError, "rows for 1 inputs", rows.whole({xs[0]}));
  EXPECT_THROWS(c10::ValueError, "the rows of input 0", rows.whole(xs));
}

TEST(rows_in_parts_fall_back_to_the_loop) {
  const Warnings warnings;
  const auto x = constant({1, 2, 3});
  const auto rows = libgrad::jacobian_rows(
      [](const variable_list& in) -> variable_list {
        return {Inspecting::apply(in[0])};
      },
      {x});
  EXPECT(same(rows.whole(all_parts(rows, 2))[0][0], (2 * x).diag()));
  EXPECT(warnings.texts.size() == 1);
}
