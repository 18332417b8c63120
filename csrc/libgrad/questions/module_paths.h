/// libgrad/questions/module_paths.h -- which modules a recorded graph comes
/// from.

#pragma once

#include <libgrad/graph/snapshot.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// "encoder.0" of "encoder.0.weight"; nothing of "weight".
inline std::string_view module_of(std::string_view param) {
  const auto dot = param.rfind('.');
  return dot == param.npos ? std::string_view() : param.substr(0, dot);
}

/// The modules of a graph, and whether names of parameters speak of them.
class ModulePaths {
 public:
  explicit ModulePaths(const Graph& graph) : of_leaf_(graph.nodes.size()) {
    for (const auto& node : graph.nodes) {
      if (!node.origin.module.empty()) {
        paths_.insert(node.origin.module);
      }
    }
    for (const auto& edge : graph.edges) {
      if (!graph.nodes[edge.from].origin.module.empty()) {
        of_leaf_[edge.to] = graph.nodes[edge.from].origin.module;
      }
    }
  }

  /// Parameter `name` is used, at node `leaf`. When the module that owns it is
  /// where it is used, names and paths start at the same module.
  void learn(std::string_view name, Index leaf) {
    const auto owner = module_of(name);
    agree_ |= !owner.empty() && of_leaf_[leaf] == owner;
  }

  /// True when it is sure that no node comes from `module` or what is in it.
  bool miss(std::string_view module) const {
    if (!agree_ || module.empty()) {
      return false;
    }
    for (const auto path : paths_) {
      for (auto rest = path; !rest.empty();) {
        if (starts_with(rest, module)) {
          return false;  // also within a module that names do not start at
        }
        const auto dot = rest.find('.');
        rest = dot == rest.npos ? std::string_view() : rest.substr(dot + 1);
      }
    }
    return true;
  }

 private:
  static bool starts_with(std::string_view path, std::string_view module) {
    return path.starts_with(module) &&
           (path.size() == module.size() || path[module.size()] == '.');
  }

  std::set<std::string_view> paths_;
  std::vector<std::string_view> of_leaf_;
  bool agree_ = false;
};

}  // namespace libgrad::detail
