/// libgrad/functional/linear_map.h -- products of vectors with the Jacobian of
/// a kept graph.

#pragma once

#include <libgrad/grad/adjoint.h>

#include <libgrad/functional/verify.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>

namespace libgrad::detail {

/// Throws unless `tensors`, the inputs or outputs of a function (`what`), are
/// dense and real, and share the dtype and device of `first`.
inline void check_alike(
    const Call& call,
    const char* what,
    const variable_list& tensors,
    const at::Tensor& first) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& tensor = tensors[i];
    TORCH_CHECK(
        tensor.layout() == at::kStrided && !tensor.is_nested(),
        call.name,
        ": ",
        what,
        '[',
        i,
        "] is sparse or nested, but flat vectors need dense tensors; convert "
        "it with to_dense()");
    TORCH_CHECK(
        !tensor.is_complex(),
        call.name,
        ": ",
        what,
        '[',
        i,
        "] is complex, and the derivative of a complex function need not be "
        "linear over complex numbers; take and return pairs of real ones "
        "(view_as_real, view_as_complex)");
    TORCH_CHECK(
        tensor.scalar_type() == first.scalar_type() &&
            tensor.device() == first.device(),
        call.name,
        ": ",
        what,
        '[',
        i,
        "] is ",
        describe(tensor),
        " but inputs[0] is ",
        describe(first),
        "; an operator has one dtype and one device for all inputs and "
        "outputs: convert them inside the function");
  }
}

/// Splits `flat`, a vector or a matrix of vectors as rows, into tensors of the
/// shapes of `like`.
inline variable_list unflattened(
    const at::Tensor& flat, const variable_list& like) {
  variable_list parts;
  parts.reserve(like.size());
  int64_t offset = 0;
  for (const auto& tensor : like) {
    const auto shape =
        joined(flat.sizes().slice(0, flat.dim() - 1), tensor.sizes());
    parts.push_back(flat.narrow(-1, offset, tensor.numel()).reshape(shape));
    offset += tensor.numel();
  }
  return parts;
}

/// The inverse of `unflattened`; `batch` is empty, or the number of rows.
inline at::Tensor flattened(
    const variable_list& parts,
    const variable_list& like,
    at::IntArrayRef batch) {
  variable_list flat;
  flat.reserve(parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto shape = joined(batch, {like[i].numel()});
    flat.push_back(
        parts[i].defined() ? parts[i].to_dense().reshape(shape)
                           : at::zeros(shape, like[i].options()));
  }
  return flat.size() == 1 ? flat[0] : at::cat(flat, -1);
}

/// The Euclidean norm of all elements together.
inline double norm(const variable_list& tensors) {
  double sum = 0;
  for (const auto& tensor : tensors) {
    const auto part = tensor.detach().norm().item<double>();
    sum += part * part;
  }
  return std::sqrt(sum);
}

/// A graph from inputs to outputs, and products with its Jacobian J. Several
/// threads may use one object.
class LinearMap {
 public:
  LinearMap(
      const Call& call,
      variable_list outputs,
      variable_list inputs,
      bool symmetric)
      : call(call),
        outputs(std::move(outputs)),
        inputs(std::move(inputs)),
        symmetric(symmetric) {}

  /// Jᵀu for a vector u, or for each column of u.
  at::Tensor pulled(const at::Tensor& u) const {
    return product(outputs, inputs, u);
  }

  /// Jv: the derivative of Jᵀu with respect to u, times v.
  at::Tensor pushed(const at::Tensor& v) const {
    if (symmetric) {
      return pulled(v);
    }
    const auto& graph = transposed();
    return product(graph.gradients, graph.vectors, v);
  }

  const Call& call;
  const variable_list outputs;
  const variable_list inputs;
  const bool symmetric;

 private:
  /// Vectors u, and Jᵀu with its graph.
  struct Transposed {
    variable_list vectors;
    variable_list gradients;
  };

