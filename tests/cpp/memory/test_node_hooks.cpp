/// libgrad/node_hooks.h: functions that are called with new nodes, and when
/// backward is done.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/base/number_ranges.h>
#include <libgrad/libgrad.h>

#include <memory>
#include <set>
#include <thread>

using libgrad::NodeCreationHook;

namespace {

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(
      torch::autograd::AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(
      torch::autograd::AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * 3 * x * x};
  }
};

using Names = std::vector<std::string>;

/// A hook that appends the name of each node, without namespaces.
auto into(Names& names, const std::string& tag = "") {
  return [&names, tag](const auto& node) {
    const auto name = node->name();
    const auto colon = name.rfind(':');
    names.push_back(
        tag + (colon == std::string::npos ? name : name.substr(colon + 1)));
  };
}

}  // namespace

TEST(each_node_is_passed_once_and_complete) {
  const auto x = leaf({1, 2});
  Names names;
  std::vector<libgrad::detail::NodePtr> nodes;
  {
    NodeCreationHook guard{into(names)};
    NodeCreationHook second{[&](const auto& node) {
      nodes.push_back(node);
      for (const auto& edge : node->next_edges()) {
        EXPECT(edge.function != nullptr);
      }
      if (node->name() == "MulBackward0") {
        EXPECT(node->num_inputs() == 1 && node->num_outputs() == 2);
        EXPECT(node->input_metadata(0).shape_as_dim_vector()[0] == 2);
      }
    }};
    const auto y = (x * x).sum();
    const auto again = x.exp();  // the leaf's node is there already
    const torch::NoGradGuard none;
    const auto silent = x * 3;
  }
  const auto later = x.sin();
  EXPECT((
      names ==
      Names{"AccumulateGrad", "MulBackward0", "SumBackward0", "ExpBackward0"}));
  EXPECT(nodes.size() == 4);
}

TEST(the_parts_of_an_operator_are_passed) {
  const auto x = torch::ones({2, 3}, torch::requires_grad());
  const auto w = torch::ones({4, 3}, torch::requires_grad());
  Names names;
  {
    NodeCreationHook guard{into(names)};
    const auto y = torch::linear(x, w).reshape({8});
  }
  EXPECT(
      (names ==
           Names{
               "AccumulateGrad",
               "AccumulateGrad",
               "TBackward0",
               "MmBackward0",
               "ViewBackward0"} ||
       names == Names{
                    "AccumulateGrad",
                    "TBackward0",
                    "AccumulateGrad",
                    "MmBackward0",
                    "ViewBackward0"}));
}

TEST(a_write_to_a_view_passes_the_node_of_its_base) {
  const auto x = leaf({1, 2});
  Names names;
  const auto base = torch::zeros({2, 2});
  {
    NodeCreationHook guard{into(names)};
    base[0].mul_(x);
  }
  std::sort(names.begin(), names.end());
  EXPECT(
      (names == Names{"AccumulateGrad", "AsStridedBackward0", "CopySlices"}));
}

TEST(a_function_is_passed_no_later_than_its_consumer) {
  const auto x = leaf({1, 2}) * 1;
  Names names;
  {
    NodeCreationHook guard{into(names)};
    const auto y = Cube::apply(x).sum();
  }
  EXPECT((names == Names{"Cube>", "SumBackward0"}));
}

TEST(of_nested_hooks_the_outermost_is_called_first) {
  const auto x = leaf({1, 2}) * 1;
  Names names;
  {
    NodeCreationHook outer{into(names, "outer ")};
    const auto a = x * 2;
    {
      NodeCreationHook inner{into(names, "inner ")};
      const auto b = x.exp();
    }
    const auto c = x.sin();
  }
  EXPECT(
      (names ==
           Names{
               "outer MulBackward0",
               "outer ExpBackward0",
               "inner ExpBackward0",
               "outer SinBackward0"} ||
       names == Names{
                    "outer MulBackward1",
                    "outer ExpBackward0",
                    "inner ExpBackward0",
                    "outer SinBackward0"}));
}

