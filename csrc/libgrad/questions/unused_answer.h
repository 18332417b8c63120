/// libgrad/questions/unused_answer.h -- finds the parameters that get no
/// gradient, and why.

#pragma once

#include <libgrad/base/dotted_path.h>
#include <libgrad/graph/engine_order.h>
#include <libgrad/graph/snapshot.h>
#include <libgrad/questions/absence.h>
#include <libgrad/questions/answers.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/questions/operator_table.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad::detail {

/// The paths of modules in a graph, and whether names of parameters use the
/// same paths.
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

  /// Learns from parameter `name`, whose node is `leaf`. When the module that
  /// owns the parameter is the module that uses it, names and paths start at
  /// the same module.
  void learn(std::string_view name, Index leaf) {
    const auto owner = without_last_part(name);
    agree_ |= !owner.empty() && of_leaf_[leaf] == owner;
  }

  /// True when certainly no node comes from `module` or from a module inside
  /// it.
  bool miss(std::string_view module) const {
    if (!agree_ || module.empty()) {
      return false;
    }
    for (const auto path : paths_) {
      for (auto rest = path; !rest.empty();) {
        if (starts_with(rest, module)) {
          return false;  // paths may start further out than names
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

/// Whether a gradient reaches each node, and if not, which node stops it.
class LiveNodes {
 public:
  explicit LiveNodes(const Graph& graph)
      : live_(graph.nodes.size(), false),
        stops_(graph.nodes.size(), kNothing) {
    for (const auto& root : graph.roots) {
      live_[root.node] = true;
    }
    for (const Index id : ids_in_order(graph)) {
      const auto& node = graph.nodes[id];
      for (const auto& edge : graph.edges_of(node)) {
        if (!live_[id]) {
          stops_[edge.to] = stops_[id];
        } else if (gives_zeros(node, edge.output)) {
          stops_[edge.to] = id;
        } else {
          live_[edge.to] = true;
        }
      }
    }
  }

  bool operator[](Index node) const { return live_[node]; }

  /// For a node that is not live: a node on a path to it that gives zeros.
  Index stop(Index node) const { return stops_[node]; }

 private:
  std::vector<bool> live_;
  std::vector<Index> stops_;
};

/// Answers unused().
class UnusedAnswer {
 public:
  using Params = std::vector<std::pair<std::string, at::Tensor>>;

  UnusedAnswer(const Graph& graph, const Params& params)
      : graph_(graph),
        params_(params),
        live_(graph),
        modules_(graph) {}

  UnusedParams run() {
    const TensorFinder finder(graph_);
    for (const auto& [name, tensor] : params_) {
      found_.push_back(finder.find(tensor));
      const auto& found = found_.back();
      if (found.node != kNothing && !found.view) {
        modules_.learn(name, found.node);
      }
      for (const Index saved : found.saved) {
        names_.emplace(saved, name);
      }
    }
    for (size_t i = 0; i < params_.size(); ++i) {
      look_at(params_[i].first, params_[i].second, found_[i]);
    }
    find_ends();
    write();
    return std::move(result_);
  }

 private:
  void look_at(
      const std::string& name,
      const at::Tensor& tensor,
      const FoundTensor& found) {
    const bool takes_grad =
        tensor.requires_grad() && (tensor.is_leaf() || tensor.retains_grad());
    const bool is_there = found.node != kNothing && !found.view && takes_grad;
    if (is_there && live_[found.node]) {
      return;
    }
    auto why =
        is_there ? overwritten(found.node) : absence_of(graph_, found, tensor);
    const auto owner = without_last_part(name);
    if (why.reason == "no trace" && modules_.miss(owner)) {
      why.reason = "module not in graph";
      why.text = no_node_from(owner) +
                 ": it did not run, or what it made is not used here, or it "
                 "ran under no_grad()";
    } else if (why.reason == "elsewhere" && modules_.miss(owner)) {
      why.text += "; " + no_node_from(owner);
    }
    result_.params.push_back({name, why.reason, why.node, std::move(why.text)});
  }

  static std::string no_node_from(std::string_view module) {
    return "no node of the graph comes from '" + plain(module) + '\'';
  }

  Absence overwritten(Index node) const {
    const Index stop = live_.stop(node);
    return {
        "overwritten",
        stop,
        node_words(graph_, stop) +
            ", gives zeros whatever arrives, and every path to it leads "
            "through such nodes" +
            where_words(graph_.nodes[stop])};
  }

  void find_ends() {
    const auto usual = usual_device(graph_);
    for (const Index id : ids_in_order(graph_)) {
      const auto& node = graph_.nodes[id];
      for (Index i = 0; i < node.saved.count; ++i) {
        const Index place = node.saved.first + i;
        const auto& saved = graph_.saved[place];
        if (saved.state == SavedState::kHeld && !saved.output &&
            !saved.number && is_missing(node, input_of(node, saved.field))) {
          const auto param = names_.find(place);
          result_.ends.push_back(
              {id,
               place,
               node_words(graph_, id) + ": " + field_words(saved) + ", " +
                   saved_words(graph_, saved, usual) +
                   (param == names_.end() ? ""
                                          : ", in the memory of '" +
                                                plain(param->second) + '\'') +
                   where_words(node)});
        }
      }
    }
  }

  bool is_missing(const GraphNode& node, Index input) const {
    if (input == kNothing) {
      return false;
    }
    for (const auto& edge : graph_.edges_of(node)) {
      if (edge.output == input) {
        return false;
      }
    }
    return true;
  }

  void write() {
    auto& text = result_.text;
    const auto all = count_words(params_.size(), "parameter");
    if (result_.empty()) {
      text = params_.empty() ? "no parameters were given"
                             : "all get a gradient: " + all;
      return;
    }
    text = "no gradient comes to " + count_words(result_.params.size()) +
           " of " + all + ':';
    for (const auto& param : result_.params) {
      text += "\n  " + plain(param.name) + "  [" + std::string(param.reason) +
              "]  " + param.text;
    }
    write_ends();
  }

  void write_ends() {
    constexpr size_t kMost = 10;
    auto& text = result_.text;
    if (!result_.ends.empty()) {
      text +=
          "\ntensors that came in without gradient, as data do and what is "
          "detached:";
    }
    for (size_t i = 0; i < std::min(kMost, result_.ends.size()); ++i) {
      text += "\n  " + result_.ends[i].text;
    }
    if (result_.ends.size() > kMost) {
      text += "\n  and " + count_words(result_.ends.size() - kMost) + " more";
    }
  }

  const Graph& graph_;
  const Params& params_;
  LiveNodes live_;
  ModulePaths modules_;
  std::vector<FoundTensor> found_;
  std::unordered_map<Index, std::string> names_;  // parameters, by saved tensor
  UnusedParams result_;
};

}  // namespace libgrad::detail
