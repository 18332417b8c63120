/// libgrad/chain/table.h -- the fastest schedule of checkpoints within a budget
/// of memory, by dynamic programming.
///
/// Beaumont, Eyraud-Dubois, Herrmann, Joly and Shilova 2019, Optimal
/// checkpointing for heterogeneous chains; the costs of checkpoints as by Chen
/// et al. 2016.

#pragma once

#include <libgrad/chain/plan.h>

#include <numeric>

namespace libgrad::detail {

/// The least time that each part of a chain takes, for each level of memory.
///
/// Levels are `unit_` bytes apart: the greatest common divisor of all sizes
/// that are kept. Where that makes too many levels, the unit is larger and
/// sizes are rounded up. There are levels above the budget then, one for each
/// function, since a schedule found there may fit without the rounding.
class ChainTable {
 public:
  ChainTable(const ChainNeeds& needs, int64_t bytes)
      : needs_(needs),
        bytes_(bytes),
        levels_(choose_levels()),
        held_(needs.size(), levels_),
        open_(needs.size(), levels_),
        kept_times_(needs.size(), 1, 0) {
    for (int64_t begin = needs.size() - 1; begin >= 0; --begin) {
      for (int64_t end = begin + 1; end <= needs.size(); ++end) {
        fill_keep(held_, begin, end, true);
        fill_cuts(begin, end);
        held_.find_first(begin, end);
        if (!needs.saves_input(begin)) {
          fill_keep(open_, begin, end, false);
        }
        fill_open(begin, end);
        open_.find_first(begin, end);
      }
    }
  }

  /// The fastest schedule that fits; empty if none was found.
  ChainParts best() {
    const auto size = needs_.size();
    for (auto level = levels_ - 1; level >= held_.first(0, size); --level) {
      auto parts = this->parts(0, size, level);
      if (peak_of(parts, size, needs_) <= bytes_) {
        return parts;
      }
    }
    return {};
  }

 private:
  static constexpr float kNever = std::numeric_limits<float>::infinity();
  static constexpr int64_t kMostLevels = 1000;
  static constexpr int64_t kMostValues = 10'000'000;  // of two tables: 80 MB

  /// The times of each part by level, and the first level that is enough.
  class Times {
   public:
    Times(int64_t size, int64_t levels)
        : levels_(levels),
          times_(size, levels, kNever),
          first_(size, 1, levels) {}

    float* at(int64_t begin, int64_t end) { return times_.at(begin, end); }
    int64_t first(int64_t begin, int64_t end) { return *first_.at(begin, end); }

    void find_first(int64_t begin, int64_t end) {
      const float* const times = at(begin, end);
      int64_t level = 0;
      while (level < levels_ && times[level] == kNever) {
        ++level;
      }
      *first_.at(begin, end) = level;
    }

   private:
    int64_t levels_;
    ByPart<float> times_;
    ByPart<int64_t> first_;
  };

  /// The number of levels; sets `unit_` and `offset_`.
  int64_t choose_levels() {
    const auto size = needs_.size();
    int64_t divisor = 0;
    for (int64_t i = 0; i < size; ++i) {
      divisor = std::gcd(divisor, needs_.kept(i));
      divisor = std::gcd(divisor, i > 0 ? needs_.tensor(i) : 0);
    }
    const auto most =
        std::min(kMostLevels, kMostValues / (size * (size + 1) / 2));
    unit_ = std::max<int64_t>(divisor, 1);
    int64_t levels = bytes_ / unit_ + 1;
    if (levels > most) {
      unit_ = bytes_ / (most - 1 - size) + 1;
      levels = most;
    }
    offset_ = bytes_ % unit_;
    return levels;
  }

  int64_t units(int64_t size) const { return (size + unit_ - 1) / unit_; }

  /// The first level of at least `bytes` bytes.
  int64_t level_of(int64_t bytes) const {
    return bytes <= offset_ ? 0 : units(bytes - offset_);
  }

  float seconds(int64_t begin, int64_t end) const {
    return static_cast<float>(needs_.seconds(begin, end));
  }

  /// The part that is left after a first decision: its times, the first level
  /// at which both fit, and by how many units its own level is lower.
  struct Rest {
    const float* times;  // null where nothing follows
    int64_t from;
    int64_t less;
    float at(int64_t level) const { return times ? times[level - less] : 0; }
  };

