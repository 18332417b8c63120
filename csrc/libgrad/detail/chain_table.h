/// libgrad/detail/chain_table.h -- the fastest schedule of checkpoints for some
/// memory, by dynamic programming.
///
/// Beaumont, Eyraud-Dubois, Herrmann, Joly and Shilova 2019, Optimal
/// checkpointing for heterogeneous chains; the costs of checkpoints as by Chen
/// et al. 2016.

#pragma once

#include <libgrad/detail/chain_plan.h>

#include <numeric>

namespace libgrad::detail {

/// The least time that each part of a chain takes with each level of memory.
/// Levels are `unit_` apart: the greatest size that divides all that is kept,
/// or, where that makes too many levels, sizes are rounded up. Then there are
/// levels above the budget, too, half a unit for each function: a schedule of
/// theirs may fit, without rounding.
class ChainTable {
 public:
  ChainTable(const ChainNeeds& needs, int64_t bytes)
      : needs_(needs),
        bytes_(bytes),
        levels_(choose_levels()),
        times_(needs.size(), levels_, kNever),
        first_(needs.size(), 1, levels_),
        kept_times_(needs.size()) {
    for (int64_t begin = needs.size() - 1; begin >= 0; --begin) {
      for (int64_t end = begin + 1; end <= needs.size(); ++end) {
        fill(begin, end);
      }
    }
  }

  /// The fastest schedule that fits; nothing where none was found.
  ChainParts best() {
    const auto size = needs_.size();
    for (int64_t level = levels_ - 1; level >= *first_.at(0, size); --level) {
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
  static constexpr int64_t kMostValues = 8'000'000;  // 32 MB

  /// How many; sets what they are, too.
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
      unit_ = bytes_ / (most - 1 - size / 2) + 1;
      levels = most;
    }
    offset_ = bytes_ % unit_;
    return levels;
  }

  int64_t units(int64_t size) const { return (size + unit_ - 1) / unit_; }

  /// The first level that has so many bytes.
  int64_t level_of(int64_t bytes) const {
    return bytes <= offset_ ? 0 : units(bytes - offset_);
  }

  float pass_time(int64_t begin, int64_t cut) const {
    return static_cast<float>(needs_.seconds(begin, cut));
  }

  /// What is left of a part once its first function has run with its graph, or
  /// functions up to `cut` without: from this level on, by so many units less.
  struct Rest {
    int64_t from;
    int64_t less;
  };

  Rest after_keep(int64_t begin, int64_t end) {
    const auto less = units(needs_.kept(begin));
    return {
        std::max(
            level_of(needs_.keep(begin, end)),
            less + *first_.at(begin + 1, end)),
        less};
  }

  Rest after_pass(int64_t begin, int64_t cut, int64_t end, int64_t pass) {
    const auto less = units(needs_.tensor(cut));
    return {
        std::max(
            {level_of(pass + needs_.waiting(end)),
             less + *first_.at(cut, end),
             *first_.at(begin, cut)}),
        less};
  }

  void fill(int64_t begin, int64_t end) {
    float* const times = times_.at(begin, end);
    const auto own = static_cast<float>(needs_.seconds(begin));
    if (end - begin == 1) {
      const auto from = level_of(needs_.keep(begin, end));
      std::fill(times + std::min(from, levels_), times + levels_, own);
      *kept_times_.at(begin, end) = own;
    } else {
      *kept_times_.at(begin, end) = own + *kept_times_.at(begin + 1, end);
      const float* const behind = times_.at(begin + 1, end);
      const auto rest = after_keep(begin, end);
      for (auto level = rest.from; level < levels_; ++level) {
        times[level] = own + behind[level - rest.less];
      }
      fill_cuts(begin, end);
    }
    *first_.at(begin, end) =
        std::find_if(
            times, times + levels_, [](float t) { return t < kNever; }) -
        times;
  }

  void fill_cuts(int64_t begin, int64_t end) {
    float* const times = times_.at(begin, end);
    // From here on nothing runs twice.
    const auto enough =
        std::find(times, times + levels_, *kept_times_.at(begin, end)) - times;
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto rest = after_pass(begin, cut, end, pass);
      const float time = pass_time(begin, cut);
      const float* const behind = times_.at(cut, end) - rest.less;
      const float* const before = times_.at(begin, cut);
      for (auto level = rest.from; level < enough; ++level) {
        const float other = time + behind[level] + before[level];
        times[level] = std::min(times[level], other);
      }
    }
  }

  /// The schedule that takes the time in the table.
  ChainParts parts(int64_t begin, int64_t end, int64_t level) {
    ChainParts parts;
    while (begin < end) {
      const auto [cut, less] = choice(begin, end, level);
      if (cut == begin) {
        parts.push_back({begin, begin + 1});
        ++begin;
      } else {
        parts.push_back({begin, cut, this->parts(begin, cut, level)});
        begin = cut;
      }
      level -= less;
    }
    return parts;
  }

  /// The first cut, `begin` itself where its graph is kept, and the units that
  /// are kept then.
  std::pair<int64_t, int64_t> choice(
      int64_t begin, int64_t end, int64_t level) {
    if (end - begin == 1) {
      return {begin, 0};
    }
    const float time = times_.at(begin, end)[level];
    const auto own = static_cast<float>(needs_.seconds(begin));
    const auto kept = after_keep(begin, end);
    if (level >= kept.from &&
        own + times_.at(begin + 1, end)[level - kept.less] == time) {
      return {begin, kept.less};
    }
    int64_t pass = 0;
    for (int64_t cut = begin + 1; cut < end; ++cut) {
      pass = std::max(pass, needs_.pass(begin, cut - 1));
      const auto rest = after_pass(begin, cut, end, pass);
      if (level >= rest.from &&
          pass_time(begin, cut) + times_.at(cut, end)[level - rest.less] +
                  times_.at(begin, cut)[level] ==
              time) {
        return {cut, rest.less};
      }
    }
    TORCH_INTERNAL_ASSERT(false, "checkpoint_optimal: no schedule in its table");
  }

  const ChainNeeds& needs_;
  const int64_t bytes_;
  int64_t unit_ = 1;
  int64_t offset_ = 0;
  const int64_t levels_;
  ByPart<float> times_;
  ByPart<int64_t> first_;  // of the levels that are enough
  ByPart<float> kept_times_;  // with every graph kept
};

}  // namespace libgrad::detail
