/// libgrad/detail/seeds.h -- checks of what grad and backward are given.

#pragma once

#include <libgrad/detail/describe.h>
#include <libgrad/detail/edges.h>

#include <ATen/Functions.h> // ones

namespace libgrad::detail {

/// What a function calls its arguments; errors speak in these words.
struct Call {
  const char* name;
  const char* outputs;
  const char* seeds;
};
inline constexpr Call kGrad{"grad", "outputs", "grad_outputs"};
inline constexpr Call kBackward{"backward", "tensors", "grad_tensors"};

/// What the gradient that enters at an output must look like.
struct Expected {
  c10::SymIntArrayRef shape;
  at::ScalarType dtype;
  at::Device device;
};

inline Expected expected(const at::Tensor& output) {
  return {output.sym_sizes(), output.scalar_type(), output.device()};
}

inline Expected expected(const Edge& output) {
  const auto& meta = metadata(output);
  TORCH_CHECK(
      !meta.is_cpp_nested_tensor(),
      "C++ NestedTensor are not supported with GradientEdge");
  return {
      meta.shape_as_dim_vector(),
      c10::typeMetaToScalarType(meta.dtype()),
      meta.device()};
}

/// True for nested tensors without a regular shape; the engine checks those.
inline bool is_cpp_nested(const at::Tensor& tensor) {
  return tensor.is_nested() &&
      !tensor.unsafeGetTensorImpl()->is_python_dispatch();
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

/// Throws unless a one can stand for the missing seed of output `i`.
inline void check_implicit_seed(
    const Call& call,
    size_t i,
    const Expected& output) {
  for (const auto& size : output.shape) {
    TORCH_CHECK(
        size == 1,
        call.name,
        ": grad can be implicitly created only for scalar outputs, but ",
        call.outputs,
        '[',
        i,
        "] has shape ",
        output.shape,
        "; pass ",
        call.seeds,
        ", or reduce it first, for example with sum()");
  }
  TORCH_CHECK(
      at::isFloatingType(output.dtype),
      call.name,
      ": grad can be implicitly created only for real scalar outputs but got "
      "torch.",
      dtype_name(output.dtype),
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
      seed.device() == output.device || shape.empty(),
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

/// Throws unless the engine can start at `outputs` with `seeds` (one for each
/// output, undefined where a one is meant; or none at all).
inline void check_outputs(
    const Call& call,
    const variable_list& outputs,
    const variable_list& seeds,
    bool batched) {
  if (!seeds.empty()) {
    check_count(call, outputs.size(), seeds.size());
  }
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto& output = outputs[i];
    TORCH_CHECK(
        output.defined(), call.name, ": ", call.outputs, '[', i, "] is empty");
    check_has_graph(call, i, output.requires_grad());
    if (is_cpp_nested(output)) {
      TORCH_CHECK(
          !batched, "Batched grads are not supported with Nested Tensor.");
    } else if (seeds.empty() || !seeds[i].defined()) {
      check_implicit_seed(call, i, expected(output));
    } else {
      check_seed(call, i, expected(output), seeds[i], batched);
    }
  }
}

/// The same for edges; returns the seeds with ones where none was given.
inline variable_list make_seeds(
    const Call& call,
    const edge_list& outputs,
    variable_list seeds,
    bool batched) {
  seeds.resize(seeds.empty() ? outputs.size() : seeds.size());
  check_count(call, outputs.size(), seeds.size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    check_has_graph(call, i, outputs[i].is_valid());
    TORCH_CHECK_INDEX(
        in_range(outputs[i]),
        call.name,
        ": ",
        call.outputs,
        '[',
        i,
        "] is edge ",
        outputs[i].input_nr,
        " of ",
        outputs[i].function->name(),
        ", which has ",
        outputs[i].function->num_inputs());
    const auto want = expected(outputs[i]);
    if (seeds[i].defined()) {
      check_seed(call, i, want, seeds[i], batched);
    } else {
      check_implicit_seed(call, i, want);
      seeds[i] = at::ones_symint(want.shape, metadata(outputs[i]).options());
    }
  }
  return seeds;
}

} // namespace libgrad::detail
