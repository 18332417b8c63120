/// libgrad/function/forward_mode.h -- Function<F>::apply for dual tensors.
///
/// LibTorch's apply refuses inputs with tangents. With forward mode switched
/// off it does not see the tangents, but it still saves the dual tensors
/// themselves. The tangents of the outputs then come from
/// <libgrad/function/tangents.h>.
///
/// Relies on (covered by tests/function/test_function_forward_mode.py):
/// - _fw_grad(0) reads as undefined while AutoFwGradMode is off;
/// - apply saves its inputs with their tangents;
/// - a detached tensor that was given a gradient edge counts as the output of
///   an operation;
/// - save_for_backward and save_variables_to_ctx may run a second time.

#pragma once

#include <libgrad/function/tangents.h>

#include <libgrad/torch/autograd/edges.h>
#include <libgrad/torch/transforms/vmap.h>

#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <unordered_map>

namespace libgrad::detail {

inline bool is_dual(const at::Tensor& tensor) {
  return tensor.defined() && tensor._fw_grad(/*level=*/0).defined();
}

/// One call with dual tensors. `mutated` are the indices of the tensors that F
/// changes in place: F gets copies of them, which are then written back.
class DualCall {
 public:
  DualCall(
      const Erased& function, Arguments values, std::vector<int64_t> mutated)
      : function_(function),
        values_(values),
        mutated_(std::move(mutated)),
        inputs_(tensors_of(values)),
        name_(function_name(*function.function)) {
    for (const auto& input : inputs_) {
      tangents_.emplace_back(input._fw_grad(/*level=*/0));
      tracked_ |= grad_mode_ && input.requires_grad();
    }
  }

  variable_list operator()() {
    track();
    {
      at::AutoFwGradMode no_forward_mode(false);
      outputs_ = apply();
      find_context();
      if (context_ == nullptr) {  // no output can be differentiated
        changed_ = outputs_;
        write_back();
        return std::move(outputs_);
      }
      check_dirty();
      out_tangents_ = OutputTangents(
          function_, *context_, values_, inputs_, tangents_, outputs_)();
    }
    at::AutoGradMode grad_mode(grad_mode_);
    changed_ = outputs_;
    attach();
    write_back();
    return std::move(outputs_);
  }

 private:
  /// Prepares the inputs of `apply` in `given_`: copies of the inputs that F
  /// changes, and for inputs with a tangent stand-ins that require grad. Then
  /// `apply` makes a node, and requires_grad() of an argument is true for F as
  /// in reverse mode.
  void track() {
    at::AutoGradMode grad_mode(true);
    given_ = inputs_;
    for (const auto place : mutated_) {
      at::AutoFwGradMode no_forward_mode(false);
      given_[place] = given_[place].clone();
    }
    for (size_t i = 0; i < given_.size(); ++i) {
      if (tangents_[i].defined() && !given_[i].requires_grad()) {
        const auto tangent = given_[i]._fw_grad(/*level=*/0);
        given_[i] = given_[i].detach();
        if (tangent.defined()) {
          given_[i]._set_fw_grad(tangent, /*level=*/0, /*inplace=*/false);
        }
        auto node = make_node<torch::autograd::Identity>();
        node->add_input_metadata(given_[i]);
        torch::autograd::impl::set_gradient_edge(given_[i], {node, 0});
        stand_ins_[node.get()] = i;
      }
    }
  }

  variable_list apply() const {
    at::AutoGradMode grad_mode(true);
    const auto values = with_tensors(values_, given_);
    return with_advice(
        *function_.function, [&] { return function_.apply(values); });
  }

  void check_dirty() const {
    for (const auto* tensor : Context::dirty(*context_)) {
      const auto place = index_of(given_, tensor);
      TORCH_CHECK(
          std::find(mutated_.begin(), mutated_.end(), place) != mutated_.end(),
          name_,
          ": forward mode met an in-place Function (mark_dirty) that does not "
          "say so; name what it changes where it is defined: "
          "libgrad::mutates(\"x\")");
    }
  }

  void write_back() {
    for (const auto place : mutated_) {
      const auto output =
          index_of(changed_, given_[place].unsafeGetTensorImpl());
      if (output >= 0) {
        outputs_[output] = at::Tensor(inputs_[place]).copy_(outputs_[output]);
      }
    }
  }

  void find_context() {
    for (const auto& output : outputs_) {
      if (output.defined() && output.grad_fn()) {
        node_ = output.grad_fn();
        context_ = function_.context(*node_);
        if (context_ != nullptr) {
          return;
        }
      }
    }
  }

