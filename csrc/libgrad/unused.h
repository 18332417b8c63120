/// libgrad/unused.h -- parameters that a graph gives no gradient, and why.

#pragma once

#include <libgrad/questions/absence.h>
#include <libgrad/questions/find_tensor.h>
#include <libgrad/questions/live_nodes.h>
#include <libgrad/questions/module_paths.h>

#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace libgrad {

/// A parameter that gets no gradient.
struct UnusedParam {
  std::string name;
  /// "frozen", "integer", "not a leaf", "shares memory", "cut", "overwritten",
  /// "elsewhere", "module not in graph", "no trace".
  std::string_view reason;
  Index node = kNothing;  // that shows it
  std::string text;       // a sentence
};

/// A tensor that came into the graph and gets no gradient: data, mostly, and
/// what was detached.
struct GraphEnd {
  Index node = 0;   // that took it
  Index saved = 0;  // its place in Graph::saved
  std::string text;
};

/// What unused() found.
struct UnusedParams {
  std::vector<UnusedParam> params;  // in the order given
  std::vector<GraphEnd> ends;       // in the order of backward
  std::string text;                 // all of it, for a person

  bool empty() const { return params.empty(); }
};

namespace detail {

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
    const auto owner = module_of(name);
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
  std::unordered_map<Index, std::string> names_;  // of saved tensors
  UnusedParams result_;
};

}  // namespace detail

/// Which of `params` get no gradient from `graph`, and why, as far as it can be
/// known from the graph: nothing is guessed.
///
///     auto found = libgrad::unused(g, {{"weight", w}, {"scale", s}});
///     found.params[0].reason;  // "cut"
///     found.text;              // a report
///
/// A Function that gives no gradient to one of its inputs is not seen. Throws
/// c10::Error when a tensor is undefined.
inline UnusedParams unused(
    const Graph& graph,
    const std::vector<std::pair<std::string, at::Tensor>>& params) {
  for (const auto& [name, tensor] : params) {
    TORCH_CHECK(tensor.defined(), "unused: '", name, "' is undefined");
  }
  return detail::UnusedAnswer(graph, params).run();
}

}  // namespace libgrad