  /// The rest once the first function has run with its graph.
  Rest after_keep(int64_t begin, int64_t end, bool held) {
    const auto enough = level_of(needs_.keep(begin, end, held));
    if (end - begin == 1) {
      return {nullptr, enough, 0};
    }
    auto& rest = needs_.holds_output(begin) ? held_ : open_;
    const auto less = units(needs_.kept(begin));
    return {
        rest.at(begin + 1, end),
        std::max(enough, less + rest.first(begin + 1, end)),
        less};
  }

  /// The rest once the functions in front of `cut` have run without their
  /// graph, with a peak of `pass` bytes.
  Rest after_pass(int64_t begin, int64_t cut, int64_t end, int64_t pass) {
    return {
        open_.at(cut, end),
        std::max(
            {level_of(pass + needs_.waiting(end)),
             open_.first(cut, end),
             held_.first(begin, cut)}),
        0};
  }

  /// The same part once its open input is held.
  Rest after_hold(int64_t begin, int64_t end) {
    const auto less = units(needs_.tensor(begin));
    return {held_.at(begin, end), less + held_.first(begin, end), less};
  }

  void fill_keep(Times& all, int64_t begin, int64_t end, bool held) {
    float* const times = all.at(begin, end);
    const auto rest = after_keep(begin, end, held);
    const float own = seconds(begin, begin + 1);
    for (auto level = rest.from; level < levels_; ++level) {
      times[level] = own + rest.at(level);
    }
    float* const kept = kept_times_.at(begin, end);
    *kept = own + (rest.times ? *kept_times_.at(begin + 1, end) : 0);
  }

  void fill_cuts(int64_t begin, int64_t end) {
    float* const times = held_.at(begin, end);
    // From here on nothing runs twice.
    const auto enough =
        std::find(times, times + levels_, *kept_times_.at(begin, end)) - times;
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto rest = after_pass(begin, cut, end, pass);
      const float once = seconds(begin, cut);
      const float* const again = held_.at(begin, cut);
      for (auto level = rest.from; level < enough; ++level) {
        const float other = once + rest.times[level] + again[level];
        times[level] = std::min(times[level], other);
      }
    }
  }

  void fill_open(int64_t begin, int64_t end) {
    float* const times = open_.at(begin, end);
    const auto rest = after_hold(begin, end);
    for (auto level = rest.from; level < levels_; ++level) {
      times[level] = std::min(times[level], rest.at(level));
    }
  }

  /// The schedule whose time is in the table.
  ChainParts parts(int64_t begin, int64_t end, int64_t level) {
    ChainParts parts;
    bool held = true;
    while (begin < end) {
      auto& times = held ? held_ : open_;
      const float time = times.at(begin, end)[level];
      const auto kept = after_keep(begin, end, held);
      if ((held || !needs_.saves_input(begin)) && level >= kept.from &&
          seconds(begin, begin + 1) + kept.at(level) == time) {
        parts.push_back({begin, begin + 1});
        level -= kept.less;
        held = needs_.holds_output(begin);
        ++begin;
      } else if (held) {
        const auto cut = cut_of(begin, end, level);
        parts.push_back({begin, cut, this->parts(begin, cut, level)});
        held = false;
        begin = cut;
      } else {
        level -= after_hold(begin, end).less;
        held = true;
      }
    }
    return parts;
  }

  int64_t cut_of(int64_t begin, int64_t end, int64_t level) {
    const float time = held_.at(begin, end)[level];
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto rest = after_pass(begin, cut, end, pass);
      if (level >= rest.from && seconds(begin, cut) + rest.times[level] +
                                        held_.at(begin, cut)[level] ==
                                    time) {
        return cut;
      }
    }
    TORCH_INTERNAL_ASSERT(
        false, "checkpoint_optimal: no schedule takes the time in its table");
  }

  const ChainNeeds& needs_;
  const int64_t bytes_;
  int64_t unit_ = 1;
  int64_t offset_ = 0;
  const int64_t levels_;
  Times held_;
  Times open_;
  ByPart<float> kept_times_;  // with every graph kept
};

}  // namespace libgrad::detail
