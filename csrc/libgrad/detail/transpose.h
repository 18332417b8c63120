/// libgrad/detail/transpose.h -- has autograd seen all that a linear function
/// does? The Jacobian-vector product that it derives from a vector-Jacobian
/// product is right only then.
///
/// Relies on (covered by tests/function/test_function_forward_mode.py):
/// - a node's sequence number is above those of all nodes made before it on
///   its thread;
/// - the node behind an operator without a derivative, which passes nothing
///   on, is of a type called WarnNotImplemented.

#pragma once

#include <libgrad/detail/edges.h>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/core/impl/TorchDispatchModeTLS.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string_view>
#include <typeinfo>
#include <unordered_set>

namespace libgrad::detail {

/// A vector to pull back, shaped as `output`. Its numbers are no special ones:
/// a gradient may well be zero at ones, as that of a normalization is.
inline at::Tensor probe(const at::Tensor& output) {
  const auto ones = at::ones_like(output);
  return ones.layout() == at::kStrided
             ? ones.reshape(-1).cumsum(0).cos().view_as(output)
             : ones;
}

/// True when the graph of `tensor` leads to one of `sources`, each of which an
/// operation made on this thread. What is older than they are is not visited.
inline bool depends_on(const at::Tensor& tensor, const variable_list& sources) {
  using torch::autograd::Node;
  std::unordered_set<const Node*> goals;
  auto oldest = std::numeric_limits<uint64_t>::max();
  for (const auto& source : sources) {
    const auto* node = source.grad_fn().get();
    TORCH_INTERNAL_ASSERT(node != nullptr);
    goals.insert(node);
    oldest = std::min(oldest, node->sequence_nr());
  }
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> stack{tensor.grad_fn().get()};
  while (!stack.empty()) {
    const auto* node = stack.back();
    stack.pop_back();
    if (node == nullptr || node->sequence_nr() < oldest ||
        !seen.insert(node).second) {
      continue;
    }
    if (goals.count(node) != 0) {
      return true;
    }
    const std::string_view type = typeid(*node).name();
    if (type.find("WarnNotImplemented") == std::string_view::npos) {
      for (const auto& edge : node->next_edges()) {
        stack.push_back(edge.function.get());
      }
    }
  }
  return false;
}

/// The products <a[i], b[i]> of real vectors, complex ones seen as pairs of
/// real numbers: their sum, and the root of the sum of their squares.
inline std::pair<at::Tensor, at::Tensor> inner(
    const variable_list& a, const variable_list& b) {
  at::Tensor sum;
  at::Tensor squares;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto product =
        at::real(a[i].conj() * b[i]).to(at::kDouble).reshape(-1);
    sum = sum.defined() ? sum + product.sum() : product.sum();
    const auto square = (product * product).sum();
    squares = squares.defined() ? squares + square : square;
  }
  return {sum, squares.sqrt()};
}

/// True when every entry is zero, or none can be read. What watches operators
/// (a tracer) does not see this one.
inline bool reads_zero(const at::Tensor& tensor) {
  if (tensor.is_meta() || tensor.unsafeGetTensorImpl()->is_python_dispatch()) {
    return true;
  }
  const c10::impl::ExcludeDispatchKeyGuard no_modes(
      c10::DispatchKeySet{
          c10::DispatchKey::Python, c10::DispatchKey::PythonTLSSnapshot});
  return tensor.detach().eq(0).all().item<bool>();
}

/// True for ordinary tensors in the CPU's memory: on another device reading a
/// number makes the program wait.
inline bool is_readable(const variable_list& tensors) {
  return !c10::impl::TorchDispatchModeTLS::any_modes_set() &&
         std::all_of(
             tensors.begin(), tensors.end(), [](const at::Tensor& tensor) {
               return tensor.device().is_cpu() &&
                      tensor.layout() == at::kStrided &&
                      !tensor.unsafeGetTensorImpl()->is_python_dispatch();
             });
}

/// How far the two sides of `mismatch` may be apart: a part of J that is
/// missing shows, what rounding does (the more so in an ill-conditioned
/// gradient) does not. None for tensors that are too coarse for that.
inline std::optional<double> tolerance(const variable_list& tensors) {
  double result = 1e-6;
  for (const auto& tensor : tensors) {
    const auto type = c10::toRealValueType(tensor.scalar_type());
    if (at::autocast::is_autocast_enabled(tensor.device().type()) ||
        (type != at::kDouble && type != at::kFloat)) {
      return std::nullopt;
    }
    result = type == at::kFloat ? 1e-2 : result;
  }
  return result;
}

/// True where `columns` cannot be J t: <J^T u, t> = <u, J t> holds for every
/// vector u, and `gradients` are J^T u. A tensor, of each element of a batch;
/// none where that cannot be told.
inline std::optional<at::Tensor> mismatch(
    const variable_list& gradients,
    const variable_list& tangents,
    const variable_list& vectors,
    const variable_list& columns) {
  at::AutoGradMode no_grad(false);
  if (!is_readable(gradients) || !is_readable(columns)) {
    return std::nullopt;
  }
  const auto left_tolerance = tolerance(gradients);
  const auto right_tolerance = tolerance(columns);
  if (!left_tolerance || !right_tolerance) {
    return std::nullopt;
  }
  const auto [left, left_size] = inner(gradients, tangents);
  const auto [right, right_size] = inner(vectors, columns);
  return (left - right).abs() >
         std::max(*left_tolerance, *right_tolerance) * (left_size + right_size);
}

}  // namespace libgrad::detail
