/// libgrad/graph/fill_origins.h -- what was recorded, put into a snapshot.

#pragma once

#include <libgrad/graph/snapshot.h>
#include <libgrad/record/origins.h>

#include <map>
#include <tuple>

namespace libgrad::detail {

/// Lines of source by place, each found out once.
class Lines {
 public:
  explicit Lines(Graph& graph) : graph_(graph) {}

  void put(const Place& place, GraphOrigin& origin) {
    if (place.key == nullptr) {
      return;
    }
    auto [found, is_new] = lines_.try_emplace({place.key, place.at});
    if (is_new) {
      const auto [file, line] = source_of(place);
      found->second = {graph_.keep(file), static_cast<Index>(line)};
    }
    std::tie(origin.file, origin.line) = found->second;
  }

 private:
  Graph& graph_;
  std::map<std::pair<const void*, int32_t>, std::pair<std::string_view, Index>>
      lines_;
};

/// Says of the nodes that were made under a Record where they come from.
inline void fill_origins(Graph& graph) {
  const auto& origins = Origins::instance();
  if (origins.empty()) {
    return;
  }
  Lines lines(graph);
  for (auto& node : graph.nodes) {
    if (const auto seen = origins.find(node.thread, node.sequence_nr)) {
      node.origin.op = graph.keep(origins.text(seen->op));
      node.origin.module = graph.keep(origins.text(seen->module));
      lines.put(seen->place, node.origin);
    }
  }
}

}  // namespace libgrad::detail
