/// libgrad/chain.h: schedules, against all that there are.

#include "memory/chain_machine.h"
#include "support/check.h"

#include <libgrad/chain.h>

#include <random>

using libgrad::ChainCosts;
using libgrad::plan_chain;

namespace {

/// Of `count` functions, all different.
ChainCosts random_costs(int64_t count, int64_t largest, std::mt19937& random) {
  const auto draw = [&](int64_t most) {
    return std::uniform_int_distribution<int64_t>(0, most)(random);
  };
  ChainCosts costs{.output_bytes = draw(largest)};
  for (int64_t i = 0; i < count; ++i) {
    costs.steps.push_back(
        {static_cast<double>(1 + draw(9)),
         1 + draw(largest),
         draw(3 * largest),
         draw(largest) / 2,
         draw(largest) / 2,
         draw(3) == 0 ? draw(largest) : 0,
         draw(2) > 0,
         draw(2) > 0});
  }
  return costs;
}

ChainCosts equal_costs(int64_t count, int64_t saved) {
  return {
      .steps = std::vector<libgrad::StepCosts>(count, {1, 1, saved}),
      .output_bytes = 1};
}

int64_t total(const std::vector<int64_t>& runs) {
  int64_t sum = 0;
  for (const auto count : runs) {
    sum += count;
  }
  return sum;
}

}  // namespace

TEST(the_schedule_is_the_best_of_all) {
  std::mt19937 random(1);
  const int64_t sizes[] = {0, 1, 2, 6, 22, 90, 394, 1806, 8558};
  for (int64_t count = 1; count <= 8; ++count) {
    const auto all = all_schedules(0, count);
    EXPECT(static_cast<int64_t>(all.size()) == sizes[count]);
    for (int round = 0; round < 40; ++round) {
      const auto costs = random_costs(count, 20, random);
      std::vector<Machine> machines;
      int64_t smallest = INT64_MAX;
      for (const auto& parts : all) {
        machines.emplace_back(costs).run(parts);
        smallest = std::min(smallest, machines.back().peak);
      }
      EXPECT(libgrad::smallest_budget(costs) == smallest);
      const auto largest = libgrad::largest_budget(costs);
      EXPECT_THROWS(
          c10::ValueError,
          "but the chain needs at least " + std::to_string(smallest),
          plan_chain(costs, smallest - 1));
      for (int64_t budget = smallest; budget <= largest; ++budget) {
        double fastest = INFINITY;
        for (const auto& machine : machines) {
          if (machine.peak <= budget) {
            fastest = std::min(fastest, machine.seconds);
          }
        }
        const auto plan = plan_chain(costs, budget);
        Machine machine(costs);
        machine.run(plan.parts);
        EXPECT(machine.peak == plan.peak_bytes && plan.peak_bytes <= budget);
        EXPECT(machine.seconds == plan.seconds && plan.seconds == fastest);
      }
      EXPECT(total(plan_chain(costs, largest).runs) == count);
    }
  }
}

TEST(equal_costs_give_the_counts_of_revolve) {
  for (const int64_t count : {1, 2, 3, 7, 16, 40, 64}) {
    for (const int64_t slots : {0, 1, 2, 3, 5, 10, 50}) {
      const auto theory =
          count + libgrad::detail::revolve_steps(count, slots + 1);
      // One function at work: what it saved, both gradients; and its input.
      const auto budget = [slots](int64_t saved) {
        return 1 + slots + 1 + saved + 2;
      };
      const auto plan = plan_chain(equal_costs(count, 100), budget(100));
      EXPECT(total(plan.runs) == theory);
      // Where graphs are small, some are kept instead.
      const auto other = plan_chain(equal_costs(count, 1), budget(1));
      EXPECT(total(other.runs) <= theory);
      EXPECT(count < 16 || slots < 2 || total(other.runs) < theory);
    }
  }
}

TEST(sizes_without_a_divisor_are_nearly_as_good) {
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    const auto all = all_schedules(0, 7);
    const auto costs = random_costs(7, 1'000'000'007, random);
    const auto smallest = libgrad::smallest_budget(costs);
    const auto largest = libgrad::largest_budget(costs);
    double found = 0;
    double best = 0;
    for (int i = 0; i <= 20; ++i) {
      const auto budget = smallest + (largest - smallest) * i / 20;
      double fastest = INFINITY;
      for (const auto& parts : all) {
        Machine machine(costs);
        machine.run(parts);
        if (machine.peak <= budget) {
          fastest = std::min(fastest, machine.seconds);
        }
      }
      const auto plan = plan_chain(costs, budget);
      EXPECT(plan.peak_bytes <= budget && plan.seconds >= fastest);
      found += plan.seconds;
      best += fastest;
    }
    EXPECT(found <= 1.01 * best);
  }
}

TEST(long_chains_stay_within_their_budgets) {
  std::mt19937 random(3);
  for (const int64_t count : {64, 200}) {
    const auto costs = random_costs(count, 1'000'000'007, random);
    const auto smallest = libgrad::smallest_budget(costs);
    const auto largest = libgrad::largest_budget(costs);
    for (const int64_t part : {0, 1, 10, 50, 90, 100}) {
      const auto budget = smallest + (largest - smallest) / 100 * part;
      const auto plan = plan_chain(costs, budget);
      EXPECT(plan.peak_bytes <= budget);
      EXPECT(part < 1 || part > 90 || plan.peak_bytes > 0.95 * budget);
      EXPECT(part < 100 || total(plan.runs) < 1.02 * count);
    }
  }
}

TEST(what_cannot_be_is_told) {
  std::mt19937 random(4);
  const auto costs = random_costs(3, 20, random);
  for (const int64_t budget : {0, -1}) {
    EXPECT_THROWS(
        c10::ValueError,
        "budget_bytes must be positive, but is " + std::to_string(budget),
        plan_chain(costs, budget));
  }
  EXPECT_THROWS(
      c10::ValueError, "expected at least one function", plan_chain({}, 1));
  EXPECT_THROWS(
      c10::ValueError,
      "can be found for up to 200 functions, but there are 201; put several",
      plan_chain(equal_costs(201, 1), 1));
  for (const auto change : std::vector<void (*)(libgrad::StepCosts&)>{
           [](auto& step) { step.seconds = NAN; },
           [](auto& step) { step.seconds = -1; },
           [](auto& step) { step.input_bytes = -1; },
           [](auto& step) { step.saved_bytes = INT64_MAX; },
           [](auto& step) { step.forward_bytes = -1; },
           [](auto& step) { step.backward_bytes = -1; },
           [](auto& step) { step.pending_bytes = -1; }}) {
    auto wrong = costs;
    change(wrong.steps[1]);
    EXPECT_THROWS(
        c10::ValueError,
        "costs must be finite and not negative",
        libgrad::smallest_budget(wrong));
  }
}
