/// libgrad/linear.h -- Jacobians and Hessians as linear operators, which are
/// multiplied with vectors and never built.

#pragma once

#include <libgrad/functional/linear_map.h>

#include <libgrad/functional.h>

#include <array>
#include <memory>

namespace libgrad {

/// A Jacobian or Hessian that multiplies vectors and is never a matrix.
///
/// A vector is flat: the entries of all inputs (or outputs) one after another,
/// as torch.nn.utils.parameters_to_vector has them. Each product runs through
/// the kept graph of one call of the function: the operator keeps alive what
/// that saved, and writing to it makes the next product throw. Products have
/// no graph of their own. Copies share the graph, and threads may.
class LinearOperator {
 public:
  /// Use `jacobian_operator` and `hessian_operator`.
  explicit LinearOperator(
      std::shared_ptr<const detail::LinearMap> map, bool transposed = false)
      : map_(std::move(map)),
        transposed_(transposed) {}

  /// Rows and columns.
  std::array<int64_t, 2> shape() const {
    return {detail::elements(range()), detail::elements(domain())};
  }
  at::ScalarType dtype() const { return map_->inputs[0].scalar_type(); }
  at::Device device() const { return map_->inputs[0].device(); }
  bool is_symmetric() const { return map_->symmetric; }

  /// The transposed operator, by the same graph. A Hessian's is itself.
  LinearOperator transpose() const {
    return LinearOperator(map_, !transposed_ && !is_symmetric());
  }

  /// The product with a vector of shape {n}, or with each column of {n, k},
  /// many at once. Jᵀu and Hv cost one backward, and so does Jv: it is the
  /// derivative of Jᵀu in u, which is made and checked at the first Jv by two
  /// more, and needs a backward that can be differentiated.
  at::Tensor matmul(const at::Tensor& v) const {
    detail::check_surroundings(map_->call);
    check(v);
    const auto vectors = v.detach();
    const auto result =
        transposed_ ? map_->pulled(vectors) : map_->pushed(vectors);
    return result.is_alias_of(v) ? result.clone() : result;
  }

  /// The same for a tensor for each input, giving one for each output.
  variable_list apply(const variable_list& v) const {
    detail::check_vector(map_->call, v, domain(), "operator has one element.");
    const auto flat = v.empty() ? at::ones({1}, domain()[0].options())
                                : detail::flattened(v, domain(), {});
    return detail::unflattened(matmul(flat), range());
  }

 private:
  const variable_list& domain() const {
    return transposed_ ? map_->outputs : map_->inputs;
  }
  const variable_list& range() const {
    return transposed_ ? map_->inputs : map_->outputs;
  }

  void check(const at::Tensor& v) const {
    const auto [rows, columns] = shape();
    TORCH_CHECK(
        v.defined() && (v.dim() == 1 || v.dim() == 2) && v.size(0) == columns,
        map_->call.name,
        ": an operator of shape (",
        rows,
        ", ",
        columns,
        ") multiplies vectors of shape (",
        columns,
        ",) or columns of shape (",
        columns,
        ", k), but was given ",
        v.defined() ? detail::describe(v) : "an undefined tensor");
    TORCH_CHECK(
        v.scalar_type() == dtype() && v.device() == device() &&
            v.layout() == at::kStrided,
        map_->call.name,
        ": the operator is ",
        detail::dtype_name(dtype()),
        " on ",
        device(),
        ", but the vector is ",
        detail::describe(v),
        v.layout() == at::kStrided ? "" : " and sparse",
        "; convert it");
  }

  std::shared_ptr<const detail::LinearMap> map_;
  bool transposed_;
};

/// The Jacobian of `f` at `inputs` as an operator: its rows are the elements of
/// all outputs, its columns those of all inputs, which share one real dtype and
/// one device. `f` is called once, here.
///
///     const auto j = libgrad::jacobian_operator(f, {w, b});
///     auto jv = j.matmul(v);               // v: {w.numel() + b.numel()}
///     auto ju = j.transpose().matmul(u);
///
/// Throws c10::Error for mixed or complex dtypes, and what `f` throws.
inline LinearOperator jacobian_operator(
    const Callable& f, const variable_list& inputs) {
  const auto& call = detail::kJacobianOperator;
  detail::check_surroundings(call);
  at::AutoGradMode grad_mode(true);
  auto xs = detail::tracked(call, inputs, /*create_graph=*/false);
  detail::check_alike(call, "inputs", xs, xs[0]);
  auto ys = detail::evaluate(call, f, xs);
  detail::check_alike(call, "outputs", ys, xs[0]);
  return LinearOperator(
      std::make_shared<detail::LinearMap>(
          call, std::move(ys), std::move(xs), /*symmetric=*/false));
}

/// The Hessian of `f`, a function of one element, at `inputs` as an operator,
/// symmetric as continuous second derivatives are. `f` is called once, and its
/// gradient is taken once, here; a product is one backward through both.
///
///     const auto h = libgrad::hessian_operator(f, {w, b});
///     auto hv = h.matmul(v);
inline LinearOperator hessian_operator(
    const Callable& f, const variable_list& inputs) {
  const auto& call = detail::kHessianOperator;
  detail::check_surroundings(call);
  at::AutoGradMode grad_mode(true);
  auto xs = detail::tracked(call, inputs, /*create_graph=*/false);
  detail::check_alike(call, "inputs", xs, xs[0]);
  auto grads = detail::first_gradients(call, f, xs, /*strict=*/false).product;
  detail::fill_zeros(grads, xs);
  for (auto& grad : grads) {
    grad = grad.to_dense();
  }
  return LinearOperator(
      std::make_shared<detail::LinearMap>(
          call, std::move(grads), std::move(xs), /*symmetric=*/true));
}

/// The same of functions of a single tensor.
inline LinearOperator jacobian_operator(
    const TensorCallable& f, const at::Tensor& input) {
  return jacobian_operator(detail::listed(f), {input});
}

inline LinearOperator hessian_operator(
    const TensorCallable& f, const at::Tensor& input) {
  return hessian_operator(detail::listed(f), {input});
}

}  // namespace libgrad
