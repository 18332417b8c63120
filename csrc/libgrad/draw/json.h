/// libgrad/draw/json.h -- everything in a snapshot, as JSON.

#pragma once

#include <libgrad/base/escape.h>
#include <libgrad/graph/words.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// Writes one graph; keys always come in the same order.
class JsonWriter {
 public:
  explicit JsonWriter(const Graph& graph) : graph_(graph) {}

  std::string write() {
    out_ = "{\n\"format\": \"libgrad graph\",\n\"version\": 1,\n\"nbytes\": ";
    out_ += integer(graph_.nbytes) +
            ",\n\"exclusive_nbytes\": " + integer(graph_.exclusive_nbytes) +
            ",\n\"roots\": ";
    list(graph_.roots, [&](const GraphRoot& root) {
      out_ += "{\"node\": " + std::to_string(root.node) +
              ", \"input\": " + std::to_string(root.input) + '}';
    });
    out_ += ",\n\"leaves\": ";
    list(graph_.leaves, [&](Index leaf) { out_ += std::to_string(leaf); });
    out_ += ",\n\"storages\": ";
    list(graph_.storages, [&](const GraphStorage& storage) {
      out_ += "{\"nbytes\": " + integer(storage.nbytes) +
              ", \"device\": " + json(storage.device.str()) +
              ", \"owner\": " + json(word_of(storage.owner)) + '}';
    });
    out_ += ",\n\"nodes\": [";
    for (Index i = 0; i < graph_.nodes.size(); ++i) {
      out_ += i == 0 ? "\n" : ",\n";
      node(i);
    }
    out_ += "\n]\n}\n";
    return std::move(out_);
  }

 private:
  void node(Index index) {
    const auto& node = graph_.nodes[index];
    out_ += "{\"id\": " + std::to_string(index);
    text("name", node.name);
    text("kind", word_of(node.kind));
    out_ += ", \"sequence_nr\": ";
    out_ += node.sequence_nr == UINT64_MAX ? "null" : count(node.sequence_nr);
    out_ += ", \"thread\": " + count(node.thread);
    out_ += ", \"order\": " + std::to_string(node.order);
    out_ += ", \"outputs\": " + std::to_string(node.outputs);
    out_ += ", \"hooks\": " + std::to_string(node.hooks);
    out_ += ", \"inputs\": ";
    list(graph_.inputs_of(node), [&](const auto& each) { input(each); });
    out_ += ", \"edges\": ";
    list(graph_.edges_of(node), [&](const GraphEdge& edge) {
      out_ += "{\"output\": " + std::to_string(edge.output) +
              ", \"to\": " + std::to_string(edge.to) +
              ", \"input\": " + std::to_string(edge.input) + '}';
    });
    out_ += ", \"saved\": ";
    list(graph_.saved_of(node), [&](const auto& each) { saved(each); });
    text("leaf", node.leaf, true);
    text("label", node.label, true);
    text("note", node.note, true);
    text("stream", node.stream, true);
    text("op", node.origin.op, true);
    text("module", node.origin.module, true);
    text("file", node.origin.file, true);
    out_ += ", \"line\": ";
    out_ +=
        node.origin.file.empty() ? "null" : std::to_string(node.origin.line);
    out_ += ", \"nbytes\": " + integer(node.nbytes);
    out_ += ", \"exclusive_nbytes\": " + integer(node.exclusive_nbytes) + '}';
  }

  void input(const GraphInput& input) {
    if (input.dtype == at::ScalarType::Undefined) {
      out_ += "null";
      return;
    }
    out_ += '{';
    tensor(graph_.shape_of(input), input.dtype, input.device, input.nested);
    out_ += '}';
  }

  void saved(const GraphSaved& saved) {
    out_ += "{\"field\": " + json(saved.field);
    out_ += ", \"index\": " + place(saved.index);
    text("state", word_of(saved.state));
    flag("hooks", saved.hooks);
    flag("is_output", saved.output);
    out_ += ", ";
    const bool known = saved.dtype != at::ScalarType::Undefined;
    known ? tensor(
                graph_.shape_of(saved), saved.dtype, saved.device, saved.nested)
          : void(out_ += "\"shape\": null, \"dtype\": null, \"device\": null");
    out_ += ", \"saved_version\": " + version(saved.saved_version);
    out_ += ", \"version\": " + version(saved.version);
    flag("stale", is_stale(saved));
    out_ += ", \"storage\": " + place(saved.storage);
    out_ += ", \"offset\": " + integer(saved.offset);
    out_ += ", \"nbytes\": " + integer(saved.nbytes);
    out_ += ", \"leaf\": " + place(saved.leaf);
    text("label", saved.label, true);
    out_ += '}';
  }

  void tensor(
      std::span<const int64_t> shape,
      at::ScalarType dtype,
      c10::Device device,
      bool nested) {
    out_ += "\"shape\": ";
    if (nested) {
      out_ += "null";
    } else {
      list(shape, [&](int64_t size) {
        out_ += size < 0 ? "null" : integer(size);
      });
    }
    text("dtype", dtype_name(dtype));
    text("device", device.str());
  }

  template <class List, class Write>
  void list(const List& values, const Write& write) {
    out_ += '[';
    for (bool first = true; const auto& value : values) {
      out_ += first ? "" : ", ";
      first = false;
      write(value);
    }
    out_ += ']';
  }

  void text(
      const char* key, std::string_view value, bool empty_is_null = false) {
    out_ += std::string(", \"") + key + "\": ";
    out_ += empty_is_null && value.empty() ? "null" : json(value);
  }

  void flag(const char* key, bool value) {
    out_ += std::string(", \"") + key + "\": " + (value ? "true" : "false");
  }

  static std::string place(Index index) {
    return index == kNothing ? "null" : std::to_string(index);
  }

  static std::string version(int64_t version) {
    return version < 0 ? "null" : integer(version);
  }

  /// A number that a double cannot hold is written as a string: readers would
  /// round it.
  static std::string count(uint64_t value) {
    const auto digits = std::to_string(value);
    return value <= (uint64_t{1} << 53U) ? digits : '"' + digits + '"';
  }

  static std::string integer(int64_t value) {
    return value < 0 ? std::to_string(value)
                     : count(static_cast<uint64_t>(value));
  }

  const Graph& graph_;
  std::string out_;
};

}  // namespace libgrad::detail
