/// libgrad/draw.h -- the graph, drawn: as text, DOT, SVG, HTML and JSON.

#pragma once

#include <libgrad/draw/json.h>
#include <libgrad/draw/page/html.h>
#include <libgrad/draw/picture/dot.h>
#include <libgrad/draw/picture/picture.h>
#include <libgrad/draw/tree/tensor_text.h>
#include <libgrad/draw/tree/text.h>
#include <libgrad/graph.h>

#include <string>

namespace libgrad {

/// The graph behind `tensor` as a tree: the node that made it on top, below
/// each node the nodes that its gradients go to, leaves at the ends.
///
///     libgrad::to_text((x + y) * (y + 1), {.params = {{"x", x}, {"y", y}}});
///     // MulBackward0  float32 []
///     // ├── AddBackward0  float32 []
///     // │   ├── AccumulateGrad  x: float32 []
///     // │   └── AccumulateGrad  y: float32 []
///     // └── AddBackward1  float32 []
///     //     └── AccumulateGrad  y: float32 []
///
/// Throws c10::Error when `tensor` does not require grad.
inline std::string to_text(
    const at::Tensor& tensor, const TextOptions& options = {}) {
  return detail::TextWriter(options).draw(
      node(tensor), static_cast<uint32_t>(tensor.output_nr()));
}

/// A snapshot of a graph as a tree: the roots on top, the bytes that nodes
/// saved at the right, totals below. A long chain of nodes is not indented;
/// equal consecutive parts are drawn once, with "×12".
///
///     libgrad::to_text(libgrad::graph({loss}, {.params = names}));
///
/// Works for any number of nodes and any depth: nothing here recurses.
inline std::string to_text(
    const Graph& graph, const TreeOptions& options = {}) {
  return detail::TreeWriter(graph, options).write();
}

/// A snapshot of a graph in the language of Graphviz: one box for each node, or
/// for each group of nodes that `DrawOptions::fold` makes.
inline std::string to_dot(const Graph& graph, const DrawOptions& options = {}) {
  return detail::DotWriter(graph, options).write();
}

/// A snapshot of a graph as an SVG picture, laid out here: no other program is
/// needed. A box has the node's name, shape, dtype and bytes, and a mark for
/// each saved tensor; the mark of a tensor that was written to since is red.
/// Graphs of more than `DrawOptions::max_nodes` nodes are folded; the picture
/// says so.
inline std::string to_svg(const Graph& graph, const DrawOptions& options = {}) {
  return detail::Picture(graph, options).svg();
}

/// A snapshot of a graph as an HTML page in one file. The page moves, zooms and
/// searches, and shows for each node what it saved and where it came from.
inline std::string to_html(
    const Graph& graph, const DrawOptions& options = {}) {
  return detail::HtmlWriter(graph, options).write();
}

/// Everything in a snapshot of a graph, as JSON. Keys always come in the same
/// order; an integer that a double cannot hold is a string; an unknown value is
/// null.
inline std::string to_json(const Graph& graph) {
  return detail::JsonWriter(graph).write();
}

}  // namespace libgrad
