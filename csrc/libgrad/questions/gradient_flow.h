/// libgrad/questions/gradient_flow.h -- the memory that the gradients of a node
/// lie in, by class of node.
///
/// Relies on (covered by tests/graph/test_plan.py): the backward formulas of
/// LibTorch's operators that are named here.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

namespace libgrad::detail {

/// How a gradient that a node computes lies in memory, relative to the gradient
/// that the node takes.
enum class Flow : uint8_t {
  kNew,       // memory of its own
  kSame,      // the same tensor
  kView,      // a view of it, element by element
  kReshaped,  // a view where possible, else a copy
  kPermuted,  // a view with the dimensions in another order
  kUniform,   // its only element, expanded
  kSpread,    // each of its elements, expanded
  kPart,      // a part of its memory
};

/// How the nodes of a class compute their gradients.
struct FlowRule {
  std::string_view name;
  Flow first = Flow::kNew;  // of output 0
  Flow rest = Flow::kNew;   // of the other outputs
  bool broadcasts = false;  // computed in full, then reduced
  int temporaries = 0;  // of the gradient's size, while output 0 is computed
  int rest_temporaries = 0;  // while another output is computed
  bool copies = false;       // copies a gradient first that is not dense
};

inline constexpr std::array kFlowRules{
    FlowRule{.name = "AbsBackward0", .temporaries = 1},
    FlowRule{
        .name = "AddBackward0",
        .first = Flow::kSame,
        .rest = Flow::kSame,
        .broadcasts = true},
    FlowRule{.name = "AddBackward1", .first = Flow::kSame},
    FlowRule{.name = "AddmmBackward0", .copies = true},
    FlowRule{.name = "AliasBackward0", .first = Flow::kSame},
    FlowRule{.name = "AsinBackward0", .temporaries = 4},
    FlowRule{.name = "AtanBackward0", .temporaries = 2},
    FlowRule{.name = "CatBackward0", .first = Flow::kPart, .rest = Flow::kPart},
    FlowRule{.name = "CloneBackward0", .first = Flow::kSame},
    FlowRule{.name = "CosBackward0", .temporaries = 2},
    FlowRule{.name = "CoshBackward0", .temporaries = 1},
    FlowRule{.name = "DivBackward0", .broadcasts = true, .rest_temporaries = 2},
    FlowRule{.name = "ErfBackward0", .temporaries = 4},
    FlowRule{.name = "ExpandBackward0", .first = Flow::kSame},
    FlowRule{.name = "Expm1Backward0", .temporaries = 1},
    FlowRule{.name = "GeluBackward0", .copies = true},
    FlowRule{.name = "Log1PBackward0", .temporaries = 1},
    FlowRule{.name = "MmBackward0", .copies = true},
    FlowRule{.name = "MulBackward0", .broadcasts = true},
    FlowRule{.name = "PermuteBackward0", .first = Flow::kPermuted},
    FlowRule{.name = "PowBackward0", .temporaries = 2},
    FlowRule{.name = "ReciprocalBackward0", .temporaries = 2},
    FlowRule{.name = "RsqrtBackward0", .temporaries = 2},
    FlowRule{.name = "SinBackward0", .temporaries = 1},
    FlowRule{.name = "SinhBackward0", .temporaries = 1},
    FlowRule{.name = "SqrtBackward0", .temporaries = 1},
    FlowRule{.name = "SqueezeBackward0", .first = Flow::kView},
    FlowRule{.name = "SqueezeBackward1", .first = Flow::kView},
    FlowRule{.name = "SqueezeBackward2", .first = Flow::kView},
    FlowRule{
        .name = "StackBackward0", .first = Flow::kPart, .rest = Flow::kPart},
    FlowRule{.name = "SubBackward0", .first = Flow::kSame, .broadcasts = true},
    FlowRule{.name = "SubBackward1", .first = Flow::kSame},
    FlowRule{.name = "SumBackward0", .first = Flow::kUniform},
    FlowRule{.name = "SumBackward1", .first = Flow::kSpread},
    FlowRule{.name = "TBackward0", .first = Flow::kPermuted},
    FlowRule{.name = "TanBackward0", .temporaries = 2},
    FlowRule{.name = "ToCopyBackward0", .first = Flow::kSame},
    FlowRule{.name = "TransposeBackward0", .first = Flow::kPermuted},
    FlowRule{.name = "UnsafeViewBackward0", .first = Flow::kReshaped},
    FlowRule{.name = "UnsqueezeBackward0", .first = Flow::kView},
    FlowRule{.name = "ViewBackward0", .first = Flow::kReshaped},
};
static_assert(std::ranges::is_sorted(kFlowRules, {}, &FlowRule::name));

/// The rule of a class of nodes; a class without a rule makes new memory.
inline const FlowRule& flow_of(std::string_view name) {
  static constexpr FlowRule none{};
  const auto* const found =
      std::ranges::lower_bound(kFlowRules, name, {}, &FlowRule::name);
  return found != kFlowRules.end() && found->name == name ? *found : none;
}

}  // namespace libgrad::detail
