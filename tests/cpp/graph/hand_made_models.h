/// hand_made_models.h -- graphs as models of some kinds would leave them.

#pragma once

#include "graph/hand_made.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace hand_made {

/// sin, `links` times, of "x".
inline Graph chain(Index links) {
  std::vector<Maker> makers;
  for (Index i = 0; i < links; ++i) {
    makers.push_back({"SinBackward0", {{i + 1, 0}}, {3}, {{"self", {3}}}});
  }
  makers.push_back(leaf("x", {3}));
  return graph(makers);
}

/// A stack of many leaves: "p0", "p1", ...
inline Graph wide(Index leaves) {
  std::vector<Maker> makers{{.name = "StackBackward0"}};
  for (Index i = 0; i < leaves; ++i) {
    makers[0].next.emplace_back(i + 1, 0);
    makers.push_back(leaf("p" + std::to_string(i), {3}));
  }
  return graph(makers);
}

/// A recurrent network; its weights are used in every step.
inline Graph recurrent(Index steps) {
  const std::vector<int64_t> shape{4, 8};
  const Index weights = 4 * steps + 1;
  std::vector<Maker> makers{{"SumBackward0", {{1, 0}}, {}}};
  for (Index i = 0; i < steps; ++i) {
    const Index at = 4 * i + 1;
    const Index before = i + 1 < steps ? at + 4 : libgrad::kNothing;
    makers.push_back(
        {"TanhBackward0", {{at + 1, 0}}, shape, {{"result", shape}}});
    makers.push_back({"AddBackward0", {{at + 2, 0}, {at + 3, 0}}, shape});
    makers.push_back(
        {"AddmmBackward0", {{weights, 0}, {weights + 2, 0}}, shape});
    makers.push_back({"MmBackward0", {{before, 0}, {weights + 1, 0}}, shape});
  }
  makers.push_back(leaf("weight_ih", {8, 8}));
  makers.push_back(leaf("weight_hh", {8, 8}));
  makers.push_back(leaf("bias", {8}));
  return graph(makers);
}

/// One layer of `transformer`: 18 nodes, the next layer's behind them.
inline void add_layer(
    std::vector<Maker>& makers, const std::string& path, bool modules) {
  const std::vector<int64_t> x{2, 8, 64};
  const std::vector<int64_t> wide{16, 256};
  const auto at = static_cast<Index>(makers.size());
  const auto node = [&](const char* name,
                        std::vector<std::pair<Index, Index>> next,
                        const std::vector<int64_t>& shape,
                        std::vector<Saved> saved,
                        const char* module) {
    Maker maker{name, std::move(next), shape, std::move(saved)};
    for (auto& [to, input] : maker.next) {
      to += at;
    }
    maker.module = modules ? path + module : "";
    makers.push_back(std::move(maker));
  };
  node("AddBackward0", {{9, 0}, {1, 0}}, x, {}, "");
  node(
      "AddmmBackward0",
      {{2, 0}, {4, 0}, {3, 0}},
      {16, 64},
      {{"mat1", wide}, {"mat2", {256, 64}}},
      ".mlp.out");
  makers.push_back(leaf(path + ".mlp.out.bias", {64}));
  node("TBackward0", {{5, 0}}, {256, 64}, {}, ".mlp.out");
  node("GeluBackward0", {{6, 0}}, wide, {{"self", wide}}, ".mlp.act");
  makers.push_back(leaf(path + ".mlp.out.weight", {64, 256}));
  node("MmBackward0", {{8, 0}, {7, 0}}, wide, {{"self", {16, 64}}}, ".mlp.in");
  makers.push_back(leaf(path + ".mlp.in.weight", {256, 64}));
  node(
      "NativeLayerNormBackward0",
      {{9, 0}, {10, 0}},
      x,
      {{"input", x}},
      ".norm2");
  node("AddBackward0", {{18, 0}, {11, 0}}, x, {}, "");
  makers.push_back(leaf(path + ".norm2.weight", {64}));
  node(
      "BmmBackward0",
      {{12, 0}, {13, 0}},
      x,
      {{"self", x}, {"mat2", x}},
      ".attention");
  node("SoftmaxBackward0", {{14, 0}}, x, {{"result", x}}, ".attention");
  node("SplitBackward0", {{15, 0}}, x, {}, ".attention");
  node(
      "BmmBackward0",
      {{13, 1}, {13, 2}},
      x,
      {{"self", x}, {"mat2", x}},
      ".attention");
  node("MmBackward0", {{17, 0}, {16, 0}}, x, {{"self", x}}, ".attention");
  makers.push_back(leaf(path + ".attention.weight", {64, 64}));
  node("NativeLayerNormBackward0", {{18, 0}}, x, {{"input", x}}, ".norm1");
}

/// A stack of equal layers with skip connections, "h.0" and so on; the last
/// one is on top.
inline Graph transformer(Index layers, bool modules = false) {
  const std::vector<int64_t> x{2, 8, 64};
  std::vector<Maker> makers{
      {"SumBackward0", {{1, 0}}, {}},
      {"NativeLayerNormBackward0", {{3, 0}, {2, 0}}, x, {{"input", x}}},
      leaf("norm.weight", {64})};
  for (Index i = layers; i-- > 0;) {
    add_layer(makers, "h." + std::to_string(i), modules);
  }
  const auto end = static_cast<Index>(makers.size());
  makers.push_back(
      {"EmbeddingBackward0", {{end + 1, 0}}, x, {{"indices", {2, 8}}}});
  makers.push_back(leaf("embedding.weight", {1000, 64}));
  return graph(makers);
}

/// Nothing in it is alike: each node leads to one of the next ones, and to
/// another one up to `reach` further.
inline Graph irregular(Index count, Index reach) {
  std::vector<Maker> makers;
  uint32_t random = 1;
  const auto draw = [&](Index below) {
    random = random * 1664525U + 1013904223U;
    return (random >> 8U) % below;
  };
  for (Index i = 0; i + 1 < count; ++i) {
    const Index last = count - 1;
    makers.push_back(
        {"Fn" + std::to_string(draw(count)) + "Backward",
         {{i + 1, 0}, {std::min(last, i + 1 + draw(reach)), 0}},
         {i}});
  }
  makers.push_back(leaf("x"));
  return graph(makers);
}

}  // namespace hand_made
