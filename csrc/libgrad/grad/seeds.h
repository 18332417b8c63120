/// libgrad/grad/seeds.h -- the seeds of grad and backward (the gradients that
/// enter at the outputs): checks of the given ones, ones for the missing.
///
/// Relies on (covered by tests/cpp/torch/test_internals.cpp):
/// at::detail::scalar_tensor_static makes the same tensor as at::ones_like does
/// for a plain tensor on the CPU.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/grad/call.h>
#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/dispatch/plain_cpu.h>

#include <ATen/Functions.h>  // ones
#include <ATen/ScalarOps.h>

#include <algorithm>

namespace libgrad::detail {

/// The required properties of the gradient that enters at an output.
struct Expected {
  c10::SymIntArrayRef shape;
  at::ScalarType dtype;
  at::Device device;
  bool subclass;  // the device of a subclass is not compared
};

inline Expected expected(const at::Tensor& output) {
  return {
      output.sym_sizes(),
      output.scalar_type(),
      output.device(),
      is_subclass(output)};
}

inline Expected expected(const Edge& output) {
  const auto& meta = metadata(output);
  return {
      meta.shape_as_dim_vector(),
      c10::typeMetaToScalarType(meta.dtype()),
      meta.device(),
      meta.is_tensor_subclass()};
}

/// True for C++ nested tensors, which have no regular shape; the engine checks
/// their seeds.
inline bool is_cpp_nested(const at::Tensor& tensor) {
  return tensor.is_nested() && !is_subclass(tensor);
}

inline bool is_cpp_nested(const Edge& edge) {
  return metadata(edge).is_cpp_nested_tensor();
}

inline bool has_one_element(const at::Tensor& output) {
  return output.sym_numel() == 1;
}

inline bool has_one_element(const Edge& output) {
  const auto shape = metadata(output).shape_as_dim_vector();
  return std::all_of(
      shape.begin(), shape.end(), [](const auto& size) { return size == 1; });
}

inline bool same_shape(c10::SymIntArrayRef a, c10::SymIntArrayRef b) {
  if (a.size() != b.size()) {
    return false;
  }
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].sym_eq(b[i]).expect_true(__FILE__, __LINE__)) {
      return false;
    }
  }
  return true;
}

/// Throws unless the missing seed of output `i` can be a one.
template <class Output>
void check_implicit_seed(const Call& call, size_t i, const Output& output) {
  TORCH_CHECK(
      has_one_element(output),
      call.name,
      ": grad can be implicitly created only for scalar outputs, but ",
      call.outputs,
      '[',
      i,
      "] is ",
      describe(output),
      "; pass ",
      call.seeds,
      ", or reduce it first, for example with sum()");
  TORCH_CHECK(
      at::isFloatingType(dtype_of(output)),
      call.name,
      ": grad can be implicitly created only for real scalar outputs but got "
      "torch.",
      dtype_name(dtype_of(output)),
      " for ",
      call.outputs,
      '[',
      i,
      "]; pass ",
      call.seeds);
}