  /// Gives the outputs their tangents, and replaces saved outputs by outputs
  /// with tangents.
  void attach() {
    auto saved = tracked_ ? context_->get_saved_variables() : variable_list();
    bool resave = take_out_stand_ins(saved);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      auto& output = outputs_[i];
      if (!output.defined()) {
        continue;
      }
      const auto first = index_of(changed_, changed_[i].unsafeGetTensorImpl());
      if (first < static_cast<int64_t>(i)) {  // F returned the tensor twice
        output = outputs_[first];
        continue;
      }
      const auto number = output.output_nr();
      const bool mine = output.grad_fn().get() == node_.get();
      if (!tracked_) {
        output = untracked(output, out_tangents_[i]);
      }
      if (!out_tangents_[i].defined()) {
        continue;
      }
      output = able_to_have(out_tangents_[i], output);
      output._set_fw_grad(out_tangents_[i], /*level=*/0, /*inplace=*/false);
      for (auto& tensor : saved) {
        if (mine && tensor.defined() && tensor.grad_fn().get() == node_.get() &&
            tensor.output_nr() == number) {
          tensor = output;
          resave = true;
        }
      }
    }
    if (resave) {
      context_->save_for_backward(std::move(saved));
      function_.resave(*node_);
    }
  }

  /// Removes the node's edges to stand-ins, and replaces stand-ins in `saved`
  /// by the inputs that they stand for. True when `saved` held a stand-in.
  bool take_out_stand_ins(variable_list& saved) {
    const auto& edges = node_->next_edges();
    for (size_t i = 0; tracked_ && i < edges.size(); ++i) {
      if (stand_ins_.count(edges[i].function.get()) != 0) {
        node_->set_next_edge(i, {});
      }
    }
    bool found = false;
    for (auto& tensor : saved) {
      const auto* maker = tensor.defined() ? tensor.grad_fn().get() : nullptr;
      if (const auto it = stand_ins_.find(maker); it != stand_ins_.end()) {
        tensor = inputs_[it->second];
        found = true;
      }
    }
    return found;
  }

  /// `output`, detached from the graph that was recorded only to compute the
  /// tangents. A view of an input becomes a copy unless its tangent is a view
  /// of the input's tangent: a later write to the view would change the input
  /// but not the input's tangent.
  at::Tensor untracked(const at::Tensor& output, at::Tensor& tangent) const {
    if (tangent.defined() && tangent.requires_grad()) {
      tangent = tangent.detach();
    }
    const auto source =
        output.is_view() ? tangent_of(output._base()) : at::Tensor();
    const bool stale =
        source.defined() && tangent.defined() && !tangent.is_alias_of(source);
    return stale ? output.detach().clone() : output.detach();
  }

  /// `output`, or a copy where `output` is a view whose strides or storage
  /// differ from those of `tangent`: torch wants a view and its tangent to have
  /// the same layout in memory.
  static at::Tensor able_to_have(
      const at::Tensor& tangent, const at::Tensor& output) {
    const bool alike =
        tangent.strides() == output.strides() &&
        tangent.storage_offset() == output.storage_offset() &&
        tangent.storage().sym_nbytes() == output.storage().sym_nbytes();
    if (!output.is_view() || alike) {
      return output;
    }
    at::AutoFwGradMode no_forward_mode(false);
    return output.clone();
  }

  /// The tangent of the input that shares its storage with `base`.
  at::Tensor tangent_of(const at::TensorBase& base) const {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      if (tangents_[i].defined() && inputs_[i].is_alias_of(at::Tensor(base))) {
        return tangents_[i];
      }
    }
    return at::Tensor();
  }

  const Erased& function_;
  Arguments values_;
  std::vector<int64_t> mutated_;
  variable_list inputs_;
  std::string name_;
  bool grad_mode_ = at::GradMode::is_enabled();
  bool tracked_ = false;
  variable_list tangents_;
  variable_list given_;  // the inputs of apply
  std::unordered_map<const torch::autograd::Node*, size_t> stand_ins_;
  variable_list outputs_;
  variable_list changed_;  // the outputs as apply returned them
  variable_list out_tangents_;
  AutogradContext* context_ = nullptr;
  NodePtr node_;
};

/// Fn::apply, also for dual tensors and, once `function` is bound, under
/// torch.func. `mutated` are the indices of the arguments that it changes.
inline variable_list apply(
    const Erased& function,
    Arguments values,
    const std::vector<int64_t>& mutated) {
  if (functorch_active() && function.transformed) {
    return function.transformed(values.vec());
  }
  for (const auto& tensor : tensors_of(values)) {
    if (is_dual(tensor)) {
      return DualCall(function, values, tensor_places(values, mutated))();
    }
  }
  return function.apply(values);
}

}  // namespace libgrad::detail