  const Transposed& transposed() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!transposed_) {
      at::AutoGradMode grad_mode(true);
      auto vectors = random_like(outputs, 1);
      for (size_t i = 0; i < vectors.size(); ++i) {
        vectors[i].requires_grad_(outputs[i].requires_grad());
      }
      auto gradients = pull(call, outputs, inputs, vectors, true, true);
      fill_zeros(gradients, inputs);
      for (auto& gradient : gradients) {
        gradient = gradient.to_dense();
      }
      if (!outputs[0].is_meta()) {  // meta tensors have no numbers to compare
        check_transposed(vectors, gradients);
      }
      transposed_ = {std::move(vectors), std::move(gradients)};
    }
    return *transposed_;
  }

  /// Random numbers with the shapes, dtypes and devices of `like`.
  static variable_list random_like(const variable_list& like, uint64_t seed) {
    auto vectors = random_vectors(like, seed);
    for (size_t i = 0; i < like.size(); ++i) {
      vectors[i] = vectors[i].to(like[i].options());
    }
    return vectors;
  }

  /// Throws unless <u, Jv> = <Jᵀu, v> for the `vectors` u and a random v. They
  /// differ where a part of the backward is not recorded: Jv lacks that part.
  void check_transposed(
      const variable_list& vectors, const variable_list& gradients) const {
    const auto directions = random_like(inputs, 2);
    auto columns = pull(call, gradients, vectors, directions, true, false);
    fill_zeros(columns, vectors);
    at::NoGradGuard no_grad;
    const auto [left, left_size] = inner(vectors, columns);
    const auto [right, right_size] = inner(gradients, directions);
    const auto a = left.item<double>(), b = right.item<double>();
    const auto size = left_size.item<double>() + right_size.item<double>();
    const auto precise = tolerance(inputs);
    if (std::abs(a - b) <= precise.value_or(0.1) * size ||
        !(std::isfinite(a) || std::isfinite(b))) {
      return;
    }
    const auto noise = nonlinearity(outputs, inputs, vectors) +
                       nonlinearity(gradients, vectors, directions);
    TORCH_CHECK(
        std::abs(a - b) <= (precise ? 100 : 4) * noise +
                               rounding() * norm(vectors) * norm(directions),
        call.name,
        ": Jv cannot be had from the function's backward, as a part of that "
        "cannot be differentiated (it detaches its gradient, or computes "
        "outside LibTorch): for random u and v <u, Jv> is ",
        a,
        ", but <Jᵀu, v> is ",
        b,
        ". Products with the transposed operator are right");
  }

  /// The rounding error to expect in an entry of J, judging by the norms of
  /// inputs and outputs.
  double rounding() const {
    const auto type = inputs[0].scalar_type();
    const double share =
        type == at::kDouble ? 0x1p-48 : (type == at::kFloat ? 0x1p-19 : 0x1p-9);
    const auto size = norm(inputs), scale = norm(outputs);
    return std::isfinite(scale) && size > 0 ? share * scale / size : 0;
  }

  /// How far the product with u + w is from the sum of the products with u and
  /// w: a measure of the rounding error. A Jacobian may consist of nothing but
  /// rounding errors, such as that of the sum of a softmax.
  double nonlinearity(
      const variable_list& from,
      const variable_list& to,
      const variable_list& vectors) const {
    const auto product = [&](const variable_list& seeds) {
      auto result = pull(call, from, to, seeds, true, false);
      fill_zeros(result, to);
      return result;
    };
    const auto others = random_like(from, 3);
    variable_list sums;
    for (size_t i = 0; i < others.size(); ++i) {
      sums.push_back(vectors[i].detach() + others[i]);
    }
    auto apart = product(sums);
    const auto a = product(vectors), b = product(others);
    for (size_t i = 0; i < apart.size(); ++i) {
      apart[i] = apart[i] - a[i] - b[i];
    }
    return norm(apart);
  }

  /// Pulls `v`, a vector or a matrix of columns, back from `from` to `to`.
  at::Tensor product(
      const variable_list& from,
      const variable_list& to,
      const at::Tensor& v) const {
    if (v.dim() == 1) {
      const auto grads =
          pull(call, from, to, unflattened(v, from), true, false);
      return flattened(grads, to, {});
    }
    const auto rows = v.t();
    const auto count = rows.size(0), step = rows_at_once({}, from, to);
    variable_list chunks;
    for (int64_t a = 0; a < count; a += step) {
      const auto size = std::min(step, count - a);
      chunks.push_back(products(from, to, rows.narrow(0, a, size)));
    }
    return chunks.empty() ? v.new_zeros({elements(to), 0})
                          : at::cat(chunks).t();
  }

  /// The products of the rows of `batch`: in one batched backward, or, where
  /// that fails, in a loop.
  at::Tensor products(
      const variable_list& from,
      const variable_list& to,
      const at::Tensor& batch) const {
    const auto count = batch.size(0);
    if (count > 1 && batches_) {
      const auto run = [&](const variable_list& seeds) {
        return pull(call, from, to, seeds, true, false);
      };
      try {
        check_rules(from);
        return by_either_route([&](Route route) {
          const auto seeds = unflattened(batch, from);
          return flattened(run_mapped(count, seeds, run, route), to, {count});
        });
      } catch (const std::exception& error) {
        warn_of_fallback(
            call,
            "the batched backward",
            error,
            "the engine is called for each column instead, which is right but "
            "slower");
        batches_ = false;
      }
    }
    variable_list rows;
    for (const auto& row : batch.unbind(0)) {
      rows.push_back(product(from, to, row));
    }
    return at::stack(rows);
  }

  mutable std::mutex mutex_;
  mutable std::optional<Transposed> transposed_;
  mutable std::atomic<bool> batches_ = true;
};

}  // namespace libgrad::detail
