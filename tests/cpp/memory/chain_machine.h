/// chain_machine.h -- forward and backward of a chain, event by event, for any
/// schedule.

#pragma once

#include <libgrad/chain.h>

using libgrad::ChainCosts;
using libgrad::ChainPart;
using Parts = std::vector<ChainPart>;

/// Every schedule of the functions `begin` to `end`.
inline std::vector<Parts> all_schedules(int64_t begin, int64_t end) {
  if (begin == end) {
    return {{}};
  }
  std::vector<Parts> all;
  const auto add = [&all, end](const ChainPart& part) {
    for (const auto& rest : all_schedules(part.end, end)) {
      all.push_back({part});
      all.back().insert(all.back().end(), rest.begin(), rest.end());
    }
  };
  add({begin, begin + 1});
  for (int64_t cut = begin + 1; cut < end; ++cut) {
    for (const auto& again : all_schedules(begin, cut)) {
      add({begin, cut, again});
    }
  }
  return all;
}

/// Goes through forward and backward with a count of what there is.
class Machine {
 public:
  explicit Machine(const ChainCosts& costs) : costs_(costs) {}

  void run(const Parts& parts) {
    allocate(costs_.output_bytes);  // which the caller has to the end
    forward(parts);
    gradient_ = costs_.output_bytes;
    allocate(gradient_);
    backward(parts);
  }

  double seconds = 0;
  int64_t peak = 0;

 private:
  int64_t size() const { return static_cast<int64_t>(costs_.steps.size()); }
  int64_t tensor(int64_t place) const {
    return place < size() ? costs_.steps[place].input_bytes
                          : costs_.output_bytes;
  }
  int64_t made(int64_t step) const {
    return step + 1 < size() ? tensor(step + 1) : 0;
  }

  void allocate(int64_t bytes) {
    now_ += bytes;
    peak = std::max(peak, now_);
  }
  void free(int64_t bytes) { now_ -= bytes; }

  /// One run; what it saves is there while it lasts.
  void step(int64_t i) {
    const auto& costs = costs_.steps[i];
    allocate(costs.saved_bytes + made(i) + costs.forward_bytes);
    free(costs.saved_bytes + costs.forward_bytes);
    seconds += costs.seconds;
  }

  /// Whether the tensor in front of a part stays until its backward; for the
  /// first one somebody else sees to it.
  bool is_kept(const Parts& parts, size_t i) const {
    const auto& part = parts[i];
    return i == 0 || !part.again.empty() ||
           costs_.steps[part.begin].saves_input ||
           (parts[i - 1].again.empty() &&
            costs_.steps[part.begin - 1].saves_output);
  }

  void forward(const Parts& parts) {
    for (size_t at = 0; at < parts.size(); ++at) {
      const auto& part = parts[at];
      for (int64_t i = part.begin; i < part.end; ++i) {
        step(i);
        if (i > part.begin || !is_kept(parts, at)) {
          free(tensor(i));
        }
      }
      if (part.again.empty()) {
        allocate(costs_.steps[part.begin].saved_bytes);
      }
    }
    if (parts.back().end < size()) {
      free(tensor(parts.back().end));  // runs again for its graph alone
    }
  }

  void backward(const Parts& parts) {
    for (size_t at = parts.size(); at-- > 0;) {
      const auto& part = parts[at];
      if (part.again.empty()) {
        backward(part.begin);
      } else {
        const auto waiting = costs_.steps[part.end - 1].pending_bytes;
        allocate(waiting);
        forward(part.again);
        free(waiting);
        backward(part.again);
      }
      if (at > 0 && is_kept(parts, at)) {
        free(tensor(part.begin));
      }
    }
  }

  void backward(int64_t i) {
    const auto& costs = costs_.steps[i];
    allocate(tensor(i) + costs.backward_bytes);
    free(costs.backward_bytes + costs.saved_bytes + gradient_);
    gradient_ = tensor(i);
  }

  const ChainCosts& costs_;
  int64_t now_ = 0;
  int64_t gradient_ = 0;
};
