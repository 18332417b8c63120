/// libgrad/draw/layout/layout.h -- a layered layout of boxes and arrows: each
/// box below its predecessors, few crossings, arrows that touch no box.
///
/// The four steps of Sugiyama's method: ranks (rank.h), order (order.h),
/// positions (place.h) and curves (here).

#pragma once

#include <libgrad/draw/layout/order.h>
#include <libgrad/draw/layout/place.h>
#include <libgrad/draw/layout/rank.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <utility>
#include <vector>

namespace libgrad::detail {

struct Point {
  double x = 0;
  double y = 0;
};

/// A rectangle; `x` and `y` are its upper left corner.
struct LayoutBox {
  double width = 0;
  double height = 0;
  double x = 0;
  double y = 0;
};

/// An arrow. `points` are the points of consecutive cubic Bézier curves: the
/// start, then three for each curve.
struct LayoutLink {
  size_t from = 0;
  size_t to = 0;
  std::vector<Point> points = {};
  bool whole = true;  // it reaches its box; false if it joins a link
};

/// The boxes and links to lay out: no cycles, no two links between the same
/// boxes.
struct Layout {
  std::vector<LayoutBox> boxes;
  std::vector<LayoutLink> links;
  double width = 0;
  double height = 0;
};

/// Gives each box of a layout its place, and each link its curves.
class LayoutMaker {
 public:
  explicit LayoutMaker(Layout& layout) : layout_(layout) {}

  void run() {
    rank();
    build();
    order_ranks(ranks_);
    place_ranks(ranks_);
    set_heights();
    for (size_t i = 0; i < layout_.links.size(); ++i) {
      route(layout_.links[i], chains_[i]);
    }
  }

 private:
  void rank() {
    std::vector<double> widths;
    for (const auto& box : layout_.boxes) {
      widths.push_back(box.width);
    }
    std::vector<std::pair<size_t, size_t>> links;
    for (const auto& link : layout_.links) {
      links.emplace_back(link.from, link.to);
    }
    rank_ = RankMaker(std::move(widths), links).make();
  }

  /// Makes the vertices: boxes, and bends where links cross other ranks. Links
  /// to the same box share their bends, so that they join on the way; where
  /// more links leave the same box, these share their bends instead.
  void build() {
    const size_t count = layout_.boxes.size();
    std::vector<size_t> uses(2 * count, 0);  // long links from, then to, a box
    for (size_t i = 0; i < count; ++i) {
      ranks_.add(rank_[i], layout_.boxes[i].width, false);
    }
    for (const auto& link : layout_.links) {
      if (rank_[link.to] - rank_[link.from] > 1) {
        ++uses[link.from];
        ++uses[count + link.to];
      }
    }
    std::map<std::pair<size_t, size_t>, size_t> bends;
    chains_.resize(layout_.links.size());
    for (size_t i = 0; i < layout_.links.size(); ++i) {
      const auto& link = layout_.links[i];
      const bool by_from = uses[link.from] > uses[count + link.to];
      const size_t shared = by_from ? link.from : count + link.to;
      size_t last = link.from;
      for (size_t rank = rank_[link.from] + 1; rank < rank_[link.to]; ++rank) {
        const auto [bend, first] =
            bends.try_emplace({shared, rank}, ranks_.size());
        if (first) {
          ranks_.add(rank, kBendWidth, true);
        }
        ranks_.connect(last, bend->second);
        chains_[i].push_back(bend->second);
        last = bend->second;
      }
      ranks_.connect(last, link.to);
    }
  }

