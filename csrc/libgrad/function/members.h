/// libgrad/function/members.h -- calls single members of a Function, each with
/// a context of its own: for transforms that keep their own tape.

#pragma once

#include <libgrad/function/erased.h>

#include <libgrad/base/describe.h>
#include <libgrad/function/advice.h>

#include <ATen/Functions.h>
#include <torch/csrc/autograd/variable.h>

namespace libgrad::detail {

/// The outputs of `forward`, and what it left for `backward` and `jvp`.
struct Forward {
  variable_list outputs;
  variable_list constants;
  Leftover left;
};

/// F::forward of `values` with `tensors` in place of `tensors_of(values)`.
inline Forward forward(
    const Erased& function, Arguments values, const variable_list& tensors) {
  at::AutoGradMode no_grad(false);
  AutogradContext ctx;
  Forward result;
  const auto given = with_tensors(values, tensors);
  result.outputs = with_advice(
      *function.function, [&] { return function.forward(&ctx, given); });
  std::tie(result.left, result.constants) = take(ctx, tensors, result.outputs);
  for (size_t i = 0; i < result.outputs.size(); ++i) {
    const auto input = result.left.input_of_output[i];
    const auto& dirty = result.left.dirty;
    if (input >= 0 && std::count(dirty.begin(), dirty.end(), input) == 0) {
      auto& output = result.outputs[i];
      output = output.view_as(output);  // as apply does
    }
  }
  for (const auto input : result.left.dirty) {
    const auto output = index_of(
        result.outputs,
        input < 0 ? nullptr : tensors[input].unsafeGetTensorImpl());
    if (output >= 0) {  // a tape must not see an input as the output
      result.outputs[output] = result.outputs[output].clone();
    }
  }
  return result;
}

/// F::backward: a gradient for each tensor of `tensors_of(values)`.
inline variable_list backward(
    const Erased& function,
    AutogradContext& ctx,
    Arguments values,
    variable_list grads) {
  std::vector<int64_t> sizes;
  for (const auto& value : values) {
    sizes.push_back(
        value.isTensorList()
            ? static_cast<int64_t>(value.toTensorVector().size())
            : 1);
  }
  auto gradients = with_advice(*function.function, [&] {
    return widened(function.backward(&ctx, std::move(grads)), sizes);
  });
  const auto [places, count] = gradient_places(values);
  while (gradients.size() > count && !gradients.back().defined()) {
    gradients.pop_back();
  }
  TORCH_CHECK(
      gradients.size() == count,
      "function ",
      function_name(*function.function),
      " returned an incorrect number of gradients (expected ",
      count,
      ", got ",
      gradients.size(),
      ")");
  variable_list result;
  for (const auto place : places) {
    result.push_back(std::move(gradients[place]));
  }
  return result;
}

/// F::jvp. `tangents` has one tangent for each tensor of `tensors_of(values)`;
/// F gets one for each argument, undefined for an argument that is no tensor.
inline variable_list jvp(
    const Erased& function,
    AutogradContext& ctx,
    Arguments values,
    variable_list tangents,
    size_t outputs) {
  const auto [places, count] = gradient_places(values);
  variable_list all(count);
  for (size_t i = 0; i < places.size(); ++i) {
    all[places[i]] = std::move(tangents[i]);
  }
  auto result = with_advice(
      *function.function, [&] { return function.jvp(&ctx, std::move(all)); });
  TORCH_CHECK(
      result.size() == outputs,
      function_name(*function.function),
      ": jvp returned ",
      result.size(),
      " tangents for ",
      outputs,
      " outputs; return one for each, undefined for none");
  return result;
}

/// F::vmap of `values` with `tensors` in place of `tensors_of(values)`.
/// `in_dims` has one entry for each of `tensors`; F::vmap gets one for each
/// argument that can be a tensor, and one for each element of a list.
inline std::pair<variable_list, Dims> vmap(
    const Erased& function,
    const VmapInfo& info,
    const Dims& in_dims,
    Arguments values,
    const variable_list& tensors) {
  Dims dims;
  auto next = in_dims.begin();
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i].isTensorList()) {
      const auto size =
          static_cast<ptrdiff_t>(values[i].toTensorVector().size());
      dims.insert(dims.end(), next, next + size);
      next += size;
    } else if (values[i].isTensor() && values[i].toTensor().defined()) {
      dims.push_back(*next++);
    } else if (function.types[i] == "Tensor?" || values[i].isTensor()) {
      dims.emplace_back();
    }
  }
  const auto given = with_tensors(values, tensors);
  auto [outputs, out_dims] = with_advice(
      *function.function, [&] { return function.vmap(info, dims, given); });
  TORCH_CHECK(
      outputs.size() == out_dims.size(),
      function_name(*function.function),
      ": vmap returned ",
      out_dims.size(),
      " out_dims for ",
      outputs.size(),
      " outputs; return one for each, nullopt for one that is not batched");
  return {std::move(outputs), std::move(out_dims)};
}

}  // namespace libgrad::detail
