/// The docstrings of the methods that draw a Graph.

#pragma once

namespace docs {

inline constexpr const char* kText =
    R"(text(self, *, fold=True, max_lines=1000)
--

Return the graph as a tree: roots on top, the bytes that nodes saved at the right, totals below.

A node that is reached twice is drawn once. A long way down is drawn without steps to the right,
and what is alike and follows each other is drawn once, with "×12".

>>> x = torch.tensor([1.0, 2.0], requires_grad=True)
>>> print(libgrad.graph((x * x.exp()).sum(), params={"x": x}).text())
SumBackward0  float32 []
└── MulBackward0  float32 [2]               16 B
    ├── AccumulateGrad  x: float32 [2]
    └── ExpBackward0  float32 [2]            8 B
        └── AccumulateGrad  x: float32 [2]
<BLANKLINE>
4 nodes, 3 saved tensors, 16 B (8 B exclusive)

Args:
    fold: Draw what is alike once.
    max_lines: How many lines are drawn at most; what is left out is counted. None for all.

Raises:
    TypeError: An option of another type.
    ValueError: `max_lines` is negative.
)";

inline constexpr const char* kToDot =
    R"(to_dot(self, *, fold="auto", max_nodes=2000, saved="marks", title=None)
--

Return the graph in the language of Graphviz, whatever the names of its nodes and leaves.

>>> x = torch.tensor(1.0, requires_grad=True)
>>> print(libgrad.graph(x.exp(), params={"x": x}).to_dot().splitlines()[6])
  n0 -> n1

Args:
    fold: See `to_svg`.
    max_nodes: See `to_svg`.
    saved: See `to_svg`.
    title: What stands above the picture.

Raises:
    TypeError: An option of another type.
    ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
)";

inline constexpr const char* kToSvg =
    R"(to_svg(self, *, fold="auto", max_nodes=2000, saved="marks", title=None)
--

Return the graph as an SVG picture, laid out by libgrad: no other program is needed.

Boxes have a node's name (a leaf's own), shape, dtype and the bytes it saved; a mark for each saved
tensor is red when somebody wrote into that tensor since. A notebook shows this picture.

>>> x = torch.tensor(1.0, requires_grad=True)
>>> libgrad.graph(x.exp(), params={"x": x}).to_svg()[:5]
'<svg '

Args:
    fold: What is drawn as one box: "none"; "repeats", parts of the graph that are alike and
        follow each other; "modules", the nodes of a module where modules were recorded, and
        modules that are alike. "auto" folds what has more than `max_nodes` nodes, by modules
        where they are known. The picture says what was folded.
    max_nodes: How many nodes "auto" draws without folding.
    saved: "marks" for a small square, "rows" for a line for each saved tensor, or "none".
    title: What stands above the picture.

Raises:
    TypeError: An option of another type.
    ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
)";

inline constexpr const char* kToHtml =
    R"(to_html(self, *, fold="auto", max_nodes=2000, saved="marks", title=None)
--

Return the graph as a page of HTML, all in one file, that asks no network for anything.

It moves, zooms and searches, with the keyboard too; a click on a node shows its saved tensors, its
neighbours, and the source line and module where these were recorded. A graph of up to `max_nodes`
nodes is there as a whole and folded, a larger one folded; boxes that stand for many open.

>>> x = torch.tensor(1.0, requires_grad=True)
>>> libgrad.graph(x.exp(), params={"x": x}).to_html()[:15]
'<!DOCTYPE html>'

Args:
    fold: See `to_svg`; "auto" folds by modules where they are known.
    max_nodes: How many nodes are drawn as a whole.
    saved: See `to_svg`.
    title: What stands above the picture.

Raises:
    TypeError: An option of another type.
    ValueError: `fold` or `saved` is none of these words; `max_nodes` is negative.
)";

inline constexpr const char* kToJson =
    R"(to_json(self)
--

Return all that the snapshot holds as JSON, its keys always in the same order.

The keys are the properties of the snapshot and its parts; edges stand at the node they leave. What
is not known, and the ``sequence_nr`` of leaves, is null; an integer above 2^53 is a string, since
many readers would round it.

>>> import json
>>> x = torch.tensor(1.0, requires_grad=True)
>>> data = json.loads(libgrad.graph(x.exp(), params={"x": x}).to_json())
>>> [node["name"] for node in data["nodes"]]
['ExpBackward0', 'AccumulateGrad']
>>> data["nodes"][0]["edges"]
[{'output': 0, 'to': 1, 'input': 0}]
)";

}  // namespace docs
