/// libgrad/split.h -- the rows of a Jacobian or Hessian in parts, for programs
/// that compute them in several places.
///
/// The program moves the parts between those places; in Python
/// torch.distributed does.

#pragma once

#include <libgrad/functional.h>

#include <algorithm>

namespace libgrad {

/// The rows of a Jacobian or Hessian. The function has been called and its
/// graph is kept; any part of the rows can be computed from that graph.
class MatrixRows {
 public:
  /// Use `jacobian_rows` and `hessian_rows`.
  MatrixRows(
      const detail::Call& call,
      variable_list outputs,
      variable_list inputs,
      const JacobianOptions& options)
      : call_(call),
        outputs_(std::move(outputs)),
        inputs_(std::move(inputs)),
        options_(options) {}

  /// The number of rows: one for each element of the outputs that have a graph.
  /// The rows of other outputs are zero and not counted.
  int64_t count() const { return rows().count(); }

  /// Part `index` of `parts` equal parts. It holds, for each input, count() /
  /// parts rows, rounded up; a part that reaches past the last row is padded
  /// with zeros.
  variable_list part(int64_t index, int64_t parts) const {
    TORCH_CHECK_VALUE(
        0 <= index && index < parts,
        call_.name,
        ": part ",
        index,
        " of ",
        parts,
        " was asked for, but parts are counted from 0");
    const auto mine = rows();
    const auto share = (mine.count() + parts - 1) / parts;
    const auto first = std::min(index * share, mine.count());
    const auto last = std::min(first + share, mine.count());
    const bool batched =
        options_.strategy != Strategy::loop && detail::elements(outputs_) > 1;
    auto result = first < last
                      ? detail::rows_between(call_, mine, batched, first, last)
                      : variable_list(inputs_.size());
    for (size_t i = 0; i < result.size(); ++i) {
      const auto shape = detail::joined({share}, inputs_[i].sizes());
      const auto found = result[i];
      if (found.defined() && last - first == share) {
        result[i] = found.to_dense().contiguous();
        continue;
      }
      const auto options = inputs_[i].options().layout(at::kStrided);
      result[i] = at::zeros(shape, options);
      if (found.defined()) {
        result[i].narrow(0, 0, last - first).copy_(found.to_dense());
      }
    }
    return result;
  }

  /// The matrix, assembled from all parts: `parts` has one tensor for each
  /// input, the rows of part 0, 1 and so on. The option `check` applies here,
  /// to the whole matrix.
  Matrix whole(const variable_list& parts) const {
    const auto mine = rows();
    TORCH_CHECK_VALUE(
        parts.size() == inputs_.size(),
        call_.name,
        ": there are rows for ",
        parts.size(),
        " inputs, but the function has ",
        inputs_.size());
    variable_list all;
    for (size_t i = 0; i < parts.size(); ++i) {
      TORCH_CHECK_VALUE(
          parts[i].dim() == inputs_[i].dim() + 1 &&
              parts[i].sizes().slice(1) == inputs_[i].sizes() &&
              parts[i].size(0) >= mine.count(),
          call_.name,
          ": the rows of input ",
          i,
          " are ",
          detail::describe(parts[i]),
          ", but there are ",
          mine.count(),
          " rows, each ",
          detail::describe(inputs_[i]));
      all.push_back(parts[i].narrow(0, 0, mine.count()));
    }
    auto result = mine.by_output(all);
    if (options_.check) {
      detail::check_product(call_, result, outputs_, inputs_, false);
    }
    return result;
  }

 private:
  detail::Rows rows() const {
    return detail::Rows(
        call_, outputs_, inputs_, {.chunk_size = options_.chunk_size});
  }

  const detail::Call& call_;
  variable_list outputs_;
  variable_list inputs_;
  JacobianOptions options_;
};

/// The rows of the Jacobian that `jacobian` computes; `f` is called once, here.
///
///     const auto rows = libgrad::jacobian_rows(f, {x, y});
///     auto mine = rows.part(rank, world);    // one tensor an input
///     auto j = rows.whole(gathered(mine));   // as jacobian(f, {x, y})
///
/// Throws as `jacobian`, c10::NotImplementedError for `create_graph` and for
/// strategies that compute columns, and c10::Error for `strict`.
inline MatrixRows jacobian_rows(
    const Callable& f,
    const variable_list& inputs,
    const JacobianOptions& options = {}) {
  const auto& call = detail::kJacobian;
  detail::check_split_options(call, options);
  at::AutoGradMode grad_mode(true);
  auto xs = detail::tracked(call, inputs, /*create_graph=*/false);
  auto ys = detail::evaluate(call, f, xs);
  return MatrixRows(call, std::move(ys), std::move(xs), options);
}

/// The rows of the Hessian that `hessian` computes.
inline MatrixRows hessian_rows(
    const Callable& f,
    const variable_list& inputs,
    const JacobianOptions& options = {}) {
  const auto& call = detail::kHessian;
  detail::check_split_options(call, options);
  at::AutoGradMode grad_mode(true);
  auto xs = detail::tracked(call, inputs, /*create_graph=*/false);
  auto grads = detail::first_gradients(call, f, xs, /*strict=*/false).product;
  detail::fill_zeros(grads, xs);
  return MatrixRows(call, std::move(grads), std::move(xs), options);
}

}  // namespace libgrad
