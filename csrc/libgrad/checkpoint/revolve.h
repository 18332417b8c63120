/// libgrad/checkpoint/revolve.h -- where a chain is cut so that running it
/// backward with little memory takes the fewest steps forward.
///
/// Griewank and Walther 2000, Algorithm 799: Revolve. There b(s, r), (s + r)
/// over s, is the longest chain that s states are enough for when no step runs
/// forward more than r times.

#pragma once

#include <algorithm>
#include <cstdint>

namespace libgrad::detail {

/// The smallest r with b(states, r) >= steps, and what else is known then.
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

/// How many steps forward it takes, besides one for each step that goes
/// backward, to go through `steps` backward with `states` kept at a time, the
/// first one among them.
inline int64_t revolve_steps(int64_t steps, int64_t states) {
  const Revolve all(steps, states);
  return all.repeats * steps - all.before;
}

/// How many of `steps`, at least two, come in front of the state that is kept
/// next; they run once more. The cut is best where what is in front of it takes
/// r - 1 repeats and what is behind it, with a state less, r.
inline int64_t revolve_cut(int64_t steps, int64_t states) {
  const Revolve all(steps, states);
  // b(states - 1, r - 1) = b(states, r - 1) - b(states, r - 2)
  const int64_t behind = all.less * states / (states + all.repeats - 1);
  return std::clamp<int64_t>(steps - behind, 1, all.less);
}

}  // namespace libgrad::detail
