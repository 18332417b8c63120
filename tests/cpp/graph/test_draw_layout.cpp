/// libgrad/draw.h: boxes and arrows do not get into each other's way.

#include "graph/hand_made_models.h"
#include "support/check.h"

#include <libgrad/draw/picture/picture.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

using hand_made::Graph;
using hand_made::graph;
using hand_made::leaf;
using libgrad::DrawOptions;
using libgrad::Fold;
using libgrad::detail::Layout;
using libgrad::detail::LayoutBox;
using libgrad::detail::Picture;
using libgrad::detail::Point;
using libgrad::detail::RankOrder;
using libgrad::detail::Ranks;

namespace {

constexpr double kSlack = 0.01;

bool overlap(const LayoutBox& a, const LayoutBox& b) {
  return a.x + kSlack < b.x + b.width && b.x + kSlack < a.x + a.width &&
         a.y + kSlack < b.y + b.height && b.y + kSlack < a.y + a.height;
}

/// Points on the curves of a link.
std::vector<Point> points_on(const std::vector<Point>& curves) {
  std::vector<Point> points;
  for (size_t i = 0; i + 3 < curves.size(); i += 3) {
    for (int step = 0; step <= 16; ++step) {
      const double t = step / 16.0;
      const double s = 1 - t;
      const std::array weights{
          s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t};
      Point point;
      for (size_t j = 0; j < 4; ++j) {
        point.x += weights[j] * curves[i + j].x;
        point.y += weights[j] * curves[i + j].y;
      }
      points.push_back(point);
    }
  }
  return points;
}

bool inside(const Point& point, const LayoutBox& box) {
  return point.x > box.x + kSlack && point.x < box.x + box.width - kSlack &&
         point.y > box.y + kSlack && point.y < box.y + box.height - kSlack;
}

/// Nothing lies on something else, and arrows lead down.
void check_layout(const Layout& layout) {
  const auto& boxes = layout.boxes;
  for (size_t i = 0; i < boxes.size(); ++i) {
    EXPECT(boxes[i].x >= -kSlack);
    EXPECT(boxes[i].x + boxes[i].width <= layout.width + kSlack);
    EXPECT(boxes[i].y + boxes[i].height <= layout.height + kSlack);
    for (size_t j = 0; j < i; ++j) {
      EXPECT(!overlap(boxes[i], boxes[j]));
    }
  }
  for (const auto& link : layout.links) {
    EXPECT(boxes[link.from].y + boxes[link.from].height <= boxes[link.to].y);
    for (const auto& point : points_on(link.points)) {
      EXPECT(std::isfinite(point.x) && std::isfinite(point.y));
      for (const auto& box : boxes) {
        EXPECT(!inside(point, box));
      }
    }
    if (link.whole) {
      const auto end = link.points.back();
      const auto& box = boxes[link.to];
      EXPECT(std::abs(end.y - box.y) < kSlack);
      EXPECT(end.x > box.x && end.x < box.x + box.width);
    }
  }
}

Layout drawn(const Graph& graph, Fold fold = Fold::kNone) {
  const DrawOptions options{.fold = fold};
  return Picture(graph, options).make(0).layout;
}

/// Rows of vertices, and edges from (row, place) to a place in the next row.
size_t crossings(
    const std::vector<size_t>& rows,
    const std::vector<std::array<size_t, 3>>& edges) {
  Ranks ranks;
  std::vector<size_t> first;
  for (size_t row = 0; row < rows.size(); ++row) {
    first.push_back(ranks.size());
    for (size_t i = 0; i < rows[row]; ++i) {
      ranks.add(row, 10, false);
    }
  }
  for (const auto& [row, from, to] : edges) {
    ranks.connect(first[row] + from, first[row + 1] + to);
  }
  RankOrder order(ranks);
  order.run();
  return order.crossings();
}

}  // namespace

TEST(no_box_lies_on_another_and_no_arrow_crosses_one) {
  check_layout(drawn(hand_made::transformer(3)));
  check_layout(drawn(hand_made::recurrent(12)));
  check_layout(drawn(hand_made::irregular(120, 4)));
  check_layout(drawn(hand_made::irregular(60, 30)));
  check_layout(drawn(hand_made::chain(30)));
  check_layout(drawn(hand_made::wide(5)));
}

