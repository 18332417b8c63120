/// libgrad/torch/autograd/name_tag.h -- the names that a program gave to the
/// outputs of a node.
///
/// Relies on (covered by tests/cpp/memory/test_names.cpp):
/// - a node keeps its pre_hooks(), and continues with the gradients that they
///   return;
/// - a tensor keeps its name in AutogradMeta::name_.

#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// A pre-hook that keeps the names of a node's outputs, and leaves gradients as
/// they are.
class NameTag final : public torch::autograd::FunctionPreHook {
 public:
  using Names = std::vector<std::pair<uint32_t, std::string>>;

  /// Names output `output` of `node`. An earlier name of that output is
  /// replaced.
  static void put(
      torch::autograd::Node& node, uint32_t output, std::string_view name) {
    auto* tag = find(node);
    if (tag == nullptr) {
      auto made = std::make_unique<NameTag>();
      tag = made.get();
      node.add_pre_hook(std::move(made));
    }
    for (auto& [known, text] : tag->names_) {
      if (known == output) {
        text = name;
        return;
      }
    }
    tag->names_.emplace_back(output, name);
  }

  static NameTag* find(torch::autograd::Node& node) {
    for (const auto& hook : node.pre_hooks()) {
      if (auto* const tag = dynamic_cast<NameTag*>(hook.get())) {
        return tag;
      }
    }
    return nullptr;
  }

  torch::autograd::variable_list operator()(
      const torch::autograd::variable_list& grads) override {
    return grads;
  }
  void compiled_args(
      torch::dynamo::autograd::CompiledNodeArgs&) const override {}

  const Names& names() const { return names_; }

 private:
  Names names_;
};

/// The name that the program gave `tensor`; empty if none.
inline std::string_view name_of(const c10::TensorImpl& tensor) {
  const auto* const meta =
      static_cast<const torch::autograd::AutogradMeta*>(tensor.autograd_meta());
  return meta == nullptr ? std::string_view() : meta->name_;
}

}  // namespace libgrad::detail