  /// Finds the upper and lower edge of each rank, and the positions of the
  /// boxes.
  void set_heights() {
    const size_t count = ranks_.ranks.size();
    std::vector<double> height(count, 0);
    std::vector<double> gap(count, kRankGap);
    for (size_t i = 0; i < layout_.boxes.size(); ++i) {
      height[rank_[i]] = std::max(height[rank_[i]], layout_.boxes[i].height);
    }
    for (size_t v = 0; v < ranks_.size(); ++v) {
      for (const size_t below : ranks_.vertices[v].below) {
        const double width =
            std::abs(ranks_.vertices[v].x - ranks_.vertices[below].x);
        auto& room = gap[ranks_.vertices[v].rank];
        room = std::max(room, std::min(kRankGap + width / 14, 4 * kRankGap));
      }
    }
    top_.assign(count, 0);
    bottom_.assign(count, 0);
    double y = 0;
    for (size_t rank = 0; rank < count; ++rank) {
      top_[rank] = y;
      bottom_[rank] = y + height[rank];
      y = bottom_[rank] + gap[rank];
    }
    layout_.height = count == 0 ? 0 : bottom_.back();
    for (size_t i = 0; i < layout_.boxes.size(); ++i) {
      auto& box = layout_.boxes[i];
      box.x = ranks_.vertices[i].x - box.width / 2;
      box.y = top_[rank_[i]];
      layout_.width = std::max(layout_.width, box.x + box.width);
    }
  }

  /// The x at which a link leaves or meets a box. The links of a box are spread
  /// around its middle, in the order of their other ends.
  double port(size_t box, size_t vertex, bool below) const {
    const auto& all =
        below ? ranks_.vertices[box].below : ranks_.vertices[box].above;
    const auto x = [&](size_t v) { return ranks_.vertices[v].x; };
    const auto left = std::ranges::count_if(all, [&](size_t other) {
      return std::pair(x(other), other) < std::pair(x(vertex), vertex);
    });
    const auto count = static_cast<double>(all.size());
    const double step =
        std::min(14.0, (layout_.boxes[box].width - 16) / std::max(count, 1.0));
    return x(box) + (static_cast<double>(left) - (count - 1) / 2) * step;
  }

  /// Draws the curves of a link, without the parts that another link has drawn.
  void route(LayoutLink& link, std::vector<size_t> chain) {
    chain.insert(chain.begin(), link.from);
    chain.push_back(link.to);
    size_t first = 0;
    size_t last = chain.size() - 1;
    while (first + 1 < last && drawn(chain[first], chain[first + 1])) {
      ++first;
    }
    while (last > first + 1 && drawn(chain[last - 1], chain[last])) {
      --last;
    }
    link.whole = last + 1 == chain.size();
    auto& points = link.points;
    for (size_t i = first; i <= last; ++i) {
      const size_t at = chain[i];
      const size_t rank = ranks_.vertices[at].rank;
      const bool box = !ranks_.vertices[at].bend;
      if (i > first) {
        drawn_.emplace(chain[i - 1], at);
        const double x =
            box ? port(at, chain[i - 1], false) : ranks_.vertices[at].x;
        curve(points, {x, top_[rank]});
      }
      if (i < last) {
        const double x =
            box ? port(at, chain[i + 1], true) : ranks_.vertices[at].x;
        if (points.empty()) {
          const double start = box ? layout_.boxes[at].height : 0;
          points.push_back({x, top_[rank] + start});
        }
        line(points, {x, bottom_[rank]});
      }
    }
  }

  bool drawn(size_t from, size_t to) const {
    return drawn_.count({from, to}) > 0;
  }

  /// Adds a line straight down, or extends the last one.
  static void line(std::vector<Point>& points, Point to) {
    const Point from = points.back();
    const size_t count = points.size();
    if (count > 3 && points[count - 4].x == to.x && from.x == to.x) {
      points[count - 2] = points[count - 1] = to;
    } else if (to.y - from.y > 0.5) {
      points.insert(points.end(), {from, to, to});
    }
  }

  static void curve(std::vector<Point>& points, Point to) {
    const Point from = points.back();
    if (from.x == to.x) {
      line(points, to);
      return;
    }
    const double middle = (from.y + to.y) / 2;
    points.insert(points.end(), {{from.x, middle}, {to.x, middle}, to});
  }

  static constexpr double kBendWidth = 6;
  static constexpr double kRankGap = 26;

  Layout& layout_;
  Ranks ranks_;
  std::vector<size_t> rank_;
  std::vector<std::vector<size_t>> chains_;  // the bends of each link
  std::set<std::pair<size_t, size_t>> drawn_;
  std::vector<double> top_;
  std::vector<double> bottom_;
};

/// Gives each box of `layout` its place, and each link its curves.
inline void lay_out(Layout& layout) {
  LayoutMaker(layout).run();
}

}  // namespace libgrad::detail