TEST(folded_pictures_are_laid_out_as_well) {
  for (const bool modules : {false, true}) {
    const auto graph = hand_made::transformer(12, modules);
    for (const auto fold : {Fold::kRepeats, Fold::kModules}) {
      const DrawOptions options{.fold = fold};
      Picture picture(graph, options);
      picture.choose();
      check_layout(picture.make(0).layout);
      for (const auto& [group, letter] : picture.shown()) {
        check_layout(picture.make(group).layout);
      }
    }
  }
}

TEST(some_roots_and_parts_that_are_not_connected) {
  check_layout(drawn(graph(
      {{"SinBackward0", {{2, 0}}},
       {"CosBackward0", {{3, 0}}},
       leaf("x"),
       leaf("y")},
      2)));
  check_layout(drawn(graph({leaf("x")})));
  const auto nothing = drawn(Graph());
  EXPECT(nothing.boxes.empty() && nothing.links.empty());
}

TEST(leaf_of_many_links_is_reached_by_one_line) {
  const auto layout = drawn(hand_made::recurrent(30));
  size_t points = 0;
  for (const auto& link : layout.links) {
    points += link.points.size();
  }
  EXPECT(points / layout.links.size() < 20);  // and not by thirty long ones
}

TEST(wide_graph_is_not_a_single_row) {
  std::vector<hand_made::Maker> makers{{.name = "StackBackward0"}};
  for (hand_made::Index i = 0; i < 300; ++i) {
    makers[0].next.emplace_back(2 * i + 1, 0);
    makers.push_back({"ExpBackward0", {{2 * i + 2, 0}}, {i}});
    makers.push_back(leaf("p" + std::to_string(i), {i}));
  }
  const auto layout = drawn(graph(makers));
  check_layout(layout);
  EXPECT(layout.width < 12'000);
  const auto leaves = drawn(hand_made::wide(1500));
  EXPECT(leaves.boxes.size() == 2);
  EXPECT(leaves.width < 2 * leaves.height && leaves.height < leaves.width);
}

TEST(drawings_that_need_no_crossing_have_none) {
  std::vector<std::array<size_t, 3>> tree;  // with its children in disorder
  for (size_t i = 0; i < 16; ++i) {
    tree.push_back({0, 0, i});
    tree.push_back({1, i, i * 7 % 16});
    tree.push_back({1, i, 16 + i * 3 % 16});
  }
  EXPECT(crossings({1, 16, 32}, tree) == 0);
  std::vector<std::array<size_t, 3>> ladder;
  for (size_t row = 0; row < 20; ++row) {
    for (size_t i = 0; i < 2; ++i) {
      ladder.push_back({row, i, (i + row) % 2});
    }
  }
  EXPECT(crossings(std::vector<size_t>(21, 2), ladder) == 0);
}

TEST(crossings_are_counted_and_as_few_as_can_be) {
  std::vector<std::array<size_t, 3>> all;  // each with each: 9 of 3 and 3
  for (size_t i = 0; i < 9; ++i) {
    all.push_back({0, i / 3, i % 3});
  }
  EXPECT(crossings({3, 3}, all) == 9);
  std::vector<std::array<size_t, 3>> circle;  // a circle of 8: one
  for (size_t i = 0; i < 4; ++i) {
    circle.push_back({0, i, i});
    circle.push_back({0, i, (i + 1) % 4});
  }
  EXPECT(crossings({4, 4}, circle) == 3);
}

TEST(trunk_of_a_network_is_straight) {
  const auto graph = hand_made::transformer(8);
  const auto layout = drawn(graph);
  double left = 1e9;
  double right = 0;
  for (size_t i = 0; i < layout.boxes.size(); ++i) {
    const auto& box = layout.boxes[i];
    left = std::min(left, box.x);
    right = std::max(right, box.x + box.width);
  }
  EXPECT(right - left < 1000);  // it does not drift to one side
}
