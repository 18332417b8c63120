/// libgrad/draw/page/node_data.h -- the data of a node for the HTML page.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/draw/picture/box.h>
#include <libgrad/graph/words.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace libgrad::detail {

/// Writes the data of a node as JSON.
class NodeData {
 public:
  explicit NodeData(const Graph& graph)
      : graph_(graph),
        usual_(usual_device(graph)) {}

  std::string write(Index index) {
    const auto& node = graph_.nodes[index];
    out_ = "{\"id\":" + std::to_string(index);
    text("name", node.name);
    text("leaf", node.leaf);
    text("label", node.label);
    text("kind", word_of(node.kind));
    text("what", input_words(graph_, node, usual_));
    text("op", node.origin.op);
    text("module", node.origin.module);
    text("file", node.origin.file);
    if (node.origin.line != 0) {
      out_ += ",\"line\":" + std::to_string(node.origin.line);
    }
    if (node.nbytes > 0) {
      text("size", bytes_words(node.nbytes));
      text("exclusive", bytes_words(node.exclusive_nbytes));
    }
    out_ += ",\"order\":" + std::to_string(node.order);
    if (node.sequence_nr != UINT64_MAX) {
      text(
          "sequence",
          "number " + count_words(node.sequence_nr) + " of its thread");
    }
    text("stream", node.stream);
    text("note", node.note);
    saved_tensors(node);
    if (node.edges.count > 0) {
      out_ += ",\"to\":[";
      for (const auto& edge : graph_.edges_of(node)) {
        out_ += out_.ends_with('[') ? "" : ",";
        out_ += std::to_string(edge.to);
      }
      out_ += ']';
    }
    return std::move(out_ += '}');
  }

 private:
  void saved_tensors(const GraphNode& node) {
    if (node.saved.count == 0) {
      return;
    }
    out_ += ",\"saved\":[";
    for (const auto& saved : graph_.saved_of(node)) {
      out_ += out_.ends_with('[') ? "{" : ",{";
      out_ += "\"field\":" + json(field_words(saved));
      text("what", saved_words(graph_, saved, usual_));
      if (saved.state == SavedState::kHeld) {
        text("size", bytes_words(saved.nbytes));
      }
      text("note", saved_note(saved));
      if (is_stale(saved)) {
        out_ += ",\"stale\":[" + std::to_string(saved.saved_version) + ',' +
                std::to_string(saved.version) + ']';
      }
      out_ += '}';
    }
    out_ += ']';
  }

  std::string saved_note(const GraphSaved& saved) const {
    std::string note;
    const auto add = [&](std::string_view words) {
      note += note.empty() ? "" : ", ";
      note += words;
    };
    if (saved.output) {
      add("the operation's own output");
    }
    if (saved.hooks) {
      add("packed by hooks");
    }
    if (saved.leaf != kNothing) {
      add("the leaf " + node_title(graph_.nodes[saved.leaf]));
    } else if (saved.storage != kNothing) {
      const bool only = graph_.storages[saved.storage].owner == Owner::kGraph;
      add(only ? "only this graph keeps it" : "others keep it too");
    }
    return note;
  }

  void text(const char* key, std::string_view value) {
    if (!value.empty()) {
      out_ += std::string(",\"") + key + "\":" + json(value);
    }
  }

  const Graph& graph_;
  const c10::Device usual_;
  std::string out_;
};

}  // namespace libgrad::detail
