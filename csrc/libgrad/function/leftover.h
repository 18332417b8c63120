/// libgrad/function/leftover.h -- moves what `forward` left in its
/// AutogradContext to another context.
///
/// Relies on (covered by tests/function/test_function_transforms.py): nothing
/// in torch reads requires_grad of a tensor that vmap has wrapped.

#pragma once

#include <libgrad/base/each_tensor.h>
#include <libgrad/function/values.h>
#include <libgrad/torch/autograd/context.h>

#include <algorithm>
#include <unordered_set>

namespace libgrad::detail {

/// The origin of a saved tensor: an input, an output, or neither.
struct Origin {
  enum Kind { kUndefined, kInput, kOutput, kConstant };
  Kind kind;
  int64_t index;
};

/// The origin of a tensor in saved_data, and its key there.
struct NamedOrigin {
  std::string name;
  Origin origin;
};

/// All that `forward` left in its context. Each saved tensor is described by
/// its origin, so that it can be found again among the inputs and outputs at
/// another level of a transform; saved tensors that are neither are the
/// `constants`. `saved_data` has undefined tensors in place of its tensors.
struct Leftover {
  std::vector<Origin> saved;
  std::vector<NamedOrigin> named;  // in the order in which `changed` visits
  ska::flat_hash_map<std::string, at::IValue> saved_data;
  std::vector<int64_t> non_differentiable;
  std::vector<int64_t> dirty;            // indices of inputs
  std::vector<int64_t> input_of_output;  // the input that an output is, or -1
  bool materialize = true;
};

/// The index of `tensor` in `list`, or -1.
inline int64_t index_of(
    const variable_list& list, const c10::TensorImpl* tensor) {
  for (size_t i = 0; i < list.size(); ++i) {
    if (list[i].unsafeGetTensorImpl() == tensor) {
      return static_cast<int64_t>(i);
    }
  }
  return -1;
}

class OriginFinder {
 public:
  OriginFinder(
      const variable_list& inputs,
      const variable_list& outputs,
      const std::unordered_set<at::TensorImpl*>& dirty)
      : inputs_(inputs),
        outputs_(outputs),
        dirty_(dirty) {}

  Origin operator()(const at::Tensor& tensor) {
    if (!tensor.defined()) {
      return {Origin::kUndefined, 0};
    }
    auto* impl = tensor.unsafeGetTensorImpl();
    // A tensor that is changed in place is saved with its new values: as an
    // output.
    if (const auto i = index_of(inputs_, impl); i >= 0 && !dirty_.count(impl)) {
      return {Origin::kInput, i};
    }
    if (const auto i = index_of(outputs_, impl); i >= 0) {
      return {Origin::kOutput, i};
    }
    constants_.push_back(tensor);
    return {Origin::kConstant, static_cast<int64_t>(constants_.size()) - 1};
  }

  variable_list constants() && { return std::move(constants_); }

 private:
  const variable_list& inputs_;
  const variable_list& outputs_;
  const std::unordered_set<at::TensorImpl*>& dirty_;
  variable_list constants_;
};

/// The contents of `ctx` after `forward(ctx, inputs) = outputs`, and the
/// constants.
inline std::pair<Leftover, variable_list> take(
    AutogradContext& ctx,
    const variable_list& inputs,
    const variable_list& outputs) {
  Leftover left;
  OriginFinder origin(inputs, outputs, Context::dirty(ctx));
  for (const auto& tensor : Context::to_save(ctx)) {
    left.saved.push_back(origin(tensor));
  }
  for (const auto& [name, value] : ctx.saved_data) {
    const auto& key = name;
    left.saved_data[name] = changed(value, [&](const at::Tensor& tensor) {
      left.named.push_back({key, origin(tensor)});
      return at::Tensor();
    });
  }
  for (const auto* tensor : ctx.get_non_differentiable()) {
    if (const auto i = index_of(outputs, tensor); i >= 0) {
      left.non_differentiable.push_back(i);
    }
  }
  for (const auto& output : outputs) {
    left.input_of_output.push_back(
        index_of(inputs, output.unsafeGetTensorImpl()));
  }
  for (const auto* tensor : Context::dirty(ctx)) {
    left.dirty.push_back(index_of(inputs, tensor));
  }
  left.materialize = Context::materialize(ctx);
  return {std::move(left), std::move(origin).constants()};
}

/// Restores requires_grad of a saved tensor that vmap has wrapped, so that
/// backward reads what it would read in a plain call: vmap's wrapper does not
/// keep it.
inline void remember_grad(
    const Leftover& left,
    const Origin& origin,
    const std::vector<bool>& needs,
    const at::Tensor& tensor) {
  const auto index = static_cast<size_t>(origin.index);
  const bool differentiable =
      origin.kind == Origin::kOutput && std::count(
                                            left.non_differentiable.begin(),
                                            left.non_differentiable.end(),
                                            origin.index) == 0;
  if (tensor.defined() && !tensor.requires_grad() &&
      tensor.key_set().has(c10::DispatchKey::FuncTorchBatched) &&
      torch::autograd::isDifferentiableType(tensor.scalar_type()) &&
      (differentiable || (origin.kind == Origin::kInput &&
                          index < needs.size() && needs[index]))) {
    tensor.unsafeGetTensorImpl()->set_requires_grad(true);
  }
}

/// Fills `ctx` with what `left` describes. `tensors` are the tensors of
/// save_for_backward, then those of saved_data.
inline void put(
    AutogradContext& ctx,
    const Leftover& left,
    variable_list tensors,
    std::vector<bool> needs_input_grad) {
  const auto count = left.saved.size();
  ctx.saved_data = left.saved_data;
  for (size_t i = 0; i < tensors.size(); ++i) {
    remember_grad(
        left,
        i < count ? left.saved[i] : left.named[i - count].origin,
        needs_input_grad,
        tensors[i]);
  }
  for (size_t i = 0; i < left.named.size();) {
    const auto& name = left.named[i].name;
    ctx.saved_data[name] = changed(
        left.saved_data.at(name),
        [&](const at::Tensor&) { return std::move(tensors[count + i++]); });
  }
  tensors.resize(count);
  Context::saved(ctx) = std::move(tensors);
  Context::needs_input_grad(ctx) = std::move(needs_input_grad);
  Context::materialize(ctx) = left.materialize;
}

}  // namespace libgrad::detail
