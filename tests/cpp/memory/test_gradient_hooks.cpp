/// libgrad/gradient_hooks.h: hooks on gradients, of tensors, nodes and leaves.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

using libgrad::MultiGradMode;
using libgrad::register_hook;
using libgrad::register_multi_grad_hook;
using libgrad::register_post_accumulate_grad_hook;
using libgrad::register_prehook;
using libgrad::RemovableHandle;

namespace {

Tensor grad_of(const Tensor& loss, const Tensor& x) {
  return libgrad::grad({loss}, {x}, {.retain_graph = true})[0];
}

/// Which gradients were there, for each call.
struct Seen {
  std::shared_ptr<std::vector<std::vector<bool>>> calls =
      std::make_shared<std::vector<std::vector<bool>>>();

  void operator()(const variable_list& gradients) const {
    auto& call = calls->emplace_back();
    for (const auto& gradient : gradients) {
      call.push_back(gradient.defined());
    }
  }
};

using Calls = std::vector<std::vector<bool>>;

}  // namespace

TEST(hooks_of_tensors_run_in_order_until_they_are_removed) {
  const auto x = leaf({1, 2});
  const auto y = x * 3;
  const auto loss = y.sum();
  std::string order;
  auto first = register_hook(y, [&](const Tensor& gradient) {
    order += 'a';
    return gradient * 2;
  });
  auto second = register_hook(y, [&](const Tensor& gradient) {
    order += 'b';
    EXPECT(same(gradient, constant({2, 2})));  // nothing takes its place
  });
  auto third = register_hook(x, [&](const Tensor& gradient) {
    order += 'c';
    return gradient + 1;
  });
  EXPECT(same(grad_of(loss, x), constant({7, 7})));
  EXPECT(order == "abc");
  first.remove();
  first.remove();
  second.remove();
  EXPECT(same(grad_of(loss, x), constant({4, 4})));
  third.remove();
  EXPECT(same(grad_of(loss, x), constant({3, 3})));
  EXPECT(order == "abcc");
}

TEST(hooks_that_come_and_go_leave_no_trace) {
  const auto x = leaf({1});
  const auto meta = torch::autograd::impl::get_autograd_meta(x);
  const auto alive = std::make_shared<int>(0);
  for (int i = 0; i < 100; ++i) {
    auto handle = register_hook(x, [alive](const Tensor&) {});
    EXPECT(alive.use_count() == 2);
    handle.remove();
    EXPECT(alive.use_count() == 1);
  }
  EXPECT(meta->cpp_hooks_list_->size() == 1);
  EXPECT(meta->hooks_.size() == 1);
}

TEST(hooks_stay_without_their_handle_and_go_with_the_graph) {
  const auto alive = std::make_shared<int>(0);
  RemovableHandle handle;
  {
    const auto x = leaf({1});
    const auto y = x.exp();
    handle = register_hook(y, [alive](const Tensor&) { ++*alive; });
    register_hook(*y.grad_fn(), [alive](const auto&, const auto&) {});
    register_prehook(*y.grad_fn(), [alive](const variable_list&) {});
    register_post_accumulate_grad_hook(x, [alive](const Tensor&) {});
    register_multi_grad_hook({x, y}, [alive](const variable_list&) {});
    y.sum().backward();
    EXPECT(*alive == 1 && alive.use_count() == 6);
  }
  EXPECT(alive.use_count() == 1);
  handle.remove();  // of what is gone
}

TEST(hooks_of_nodes_replace_gradients) {
  const auto x = leaf({1, 2});
  const auto loss = (x * 3).sum();
  auto& mul = *loss.grad_fn()->next_edge(0).function;
  auto before = register_prehook(mul, [](const variable_list& gradients) {
    return variable_list{gradients[0] * 2};
  });
  variable_list seen;
  auto watch = register_prehook(
      mul, [&](const variable_list& gradients) { seen = gradients; });
  auto after = register_hook(
      mul, [&](const variable_list& results, const variable_list& gradients) {
        EXPECT(same(gradients[0], constant({2, 2})));
        return variable_list{results[0] + 1};
      });
  EXPECT(same(grad_of(loss, x), constant({7, 7})));
  EXPECT(same(seen[0], constant({2, 2})));
  before.remove();
  watch.remove();
  after.remove();
  EXPECT(same(grad_of(loss, x), constant({3, 3})));
  register_prehook(mul, [](const variable_list&) { return variable_list(3); });
  EXPECT_THROWS(
      c10::Error,
      "register_prehook: the hook returned 3 gradients but the node takes 1",
      grad_of(loss, x));
}

