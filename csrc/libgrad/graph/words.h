/// libgrad/graph/words.h -- numbers, types and names as pictures say
/// them, safe in each language.

#pragma once

#include <libgrad/graph/graph_words.h>
#include <libgrad/graph/snapshot.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// "1.5 MiB".
inline std::string bytes_words(int64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) {
    return std::to_string(bytes) + " B";
  }
  auto value = static_cast<double>(bytes) / 1024;
  size_t unit = 0;
  for (; value >= 1023.5; ++unit) {
    value /= 1024;
  }
  std::array<char, 32> text{};
  std::snprintf(
      text.data(), text.size(), value < 99.95 ? "%.1f" : "%.0f", value);
  std::string words = text.data();
  if (words.ends_with(".0")) {
    words.resize(words.size() - 2);
  }
  return words + ' ' + units[unit];
}

/// "1,000,000".
inline std::string count_words(uint64_t count) {
  const auto digits = std::to_string(count);
  std::string words;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) {
      words += ',';
    }
    words += digits[i];
  }
  return words;
}

/// "1 node", "1,000 nodes".
inline std::string count_words(uint64_t count, const char* what) {
  return count_words(count) + ' ' + what + (count == 1 ? "" : "s");
}

/// "×12", with commas.
inline std::string times_words(uint64_t count) {
  return "×" + count_words(count);
}

/// "[2, 3]"; a size that is not known is "?".
inline std::string shape_words(std::span<const int64_t> shape) {
  std::string words = "[";
  for (const auto size : shape) {
    words += words.size() == 1 ? "" : ", ";
    words += size < 0 ? "?" : std::to_string(size);
  }
  return words + ']';
}

/// "float32", as Python prints it.
inline std::string_view dtype_word(at::ScalarType dtype) {
  switch (dtype) {
#define LIBGRAD_DTYPE(type, word) \
  case at::ScalarType::type:      \
    return word;
    LIBGRAD_DTYPE(Byte, "uint8")
    LIBGRAD_DTYPE(Char, "int8")
    LIBGRAD_DTYPE(Short, "int16")
    LIBGRAD_DTYPE(Int, "int32")
    LIBGRAD_DTYPE(Long, "int64")
    LIBGRAD_DTYPE(Half, "float16")
    LIBGRAD_DTYPE(Float, "float32")
    LIBGRAD_DTYPE(Double, "float64")
    LIBGRAD_DTYPE(ComplexHalf, "complex32")
    LIBGRAD_DTYPE(ComplexFloat, "complex64")
    LIBGRAD_DTYPE(ComplexDouble, "complex128")
    LIBGRAD_DTYPE(Bool, "bool")
    LIBGRAD_DTYPE(BFloat16, "bfloat16")
#undef LIBGRAD_DTYPE
    case at::ScalarType::Undefined:
      return "";
    default:
      return c10::toString(dtype);
  }
}

/// The device that all gradients of a graph are on, or else the CPU: pictures
/// name others only.
inline c10::Device usual_device(const Graph& graph) {
  std::optional<c10::Device> usual;
  for (const auto& input : graph.inputs) {
    if (input.dtype == at::ScalarType::Undefined) {
      continue;
    }
    if (usual && *usual != input.device) {
      return c10::Device(c10::kCPU);
    }
    usual = input.device;
  }
  return usual.value_or(c10::Device(c10::kCPU));
}

/// "float32 [2, 3] on cuda:0", as far as it is known, the device where it is
/// not the usual one.
inline std::string tensor_words(
    at::ScalarType dtype,
    std::span<const int64_t> shape,
    c10::Device device,
    bool nested,
    c10::Device usual) {
  if (dtype == at::ScalarType::Undefined) {
    return "(shape unknown)";
  }
  std::string words(dtype_word(dtype));
  words += nested ? " nested" : ' ' + shape_words(shape);
  return device == usual ? words : words + " on " + device.str();
}

/// What gradient `input` of a node is like; "(shape unknown)" when it has none.
inline std::string input_words(
    const Graph& graph,
    const GraphNode& node,
    c10::Device usual,
    Index input = 0) {
  if (input >= node.inputs.count) {
    return "(shape unknown)";
  }
  const auto& meta = graph.inputs_of(node)[input];
  return tensor_words(
      meta.dtype, graph.shape_of(meta), meta.device, meta.nested, usual);
}

/// What a saved tensor is like: "float32 [2, 3]", "nothing", "released".
inline std::string saved_words(
    const Graph& graph, const GraphSaved& saved, c10::Device usual) {
  switch (saved.state) {
    case SavedState::kNone:
      return "nothing";
    case SavedState::kReleased:
      return "released";
    case SavedState::kPacked:
      return "packed by a hook";
    case SavedState::kHeld:
      break;
  }
  return tensor_words(
      saved.dtype, graph.shape_of(saved), saved.device, saved.nested, usual);
}

/// Adds up the bytes of nodes, each storage once.
class ByteCount {
 public:
  explicit ByteCount(const Graph& graph) : graph_(graph) {}

  void add(const GraphNode& node) {
    for (const auto& saved : graph_.saved_of(node)) {
      if (saved.storage != kNothing) {
        storages_.push_back(saved.storage);
      }
    }
  }

  int64_t total() {
    std::ranges::sort(storages_);
    const auto rest = std::ranges::unique(storages_);
    int64_t total = 0;
    for (auto at = storages_.begin(); at != rest.begin(); ++at) {
      total += graph_.storages[*at].nbytes;
    }
    return total;
  }

 private:
  const Graph& graph_;
  std::vector<Index> storages_;
};

/// "self", or "tensors[2]" where the field is a list; with the name that the
/// program gave the tensor, "self (attn_scores)".
inline std::string field_words(const GraphSaved& saved) {
  std::string words(saved.field);
  if (saved.index != kNothing) {
    words += '[' + std::to_string(saved.index) + ']';
  }
  return saved.label.empty() || saved.leaf != kNothing
             ? words
             : words + " (" + std::string(saved.label) + ')';
}

/// How a node is called in reports: "AddmmBackward0 (encoder.0)".
inline std::string title_of(const GraphNode& node) {
  std::string title(node.name);
  const auto which = !node.leaf.empty()    ? node.leaf
                     : !node.label.empty() ? node.label
                                           : node.origin.module;
  return which.empty() ? title : title + " (" + std::string(which) + ')';
}

/// Whether somebody wrote into what was saved: backward will refuse it.
inline bool is_stale(const GraphSaved& saved) {
  return saved.state == SavedState::kHeld && saved.saved_version >= 0 &&
         saved.version >= 0 && saved.saved_version != saved.version;
}

/// "564 nodes, 310 saved tensors, 12 MiB saved, 10 MiB of it only by this
/// graph".
inline std::string total_words(const Graph& graph) {
  size_t saved = 0;
  for (const auto& each : graph.saved) {
    saved += each.state == SavedState::kNone ? 0 : 1;
  }
  std::string words = count_words(graph.nodes.size(), "node") + ", " +
                      count_words(saved, "saved tensor");
  if (saved > 0) {
    words += ", " + bytes_words(graph.nbytes) + " (" +
             bytes_words(graph.exclusive_nbytes) + " exclusive)";
  }
  const auto usual = usual_device(graph);
  return usual.is_cpu() ? words : words + ", on " + usual.str();
}

}  // namespace libgrad::detail