/// Throws unless `seed` can be fed to output `i`.
inline void check_seed(
    const Call& call,
    size_t i,
    const Expected& output,
    const at::Tensor& seed,
    bool batched) {
  TORCH_CHECK_INDEX(
      !batched || seed.dim() > 0,
      call.name,
      ": is_grads_batched=True needs a batch dimension in front, but ",
      call.seeds,
      '[',
      i,
      "] is a scalar");
  const auto shape = seed.sym_sizes().slice(batched ? 1 : 0);
  if (!same_shape(output.shape, shape)) {
    TORCH_CHECK(
        !batched,
        call.name,
        ": If `is_grads_batched=True`, we interpret the first dimension of "
        "each grad_output as the batch dimension. The sizes of the remaining "
        "dimensions are expected to match the shape of corresponding output, "
        "but a mismatch was detected: grad_output[",
        i,
        "] has a shape of ",
        shape,
        " behind its first dimension and output[",
        i,
        "] has a shape of ",
        output.shape);
    TORCH_CHECK(
        false,
        call.name,
        ": Mismatch in shape: grad_output[",
        i,
        "] has a shape of ",
        shape,
        " and output[",
        i,
        "] has a shape of ",
        output.shape);
  }
  TORCH_CHECK(
      at::isComplexType(output.dtype) == seed.is_complex(),
      call.name,
      ": For complex Tensors, both grad_output and output are required to "
      "have the same dtype. Mismatch in dtype: grad_output[",
      i,
      "] has a dtype of torch.",
      dtype_name(seed.scalar_type()),
      " and output[",
      i,
      "] has a dtype of torch.",
      dtype_name(output.dtype));
  TORCH_CHECK(
      seed.device() == output.device || shape.empty() || output.subclass ||
          is_subclass(seed),
      call.name,
      ": invalid gradient at index ",
      i,
      " - expected device ",
      output.device,
      " but got ",
      seed.device());
}

inline void check_has_graph(const Call& call, size_t i, bool has_graph) {
  TORCH_CHECK(
      has_graph,
      call.name,
      ": element ",
      i,
      " of tensors does not require grad and does not have a grad_fn; compute ",
      call.outputs,
      '[',
      i,
      "] from a tensor with requires_grad=True, outside no_grad()");
}

inline void check_count(const Call& call, size_t outputs, size_t seeds) {
  TORCH_CHECK(
      outputs == seeds,
      call.name,
      ": got ",
      outputs,
      " tensors and ",
      seeds,
      " gradients; ",
      call.seeds,
      " needs one entry, which may be None, for each of ",
      call.outputs);
}

/// A seed of one for an output with one element. On a small graph the
/// dispatcher takes a twentieth of the whole call, so a plain tensor is made
/// without it.
inline at::Tensor one_for(const at::Tensor& output) {
  return output.dim() == 0 && is_plain_cpu(output)
             ? at::detail::scalar_tensor_static(
                   1, output.scalar_type(), at::kCPU)
             : at::ones_like(output);
}

inline at::Tensor one_for(const Edge& output) {
  const auto& meta = metadata(output);
  return at::ones_symint(meta.shape_as_dim_vector(), meta.options());
}

/// Throws unless the engine can start at output `i`.
inline void check_output(const Call& call, size_t i, const at::Tensor& output) {
  check_has_graph(call, i, output.defined() && output.requires_grad());
}

inline void check_output(const Call& call, size_t i, const Edge& output) {
  check_has_graph(call, i, output.is_valid());
  check_edge(call.name, call.outputs, i, output);
}

/// The seeds for `outputs` (tensors or edges): the given tensors, checked, and
/// a one where an entry is undefined or `given` is empty.
template <class Outputs>
variable_list make_seeds(
    const Call& call,
    const Outputs& outputs,
    const variable_list& given,
    bool batched) {
  if (!given.empty()) {
    check_count(call, outputs.size(), given.size());
  }
  variable_list seeds;
  seeds.reserve(outputs.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    seeds.push_back(given.empty() ? at::Tensor() : given[i]);
    check_output(call, i, outputs[i]);
    if (seeds[i].defined() && is_cpp_nested(outputs[i])) {
      TORCH_CHECK(
          !batched,
          call.name,
          ": Batched grads are not supported with Nested Tensor.");
    } else if (seeds[i].defined()) {
      check_seed(call, i, expected(outputs[i]), seeds[i], batched);
    } else {
      check_implicit_seed(call, i, outputs[i]);
      TORCH_CHECK_VALUE(
          !batched,
          call.name,
          ": is_grads_batched=True needs a batch of vectors for every output, "
          "but ",
          call.seeds,
          '[',
          i,
          "] is None");
      seeds[i] = one_for(outputs[i]);
    }
  }
  return seeds;
}

}  // namespace libgrad::detail