TEST(leaves_tell_when_their_gradient_is_there) {
  const auto x = leaf({1, 2});
  int calls = 0;
  auto handle = register_post_accumulate_grad_hook(x, [&](const Tensor& leaf) {
    ++calls;
    EXPECT(same(leaf.grad(), constant({3, 3})));
    leaf.mutable_grad().reset();  // an optimizer's step could be here
  });
  int others = 0;
  register_post_accumulate_grad_hook(x, [&](const Tensor&) { ++others; });
  (x * 3).sum().backward();
  (x * 3).sum().backward();
  EXPECT(calls == 2 && others == 2 && !x.grad().defined());
  handle.remove();
  (x * 3).sum().backward();
  EXPECT(calls == 2 && others == 3 && x.grad().defined());
  grad_of((x * 3).sum(), x);  // accumulates nothing
  EXPECT(others == 3);
}

TEST(hooks_on_several_tensors_wait_for_those_of_the_backward) {
  const auto a = leaf({1, 2});
  const auto b = leaf({3, 4});
  const auto c = a * b;
  const auto d = a + b;
  const Seen seen;
  auto handle = register_multi_grad_hook({a, b, c, d}, seen);
  c.sum().backward({}, true);
  c.sum().backward({}, true, false, {{a}});
  grad_of(d.sum(), b);
  EXPECT(
      *seen.calls == Calls(
                         {{true, true, true, false},
                          {true, false, true, false},
                          {false, true, false, true}}));
  handle.remove();
  c.sum().backward({}, true);
  EXPECT(seen.calls->size() == 3);
}

TEST(hooks_on_any_of_several_tensors_run_once) {
  const auto a = leaf({1, 2});
  const auto b = a.exp();
  const Seen seen;
  register_multi_grad_hook({a, b}, seen, MultiGradMode::kAny);
  for (int i = 0; i < 100; ++i) {
    b.sum().backward({}, true);
  }
  EXPECT(*seen.calls == Calls(100, {false, true}));
}

TEST(a_node_that_is_gone_is_not_waited_for) {
  const auto x = leaf({1, 2});
  const Seen seen;
  auto gone = x.exp();
  const auto kept = x.sin();
  register_multi_grad_hook({gone, kept}, seen);
  gone.reset();
  std::vector<Tensor> next;
  for (int i = 0; i < 20; ++i) {
    next.push_back(x.exp());  // one may have its address
  }
  (kept.sum() + torch::stack(next).sum()).backward();
  EXPECT(*seen.calls == Calls({{false, true}}));
}

TEST(errors_of_hooks_pass_through) {
  const auto x = leaf({1, 2});
  auto handle = register_multi_grad_hook(
      {x}, [](const variable_list&) { throw std::runtime_error("mine"); });
  EXPECT_THROWS(std::runtime_error, "mine", grad_of(x.exp().sum(), x));
  handle.remove();
  EXPECT(same(grad_of(x.sum(), x), constant({1, 1})));
}

TEST(bad_tensors_are_named) {
  const auto x = leaf({1, 2});
  const auto none = [](const Tensor&) {};
  EXPECT_THROWS(
      c10::Error,
      "register_hook: cannot register a hook on a tensor that doesn't require "
      "gradient",
      register_hook(constant({1}), none));
  EXPECT_THROWS(c10::Error, "is not defined", register_hook(Tensor(), none));
  EXPECT_THROWS(
      c10::Error,
      "post accumulate grad hooks cannot be registered on a tensor that is no "
      "leaf",
      register_post_accumulate_grad_hook(x.exp(), none));
  EXPECT_THROWS(
      c10::Error,
      "register_multi_grad_hook: tensor 1 does not require grad",
      register_multi_grad_hook({x, constant({1})}, Seen()));
  EXPECT_THROWS(
      c10::Error,
      "expected at least one tensor",
      register_multi_grad_hook({}, Seen()));
}