TEST(hooks_may_be_destroyed_in_any_order) {
  const auto x = leaf({1, 2}) * 1;
  Names names;
  auto outer = std::make_unique<NodeCreationHook>(into(names, "outer "));
  auto inner = std::make_unique<NodeCreationHook>(into(names, "inner "));
  outer.reset();
  const auto a = x.exp();
  inner.reset();
  const auto b = x.exp();
  EXPECT((names == Names{"inner ExpBackward0"}));
}

TEST(numbers_are_kept_as_ranges) {
  libgrad::detail::NumberRanges ranges;
  std::set<uint64_t> numbers;
  uint64_t random = 1;
  for (int i = 0; i < 3000; ++i) {
    random = random * 6364136223846793005 + 1442695040888963407;
    const auto number = (random >> 33) % 1000;
    EXPECT(ranges.insert(number) == numbers.insert(number).second);
  }
}

TEST(nodes_of_a_backward_that_records_are_passed) {
  const auto x = leaf({1, 2});
  const auto y = x.sin();
  Names names;
  {
    NodeCreationHook guard{into(names)};
    libgrad::grad({y.sum()}, {x}, {.create_graph = true});
  }
  EXPECT(std::count(names.begin(), names.end(), "CosBackward0") == 1);
}

TEST(what_a_hook_throws_is_thrown_by_the_operator) {
  const auto x = leaf({1, 2}) * 1;
  {
    NodeCreationHook guard{
        [](const auto&) { throw std::out_of_range("from the hook"); }};
    EXPECT_THROWS(std::out_of_range, "from the hook", x * 2);
    EXPECT_THROWS(std::out_of_range, "from the hook", x * 3);
  }
  {
    NodeCreationHook guard{[&](const auto&) { const auto y = x.sin(); }};
    EXPECT_THROWS(
        c10::Error,
        "Creating a new autograd node from inside a node creation hook",
        x * 2);
  }
  Names names;
  NodeCreationHook guard{into(names)};
  const auto y = x.exp();
  EXPECT(names == Names{"ExpBackward0"});
}

TEST(other_threads_have_hooks_of_their_own) {
  const auto x = leaf({1, 2}) * 1;
  Names names;
  NodeCreationHook guard{into(names)};
  std::thread([&] { const auto y = x * 2; }).join();
  EXPECT(names.empty());
}

TEST(hooks_on_saved_tensors_and_on_nodes_are_used_together) {
  const auto x = leaf({1, 2}) * 1;
  Names names;
  libgrad::SavedTensorHooks pack{libgrad::compress(at::kHalf)};
  NodeCreationHook guard{into(names)};
  const auto y = x.exp();
  EXPECT(names == Names{"ExpBackward0"});
  EXPECT(at::allclose(libgrad::grad({y.sum()}, {x})[0], y, 1e-2));
}

TEST(callbacks_run_when_backward_is_done_in_their_order) {
  const auto x = leaf({1, 2});
  Names said;
  libgrad::register_hook(x, [&](const Tensor&) {
    libgrad::queue_callback([&] { said.push_back("first"); });
    libgrad::queue_callback([&] {
      EXPECT(x.grad().defined());
      said.push_back("second");
    });
    said.push_back("hook");
  });
  (x * 2).sum().backward();
  EXPECT((said == Names{"hook", "first", "second"}));

  const auto y = leaf({1, 2});
  libgrad::register_hook(y, [&](const Tensor&) {
    libgrad::queue_callback([] { throw std::out_of_range("at the end"); });
  });
  EXPECT_THROWS(std::out_of_range, "at the end", (y * 2).sum().backward());
}

TEST(callbacks_need_a_backward) {
  EXPECT_THROWS(
      c10::Error,
      "Final callbacks can only be installed during backward pass; call it "
      "from a hook",
      libgrad::queue_callback([] {}));
  EXPECT_THROWS(
      c10::ValueError, "callback is empty", libgrad::queue_callback({}));
}
