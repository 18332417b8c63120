/// libgrad/gradcheck/analytic.h -- derivatives by the backward, and by dual
/// tensors.

#pragma once

#include <libgrad/functional/dual.h>
#include <libgrad/gradcheck/numeric.h>

namespace libgrad::detail {

/// Runs the engine from some outputs to the inputs of a problem. The graph is
/// kept.
class Backward {
 public:
  Backward(const Problem& problem, const variable_list& outputs)
      : Backward(problem, edges(outputs, root_edge)) {}

  /// `roots` are made before the targets are looked up: root_edge creates the
  /// gradient accumulator of a leaf, and target_edge finds it.
  Backward(const Problem& problem, edge_list roots)
      : roots_(std::move(roots)),
        targets_(edges(problem.targets(), target_edge)) {}

  variable_list operator()(const variable_list& seeds) const {
    return execute(
        roots_,
        seeds,
        /*keep_graph=*/true,
        /*create_graph=*/false,
        /*accumulate=*/false,
        targets_);
  }

 private:
  edge_list roots_;
  edge_list targets_;
};

/// The gradients of one output for several seeds.
struct Gradients {
  variable_list rows;     ///< for each input a matrix with a row for each seed
  bool dtypes = true;     ///< the gradients have the dtypes of the inputs
  bool sizes = true;      ///< the gradients have the shapes of the inputs
  double difference = 0;  ///< the largest between two runs with the same seed
};

/// The largest difference between row `k` of `rows` and `again`; an undefined
/// `again` counts as zeros.
inline double largest_difference(
    const at::Tensor& rows, int64_t k, const at::Tensor& again) {
  if (rows.size(1) == 0) {
    return 0;
  }
  if (again.defined() && is_open(rows) && is_row(again) &&
      again.scalar_type() == rows.scalar_type() &&
      again.numel() == rows.size(1)) {
    const auto bytes = again.numel() * static_cast<int64_t>(again.itemsize());
    const auto* row =
        static_cast<const char*>(rows.const_data_ptr()) + k * bytes;
    if (std::memcmp(row, again.const_data_ptr(), bytes) == 0) {
      return 0;
    }
  }
  const at::AutoGradMode grad_mode(false);
  auto row = rows.select(0, k);
  if (again.defined()) {
    const auto dense =
        again.layout() == at::kStrided ? again : again.to_dense();
    row = row - dense.detach().reshape(-1);
  }
  return row.abs().max().item<double>();
}

/// Stores the gradients for seed `k`, and whether dtypes and shapes are right.
inline void put_gradients(
    const Problem& problem,
    Gradients& result,
    int64_t k,
    const variable_list& grads) {
  for (size_t j = 0; j < grads.size(); ++j) {
    if (!grads[j].defined()) {
      continue;  // the row is zero already
    }
    const auto& input = problem.input(j);
    const bool fits = grads[j].sizes() == input.sizes();
    result.sizes &= fits;
    result.dtypes &= grads[j].scalar_type() == input.scalar_type();
    if (fits) {
      put_row(result.rows[j], k, grads[j]);
    }
  }
}

/// The gradients of `output` for `count` seeds: `next(k)` changes the tensor
/// `seed` in place to seed k. The backward runs twice for each seed.
template <class Next>
Gradients gradients_of(
    const Problem& problem,
    const at::Tensor& output,
    const at::Tensor& seed,
    int64_t count,
    const Next& next) {
  const Backward backward(problem, {output});
  Gradients result;
  for (size_t j = 0; j < problem.wrt.size(); ++j) {
    const auto& input = problem.input(j);
    result.rows.push_back(zeros({count, input.numel()}, input));
  }
  for (int64_t k = 0; k < count; ++k) {
    next(k);
    put_gradients(problem, result, k, backward({seed}));
    const auto again = backward({seed});
    for (size_t j = 0; result.sizes && j < again.size(); ++j) {
      result.difference = std::max(
          result.difference, largest_difference(result.rows[j], k, again[j]));
    }
  }
  return result;
}

/// The Jacobians of `output`, a row for each of its elements.
inline Gradients backward_rows(
    const Problem& problem, const at::Tensor& output) {
  const auto seed = zeros(output.sizes(), output);
  const auto flat = seed.view(-1);
  const bool open = is_open(seed) && seed.scalar_type() == at::kDouble;
  const auto set = [&](int64_t k, double value) {
    if (open) {
      seed.mutable_data_ptr<double>()[k] = value;
    } else {
      flat.select(0, k).fill_(value);
    }
  };
  return gradients_of(problem, output, seed, flat.numel(), [&](int64_t k) {
    if (k > 0) {
      set(k - 1, 0);
    }
    set(k, 1);
  });
}

/// vᵀJ of `output`, which is real, as one row.
inline Gradients backward_product(
    const Problem& problem, const at::Tensor& output, const Vector& vector) {
  const auto seed = vector.like(output);
  return gradients_of(
      problem,
      output,
      output.dim() == 1 ? seed : seed.view(output.sizes()),
      1,
      [](int64_t) {});
}

/// A level of dual tensors that the host is told about.
class CheckedLevel {
 public:
  explicit CheckedLevel(const Problem& problem) : host_(problem.host) {
    host_.forward_mode(true);
  }
  CheckedLevel(const CheckedLevel&) = delete;
  CheckedLevel& operator=(const CheckedLevel&) = delete;
  ~CheckedLevel() { host_.forward_mode(false); }

