/// libgrad/detail/revolve.h -- where a chain is cut so that running it backward
/// with little memory takes the fewest steps forward.
///
/// Griewank and Walther 2000, Algorithm 799: Revolve.

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

namespace libgrad::detail {

/// How many steps forward it takes, besides one for each step that goes
/// backward, to go through `steps` backward with `states` kept at a time, the
/// first one among them: r n - b(s + 1, r - 1), where b(s, r) is (s + r) over
/// s, and r the smallest with b(s, r) >= n.
inline int64_t revolve_steps(int64_t steps, int64_t states) {
  if (steps <= 1) {
    return 0;
  }
  int64_t r = 0;
  int64_t reach = 1;   // b(states, r)
  int64_t before = 0;  // b(states + 1, r - 1), the sum of those for less than r
  while (reach < steps) {
    before += reach;
    ++r;
    reach = reach * (states + r) / r;
  }
  return r * steps - before;
}

/// Remembers cuts.
class RevolveCuts {
 public:
  /// How many of `steps`, at least two, come in front of the state that is
  /// kept next, with `slots` states besides the first; they run twice.
  int64_t find(int64_t steps, int64_t slots) {
    if (slots == 0) {
      return steps - 1;
    }
    const auto [place, is_new] = cuts_.try_emplace({steps, slots}, 1);
    if (is_new) {
      const auto cost = [&](int64_t cut) {
        return cut + revolve_steps(cut, slots + 1) +
               revolve_steps(steps - cut, slots);
      };
      auto& best = place->second;
      for (int64_t cut = 2; cut < steps; ++cut) {
        best = cost(cut) < cost(best) ? cut : best;
      }
    }
    return place->second;
  }

 private:
  std::map<std::pair<int64_t, int64_t>, int64_t> cuts_;
};

}  // namespace libgrad::detail
