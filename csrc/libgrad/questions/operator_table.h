/// libgrad/questions/operator_table.h -- facts about the gradients of
/// LibTorch's operators, by the names of their nodes.
///
/// Relies on (covered by tests/graph/test_unused.py, for every entry): the
/// derivatives of LibTorch's operators.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <algorithm>
#include <array>
#include <string_view>

namespace libgrad::detail {

/// An operator with gradients that are zero, whatever gradient arrives.
struct ZeroGradients {
  std::string_view op;
  Index outputs;  // bit i is set for the gradient of input i
};
inline constexpr std::array kZeroGradients{
    ZeroGradients{"Bernoulli", 3},  // self, and the probabilities
    ZeroGradients{"Cauchy", 1},      ZeroGradients{"Ceil", 1},
    ZeroGradients{"Copysign", 2},  // the tensor that gives the sign
    ZeroGradients{"Eq", 3},        // comparisons that write into floats
    ZeroGradients{"Exponential", 1}, ZeroGradients{"Fill", 1},
    ZeroGradients{"Floor", 1},       ZeroGradients{"Ge", 3},
    ZeroGradients{"Geometric", 1},   ZeroGradients{"Gt", 3},
    ZeroGradients{"Le", 3},          ZeroGradients{"LogNormal", 1},
    ZeroGradients{"Lt", 3},          ZeroGradients{"Ne", 3},
    ZeroGradients{"Normal", 3},  // self in place; mean and std
    ZeroGradients{"Poisson", 1},     ZeroGradients{"Random", 1},
    ZeroGradients{"Round", 1},       ZeroGradients{"Sign", 1},
    ZeroGradients{"Trunc", 1},       ZeroGradients{"Uniform", 1},
    ZeroGradients{"Zero", 1},
};

/// "Mul" of "MulBackward0"; empty for another kind of name.
inline std::string_view operator_of(const GraphNode& node) {
  constexpr std::string_view word = "Backward";
  const auto place = node.name.rfind(word);
  if (node.kind != NodeKind::kOperator || place == node.name.npos) {
    return {};
  }
  const auto rest = node.name.substr(place + word.size());
  return rest.find_first_not_of("0123456789") == rest.npos
             ? node.name.substr(0, place)
             : std::string_view();
}

/// True when gradient `output` of `node` is zero, whatever gradient arrives.
inline bool gives_zeros(const GraphNode& node, Index output) {
  if (node.kind == NodeKind::kOperator && node.name == "CopyBackwards") {
    return output == 0;  // the tensor that was copied into
  }
  const auto op = operator_of(node);
  for (const auto& entry : kZeroGradients) {
    if (entry.op == op) {
      return output < 2 && (entry.outputs >> output & 1) != 0;
    }
  }
  return false;
}

/// An operator, and its differentiable inputs in the order of the node's
/// outputs. A node that saves one of them saves it under this name.
struct OperatorInputs {
  std::string_view op;
  std::string_view inputs;
};
inline constexpr std::array kOperatorInputs{
    OperatorInputs{"Addbmm", "self batch1 batch2"},
    OperatorInputs{"Addcdiv", "self tensor1 tensor2"},
    OperatorInputs{"Addcmul", "self tensor1 tensor2"},
    OperatorInputs{"Addmm", "self mat1 mat2"},
    OperatorInputs{"Addmv", "self mat vec"},
    OperatorInputs{"Addr", "self vec1 vec2"},
    OperatorInputs{"Atan2", "self other"},
    OperatorInputs{"Baddbmm", "self batch1 batch2"},
    OperatorInputs{"BinaryCrossEntropy", "self target"},
    OperatorInputs{"BinaryCrossEntropyWithLogits", "self target"},
    OperatorInputs{"Bmm", "self mat2"},
    OperatorInputs{"CdistForward", "x1 x2"},
    OperatorInputs{"Convolution", "input weight bias"},
    OperatorInputs{"CudnnBatchNorm", "input weight bias"},
    OperatorInputs{"CudnnConvolution", "self weight"},
    OperatorInputs{"Dist", "self other"},
    OperatorInputs{"Div", "self other"},
    OperatorInputs{"Dot", "self tensor"},
    OperatorInputs{"Fmax", "self other"},
    OperatorInputs{"Fmin", "self other"},
    OperatorInputs{"GridSampler2d", "input grid"},
    OperatorInputs{"GridSampler3d", "input grid"},
    OperatorInputs{"HuberLoss", "self target"},
    OperatorInputs{"Hypot", "self other"},
    OperatorInputs{"Lerp", "self end weight"},
    OperatorInputs{"LinalgCross", "self other"},
    OperatorInputs{"Linear", "input weight bias"},
    OperatorInputs{"Logaddexp", "self other"},
    OperatorInputs{"Maximum", "self other"},
    OperatorInputs{"Minimum", "self other"},
    OperatorInputs{"MkldnnConvolution", "self weight bias"},
    OperatorInputs{"Mm", "self mat2"},
    OperatorInputs{"MseLoss", "self target"},
    OperatorInputs{"Mul", "self other"},
    OperatorInputs{"Mv", "self vec"},
    OperatorInputs{"NativeBatchNorm", "input weight bias"},
    OperatorInputs{"NativeGroupNorm", "input weight bias"},
    OperatorInputs{"NativeLayerNorm", "input weight bias"},
    OperatorInputs{"Pow", "self exponent"},
    OperatorInputs{"PreluKernel", "self weight"},
    OperatorInputs{
        "ScaledDotProductEfficientAttention", "query key value attn_bias"},
    OperatorInputs{"ScaledDotProductFlashAttention", "query key value"},
    OperatorInputs{"ScaledDotProductFlashAttentionForCpu", "query key value"},
    OperatorInputs{"SmoothL1Loss", "self target"},
    OperatorInputs{"Vdot", "self other"},
    OperatorInputs{"Xlogy", "self other"},
};

/// The index of the differentiable input that `node` saved as `field`;
/// `kNothing` when `field` is no such input, or the operator is not known.
inline Index input_of(const GraphNode& node, std::string_view field) {
  const auto op = operator_of(node);
  for (const auto& entry : kOperatorInputs) {
    if (entry.op != op) {
      continue;
    }
    Index place = 0, found = kNothing;
    for (auto rest = entry.inputs; !rest.empty(); ++place) {
      const auto name = rest.substr(0, rest.find(' '));
      found = name == field ? place : found;
      rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    }
    return place == node.outputs ? found : kNothing;
  }
  return kNothing;
}

}  // namespace libgrad::detail
