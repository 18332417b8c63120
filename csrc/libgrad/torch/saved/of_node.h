/// libgrad/torch/saved/of_node.h -- the tensors that a node saved, for each
/// class of nodes.
///
/// Relies on (covered by tests/cpp/graph/test_snapshot.cpp and
/// tests/graph/test_graph.py):
/// - the members of LibTorch's own nodes, in the table that CMake makes of
///   their declarations;
/// - the node of Function<F> is a CppNode<F>, laid out alike for every F, and
///   its type's name starts with kCppNode;
/// - the node of a Python Function is a PyNode, whose type is not exported;
/// - CopySlices runs the node `fn` on a part of the gradient.

#pragma once

#include <libgrad/base/each_tensor.h>
#include <libgrad/base/pointer_index.h>
#include <libgrad/torch/autograd/context.h>
#include <libgrad/torch/autograd/node_names.h>
#include <libgrad/torch/host.h>
#include <libgrad/torch/saved/hooked_tensor.h>
#include <libgrad/torch/saved/table.h>  // made by CMake
#include <libgrad/torch/saved/variable.h>

#include <c10/util/FunctionRef.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/tensor.h>

#include <typeindex>
#include <unordered_map>

namespace libgrad::detail {

using RawNode = torch::autograd::Node;

/// Called with each place in turn; a field's text need not outlive the call.
using SavedSink = Host::SavedSink;

/// Passes to `sink` the tensors in the value that hooks made of `packed`,
/// without a field, and the tensors that the hooks hold themselves. The latter
/// are passed once for each hook; `hooks` has the hooks that were seen.
inline void read_pack(
    const SavedVariable& packed, PointerIndex& hooks, SavedSink sink) {
  const auto* const hooked =
      dynamic_cast<const HookedTensor*>((packed.*member(SavedHooks())).get());
  if (hooked == nullptr) {
    if (const auto read_packed = host().read_packed) {
      read_packed(packed, hooks, sink);
    }
    return;
  }
  if (const auto* const kept = hooked->kept()) {
    const auto held = saved_place(*kept, "");
    if (held.tensor != nullptr) {
      sink(held);
    } else if (held.packed != nullptr) {  // by outer hooks
      read_pack(*held.packed, hooks, sink);
    }
  }
  const auto* const shared = hooked->shared();
  if (shared != nullptr && hooks.emplace(shared, 0).second) {
    shared->each_kept(
        [&](const SavedVariable& tensor, std::string_view name, size_t place) {
          auto held = saved_place(
              tensor,
              name.empty() ? "checkpoint.args" : "checkpoint.save",
              static_cast<Index>(place));
          held.label = name;
          sink(held);
        });
  }
}

/// How to read the nodes of one class.
struct KnownNode {
  enum Layout { kTable, kEmpty, kLeaf, kCopySlices, kCpp, kPython, kUnknown };
  Layout layout = kUnknown;
  const OperatorNode* table = nullptr;
};

inline constexpr std::string_view kCppNode = "N5torch8autograd7CppNodeI";
inline constexpr std::string_view kPyNode = "N5torch8autograd6PyNodeE";

/// LibTorch's operators by their nodes.
inline const auto& operator_nodes() {
  static const auto nodes = [] {
    std::unordered_map<std::type_index, const OperatorNode*> nodes;
    for (const auto& node : kOperatorNodes) {
      nodes.emplace(*node.type, &node);
    }
    return nodes;
  }();
  return nodes;
}

/// True for LibTorch's nodes that belong to no operator and save no tensors.
inline bool saves_nothing(const std::type_info& type) {
  const auto name = c10::demangle(type.name());
  constexpr std::string_view space = "torch::autograd::";
  if (!name.starts_with(space)) {
    return false;
  }
  const auto rest = std::string_view(name).substr(space.size());
  for (const char* known :
       {"CopyBackwards",
        "DelayedError",
        "Error",
        "Gather",
        "Identity",
        "NotImplemented",
        "Scatter",
        "UndefinedGrad",
        "UndefinedGradBackward"}) {
    if (rest == known) {
      return true;
    }
  }
  return false;
}

inline KnownNode known_node(const std::type_info& type) {
  if (const auto found = operator_nodes().find(type);
      found != operator_nodes().end()) {
    return {KnownNode::kTable, found->second};
  }
  if (type == typeid(torch::autograd::AccumulateGrad)) {
    return {KnownNode::kLeaf};
  }
  if (type == typeid(torch::autograd::CopySlices)) {
    return {KnownNode::kCopySlices};
  }
  const std::string_view name = type.name();
  if (name.starts_with(kCppNode)) {
    return {KnownNode::kCpp};
  }
  if (name == kPyNode) {
    return {KnownNode::kPython};
  }
  return {saves_nothing(type) ? KnownNode::kEmpty : KnownNode::kUnknown};
}

inline void read_table(
    RawNode& node, const OperatorNode& table, SavedSink sink) {
  for (uint32_t i = table.first; i < table.end; ++i) {
    const auto& field = kSavedFields[i];
    if (field.one != nullptr) {
      sink(saved_place(node.*field.one, field.name));
      continue;
    }
    const auto& list = node.*field.list;
    for (size_t j = 0; j < list.size(); ++j) {
      sink(saved_place(list[j], field.name, static_cast<Index>(j)));
    }
    if (field.released != nullptr && node.*field.released) {
      sink({.field = field.name, .state = SavedState::kReleased});
    }
  }
}

/// Never called. The node of any Function is read as if it were this
/// Function's.
struct AnyFunction {
  static at::Tensor forward(AutogradContext*, at::Tensor x) { return x; }
  static variable_list backward(AutogradContext*, variable_list x) { return x; }
};

inline std::string read_cpp_node(RawNode& node, SavedSink sink) {
  auto& ctx =
      reinterpret_cast<torch::autograd::CppNode<AnyFunction>&>(node).ctx_;
  const auto& saved = Context::variables(ctx);
  for (size_t i = 0; i < saved.size(); ++i) {
    sink(saved_place(saved[i], "saved_tensors", static_cast<Index>(i)));
  }
  for (const auto& [key, value] : ctx.saved_data) {
    const std::string field = "saved_data." + key;
    Index index = value.isTensor() ? kNothing : 0;
    each_tensor(value, [&](const at::Tensor& tensor) {
      if (tensor.defined()) {
        sink({field, index, SavedState::kHeld, false, false, -1, &tensor});
      }
      index += index != kNothing;
    });
  }
  return Context::freed(ctx) ? "a backward freed its saved tensors" : "";
}

/// Passes to `sink` the tensors that `node`, of class `known`, saved. Returns
/// in words what could not be read; empty if nothing.
inline std::string read_saved(
    RawNode& node, const KnownNode& known, SavedSink sink) {
  switch (known.layout) {
    case KnownNode::kTable:
      read_table(node, *known.table, sink);
      return "";
    case KnownNode::kCpp:
      return read_cpp_node(node, sink);
    case KnownNode::kPython:
      return host().read_python_node != nullptr
                 ? host().read_python_node(node, sink)
                 : "only libgrad's Python package can tell what the node of a "
                   "Python Function saved";
    case KnownNode::kUnknown:
      return "libgrad does not know the class " +
             c10::demangle(typeid(node).name()) +
             ", so it cannot tell what it saved";
    case KnownNode::kCopySlices: {
      const auto& inner =
          static_cast<torch::autograd::CopySlices&>(node).fn;  // null: freed
      return inner ? read_saved(*inner, known_node(typeid(*inner)), sink)
                   : "a backward freed the operator that wrote into the view";
    }
    default:
      return "";
  }
}

}  // namespace libgrad::detail
