/// libgrad/checkpoint/revolve.h -- where to cut a chain so that running it
/// backward with little memory takes the fewest steps forward.
///
/// Griewank and Walther 2000, Algorithm 799: Revolve. There b(s, r) =
/// C(s + r, s) is the length of the longest chain for which s states are enough
/// when no step runs forward more than r times.

#pragma once

#include <algorithm>
#include <cstdint>

namespace libgrad::detail {

/// The smallest r with b(states, r) >= steps, and values that its search
/// computes.
struct Revolve {
  Revolve(int64_t steps, int64_t states) {
    while (reach < steps) {
      before += reach;
      less = reach;
      ++repeats;
      reach = reach * (states + repeats) / repeats;
    }
  }

  int64_t repeats = 0;  // r
  int64_t reach = 1;    // b(states, r)
  int64_t less = 0;     // b(states, r - 1)
  int64_t before = 0;   // b(states + 1, r - 1): the sum of b(states, i), i < r
};

/// The number of steps forward, besides one for each step backward, that it
/// takes to go backward through `steps` with at most `states` kept at a time,
/// the first state included.
inline int64_t revolve_steps(int64_t steps, int64_t states) {
  const Revolve all(steps, states);
  return all.repeats * steps - all.before;
}

/// How many of `steps`, two or more, come in front of the state that is kept
/// next. Those steps run once more. At the best cut the steps in front take
/// r - 1 repeats, and the steps behind, with one state less, take r.
inline int64_t revolve_cut(int64_t steps, int64_t states) {
  const Revolve all(steps, states);
  // b(states - 1, r - 1) = b(states, r - 1) - b(states, r - 2)
  const int64_t behind = all.less * states / (states + all.repeats - 1);
  return std::clamp<int64_t>(steps - behind, 1, all.less);
}

}  // namespace libgrad::detail