  const DualLevel* operator->() const { return &level_; }

 private:
  const GradcheckHost& host_;
  DualLevel level_;
};

/// Throws where the tangent of a real output is complex, or that of a complex
/// output real.
inline void check_tangent(
    const Problem& problem,
    size_t o,
    const at::Tensor& output,
    const at::Tensor& tangent) {
  if (problem.options.check_grad_dtypes && tangent.defined() &&
      tangent.is_complex() != output.is_complex()) {
    GradcheckError error(
        GradcheckKind::dtype,
        text(
            "Forward AD gradient has dtype mismatch. The tangent of ",
            problem.name_of_output(o),
            " is ",
            describe(tangent),
            ", but the output is ",
            describe(output)));
    error.forward_mode = true;
    error.output = o;
    throw error;
  }
}

/// The inputs as dual tensors whose tangents begin as zeros and are written to.
class Duals {
 public:
  Duals(const Problem& problem, const CheckedLevel& level)
      : problem_(problem),
        level_(level),
        inputs_(problem.inputs) {
    for (const auto i : problem.wrt) {
      inputs_[i] = fresh(i);
      tangents_.push_back(level->own_tangent(inputs_[i]));
    }
  }

  /// A dual tensor of input `i` whose tangent is zero.
  at::Tensor fresh(size_t i) const {
    const auto primal = problem_.inputs[i].detach();
    return level_->dual(primal, at::zeros_like(primal));
  }

  /// The tangent of input `j` of Problem::wrt, to be written to.
  const at::Tensor& tangent(size_t j) const { return tangents_[j]; }

  /// Puts `other` in the place of input `i`.
  void replace(size_t i, at::Tensor other) { inputs_[i] = std::move(other); }
  const at::Tensor& operator[](size_t i) const { return inputs_[i]; }

  /// The tangent of each output in Problem::valued; undefined where the output
  /// has none.
  variable_list evaluate() const {
    const auto outputs = problem_.f(inputs_);
    variable_list result;
    for (const auto o : problem_.valued) {
      assert_that(
          o < outputs.size() && outputs[o].defined(),
          "Expected `func` to return with dual tensors what it returns "
          "without, but output ",
          o,
          " is no tensor");
      result.push_back(level_->own_tangent(outputs[o]));
      check_tangent(problem_, o, outputs[o], result.back());
    }
    return result;
  }

 private:
  const Problem& problem_;
  const CheckedLevel& level_;
  variable_list inputs_;
  variable_list tangents_;
};

inline void put_tangents(
    const variable_list& to, int64_t k, const variable_list& tangents) {
  for (size_t v = 0; v < to.size(); ++v) {
    if (tangents[v].defined()) {
      put_row(to[v], k, tangents[v]);
    }
  }
}

/// The Jacobians with respect to input `j` along one axis: for each output in
/// Problem::valued a matrix with a row for each element of the input.
inline variable_list forward_rows(
    const Problem& problem, size_t j, const Complex& axis) {
  const CheckedLevel level(problem);
  const Duals duals(problem, level);
  const auto count = problem.input(j).numel();
  const auto result = rows_for_outputs(problem, count, zeros);
  Moved tangent(duals.tangent(j));
  for (int64_t k = 0; k < count; ++k) {
    tangent.one(k, axis);
    put_tangents(result, k, duals.evaluate());
  }
  return result;
}

/// Ju along one axis: one row for each output in Problem::valued.
inline variable_list forward_product(
    const Problem& problem,
    size_t j,
    const Vector& vector,
    const Complex& axis) {
  const CheckedLevel level(problem);
  const Duals duals(problem, level);
  const auto result = rows_for_outputs(problem, 1, zeros);
  Moved tangent(duals.tangent(j));
  tangent.all(vector, axis);
  put_tangents(result, 0, duals.evaluate());
  return result;
}

}  // namespace libgrad::detail
