/// libgrad/draw.h: graphs as trees of lines, and what is alike in them.

#include "graph/hand_made_models.h"
#include "support/check.h"

#include <libgrad/draw/fold/groups.h>
#include <libgrad/draw/tree/text.h>

#include <algorithm>
#include <numeric>

using hand_made::Graph;
using hand_made::graph;
using hand_made::leaf;
using libgrad::Fold;
using libgrad::TreeOptions;
using libgrad::detail::Groups;
using libgrad::detail::Repeat;
using libgrad::detail::repeats;

namespace {

std::string text(const Graph& graph, const TreeOptions& options = {}) {
  return libgrad::detail::TreeWriter(graph, options).write();
}

bool has(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

size_t lines(const std::string& text) {
  return static_cast<size_t>(std::ranges::count(text, '\n'));
}

/// The groups of a graph that stand for several copies.
std::vector<libgrad::detail::Group> repeated(const Groups& groups) {
  std::vector<libgrad::detail::Group> found;
  for (const auto& each : groups.all) {
    if (each.count > 1) {
      found.push_back(each);
    }
  }
  return found;
}

std::vector<uint64_t> labels(std::string_view letters) {
  return {letters.begin(), letters.end()};
}

bool same(const std::vector<Repeat>& found, const std::vector<Repeat>& wanted) {
  return std::ranges::equal(
      found, wanted, [](const Repeat& a, const Repeat& b) {
        return a.first == b.first && a.length == b.length && a.count == b.count;
      });
}

}  // namespace

TEST(small_graph_is_an_ordinary_tree) {
  const auto drawn = text(graph(
      {{"MulBackward0", {{1, 0}, {2, 0}}, {}, {{"self", {}}, {"other", {}}}},
       {"AddBackward0", {{3, 0}, {4, 0}}, {}},
       {"AddBackward0", {{4, 0}}, {}},
       leaf("x", {}),
       leaf("y", {})}));
  EXPECT(
      drawn ==
      "MulBackward0  float32 []               8 B\n"
      "├── AddBackward0  float32 []\n"
      "│   ├── AccumulateGrad  x: float32 []\n"
      "│   └── AccumulateGrad  y: float32 []\n"
      "└── AddBackward0  float32 []\n"
      "    └── AccumulateGrad  y: float32 []\n"
      "\n"
      "5 nodes, 2 saved tensors, 8 B (8 B exclusive)\n");
}

TEST(node_that_is_reached_twice_is_drawn_once) {
  const auto drawn = text(graph(
      {{"AddBackward0", {{1, 0}, {2, 0}}},
       {"SinBackward0", {{3, 0}}},
       {"CosBackward0", {{3, 0}}},
       {"MulBackward0", {{4, 0}, {5, 0}}},
       leaf("x"),
       leaf("y")}));
  EXPECT(has(drawn, "    └── MulBackward0  float32 [2, 3]  (drawn above)\n"));
  EXPECT(lines(drawn) == 9);
}

TEST(skip_connection_of_a_long_way_is_one_line) {
  const auto drawn = text(hand_made::transformer(1));
  EXPECT(has(drawn, "\n├── AddBackward0  float32 [2, 8, 64]  (drawn below)\n"));
  EXPECT(!has(drawn, "│   │"));  // no more than one step to the right
}

TEST(equal_layers_are_drawn_once) {
  const auto drawn = text(hand_made::transformer(12));
  EXPECT(has(drawn, "╭─ ×12  h.0 … h.11 "));
  EXPECT(has(drawn, "│ ├── AccumulateGrad  h.11.mlp.out.bias: float32 [64]\n"));
  EXPECT(!has(drawn, "h.10"));
  EXPECT(lines(drawn) < 40);
  const auto whole = text(hand_made::transformer(12), {.fold = false});
  EXPECT(has(whole, "h.3.norm2.weight") && !has(whole, "×"));
  EXPECT(lines(whole) > 220);
}

TEST(long_chain_is_a_few_lines) {
  const auto drawn = text(hand_made::chain(100'000));
  EXPECT(
      drawn ==
      "SinBackward0 ×99,999  float32 [3]   1.1 MiB\n"
      "SinBackward0  float32 [3]              12 B\n"
      "└── AccumulateGrad  x: float32 [3]\n"
      "\n"
      "100,001 nodes, 100,000 saved tensors, 1.1 MiB (1.1 MiB exclusive)\n");
}

TEST(leaves_that_are_alike_are_one_line_with_the_first_and_last_name) {
  EXPECT(
      text(hand_made::wide(1500)) ==
      "StackBackward0  float32 [2, 3]\n"
      "└── AccumulateGrad ×1,500  p0 … p1499: float32 [3]\n"
      "\n"
      "1,501 nodes, 0 saved tensors\n");
}

TEST(steps_of_a_recurrent_network_are_alike) {
  const auto drawn = text(hand_made::recurrent(50));
  EXPECT(has(drawn, "╭─ ×"));
  EXPECT(lines(drawn) < 45);
}

TEST(lines_may_be_limited_and_the_rest_is_counted) {
  const auto all = hand_made::irregular(200, 5);
  const auto drawn = text(all, {.max_lines = 10});
  EXPECT(lines(drawn) == 13);
  EXPECT(has(drawn, "\n... (195 more nodes)\n\n200 nodes"));
  EXPECT(!has(text(all, {.max_lines = 1000}), "more node"));
}

TEST(every_node_is_in_the_tree_once) {
  const auto all = hand_made::irregular(500, 40);
  const auto drawn = text(all, {.fold = false, .max_lines = 100'000});
  size_t references = 0;
  for (const char* word : {"(drawn above)", "(drawn below)"}) {
    for (size_t at = 0; (at = drawn.find(word, at)) != drawn.npos; ++at) {
      ++references;
    }
  }
  EXPECT(lines(drawn) - 2 - references >= 500);
  EXPECT(!has(drawn, "more node"));
}

TEST(only_a_leaf_is_a_graph_too) {
  EXPECT(
      text(graph({leaf("x", {3})})) ==
      "AccumulateGrad  x: float32 [3]\n\n1 node, 0 saved tensors\n");
  EXPECT(text(Graph()) == "\n0 nodes, 0 saved tensors\n");
}

TEST(each_root_has_a_tree) {
  const auto drawn = text(graph(
      {{"SinBackward0", {{2, 0}}}, {"CosBackward0", {{2, 0}}}, leaf("x")}, 2));
  EXPECT(
      drawn ==
      "SinBackward0  float32 [2, 3]\n"
      "└── AccumulateGrad  x: float32 [2, 3]\n"
      "CosBackward0  float32 [2, 3]\n"
      "└── AccumulateGrad  x: float32 [2, 3]\n"
      "\n3 nodes, 0 saved tensors\n");
}

TEST(name_with_controls_stays_in_its_line) {
  const auto drawn = text(graph({leaf(std::string("a\nb\0c\x1b[31m", 10))}));
  EXPECT(drawn.starts_with("AccumulateGrad  a␊b␀c␛[31m: float32 [2, 3]\n"));
}

TEST(repeats_are_found_whatever_stands_around) {
  EXPECT(same(repeats(labels("xabcabcabcy"), 1), {{1, 3, 3}}));
  EXPECT(same(repeats(labels("aaaaaaaa"), 1), {{0, 1, 8}}));
  EXPECT(same(repeats(labels("aabbaabbaabb"), 1), {{0, 4, 3}}));
  EXPECT(same(repeats(labels("xababyaaaa"), 2), {{1, 2, 2}, {6, 1, 4}}));
  EXPECT(repeats(labels("abcdefg"), 1).empty());
  EXPECT(repeats(labels(""), 1).empty());
}

TEST(layers_are_found_from_one_end_to_the_other) {
  const Graph graph = hand_made::transformer(12);
  const Groups groups(graph, Fold::kRepeats, 2000);
  const auto found = repeated(groups);
  EXPECT(found.size() == 1);
  EXPECT(found[0].count == 12 && found[0].length == 18);
  EXPECT(groups.names(found[0]) == "h.0 … h.11");
  EXPECT(groups.name(found[0], 3) == "h.8");
}

TEST(layers_that_are_wired_otherwise_are_not_equal) {
  auto graph = hand_made::transformer(6);
  const Groups before(graph, Fold::kRepeats, 2000);
  EXPECT(repeated(before)[0].count == 6);
  for (auto& edge : graph.edges) {  // in "h.2": Gelu to another node
    if (edge.from == 3 + 3 * 18 + 4) {
      edge.to += 2;
    }
  }
  const Groups after(graph, Fold::kRepeats, 2000);
  EXPECT(repeated(after)[0].count == 3);
}

TEST(modules_are_groups_and_equal_ones_are_one) {
  const Graph graph = hand_made::transformer(12, true);
  const Groups groups(graph, Fold::kModules, 2000);
  const auto found = repeated(groups);
  EXPECT(!found.empty() && found[0].count == 12 && found[0].length == 18);
  EXPECT(groups.names(found[0]) == "h.0 … h.11");
  const auto part = [&](const char* name) {
    return std::ranges::any_of(groups.all, [&](const auto& each) {
      return !each.node && groups.name(each, 0) == name;
    });
  };
  EXPECT(part("h.11.attention") && part("h.11.mlp"));
}

TEST(graph_is_folded_above_the_limit_only) {
  const Graph graph = hand_made::transformer(12);
  EXPECT(repeated(Groups(graph, Fold::kAuto, 221)).empty());
  EXPECT(repeated(Groups(graph, Fold::kAuto, 220)).size() == 1);
  EXPECT(repeated(Groups(graph, Fold::kNone, 10)).empty());
}

TEST(every_node_is_in_one_place_of_the_groups) {
  for (const auto& graph :
       {hand_made::irregular(5000, 50),
        hand_made::transformer(50),
        hand_made::recurrent(400),
        hand_made::transformer(40, true)}) {
    for (const auto fold : {Fold::kModules, Fold::kRepeats, Fold::kNone}) {
      const Groups groups(graph, fold, 300);
      for (const auto& group : groups.all) {
        size_t next = group.first;
        for (const size_t part : group.parts) {
          EXPECT(groups.all[part].first == next);
          next = groups.all[part].end();
        }
        EXPECT(group.node || next == group.first + group.length);
        EXPECT(fold == Fold::kNone || group.parts.size() <= 300);
      }
    }
  }
}
