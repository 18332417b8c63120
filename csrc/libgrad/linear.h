/// libgrad/linear.h -- Jacobians and Hessians as linear operators: they
/// multiply vectors, and no matrix is built.

#pragma once

#include <libgrad/functional/linear_map.h>

#include <libgrad/functional.h>

#include <array>
#include <memory>

namespace libgrad {

/// A Jacobian or Hessian that multiplies vectors; no matrix is built.
///
/// A vector is flat: it holds the entries of all inputs (or outputs) one after
/// another, in the order of torch.nn.utils.parameters_to_vector. Each product
/// runs the engine on the kept graph of one call of the function. The operator
/// keeps the saved tensors of that graph alive; after an in-place change of a
/// saved tensor the next product throws. Products have no graph of their own.
/// Copies share the graph, and several threads may use it at once.
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

  /// The transposed operator, on the same graph. A Hessian is its own
  /// transpose.
  LinearOperator transpose() const {
    return LinearOperator(map_, !transposed_ && !is_symmetric());
  }

  /// The product with a vector of shape {n}, or with each column of {n, k}, in
  /// batches. Jᵀu, Hv and Jv cost one backward each. Jv is the derivative of
  /// Jᵀu with respect to u; the first Jv costs two more backwards, which record
  /// and check the graph of Jᵀu. Jv needs a backward that is itself
  /// differentiable.
  at::Tensor matmul(const at::Tensor& v) const {
    detail::check_surroundings(map_->call);
    check(v);
    const auto vectors = v.detach();
    const auto result =
        transposed_ ? map_->pulled(vectors) : map_->pushed(vectors);
    return result.is_alias_of(v) ? result.clone() : result;
  }

  /// The product with a vector given as one tensor for each input (for a
  /// transposed operator, each output): one tensor for each output (input).
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

/// The Jacobian of `f` at `inputs` as an operator, with a row for each element
/// of the outputs and a column for each element of the inputs. Inputs and
/// outputs share one real dtype and one device. `f` is called once, here.
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

/// The Hessian at `inputs` of `f`, which returns one element, as an operator.
/// The operator counts as symmetric, as continuous second derivatives are. `f`
/// is called once and its gradient computed once, here; a product costs one
/// backward through both.
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

/// Overloads for functions of a single tensor.
inline LinearOperator jacobian_operator(
    const TensorCallable& f, const at::Tensor& input) {
  return jacobian_operator(detail::listed(f), {input});
}

inline LinearOperator hessian_operator(
    const TensorCallable& f, const at::Tensor& input) {
  return hessian_operator(detail::listed(f), {input});
}

}  // namespace libgrad
