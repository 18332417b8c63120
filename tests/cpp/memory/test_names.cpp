/// libgrad/name.h: names of tensors, and what a checkpoint keeps by them.

#include "memory/checkpointed.h"
#include "support/check.h"

#include <libgrad/libgrad.h>

#include <ATen/ops/native_layer_norm.h>

using libgrad::checkpoint;
using libgrad::name;
using libgrad::detail::OpWatcher;
using libgrad::detail::OpWatcherScope;

namespace {

/// Counts the operators that run, below autograd.
class CountedOps final : public OpWatcher {
 public:
  void before(const c10::OperatorHandle&, const Stack&) override {}
  bool supply(const c10::OperatorHandle& op, Stack&) override {
    ++runs[op.schema().name()];  // nobody inside has it
    return false;
  }
  void after(const c10::OperatorHandle&, const Stack&) override {}
  void named(const Tensor&, std::string_view) override {}

  std::map<std::string, int> runs;
};

}  // namespace

TEST(what_made_a_named_tensor_does_not_run_again) {
  const auto x = leaf({1, 2, 3});
  const auto f = [](const Tensor& in) {
    return name(in.exp().tanh(), "tanh").sin().exp();
  };
  for (const bool offload : {false, true}) {
    CountedOps ops;
    const OpWatcherScope watched(ops);
    const std::vector<std::string> names{"tanh"};
    const auto y = offload ? checkpoint(f, x, {.offload = names})
                           : checkpoint(f, x, {.save = names});
    EXPECT(ops.runs["aten::tanh"] == 1 && ops.runs["aten::exp"] == 2);
    const auto got = grad_of(y, x, true);
    EXPECT(ops.runs["aten::tanh"] == 1);
    EXPECT(same(got, grad_of(y, x)));
    EXPECT(ops.runs["aten::tanh"] == 1);
    EXPECT(same(got, grad_of(f(x), x)));
  }
}

TEST(hooks_around_pack_what_is_kept_if_they_are_to) {
  const auto x = leaf({1, 2, 3});
  const auto f = [](const Tensor& in) { return name(in.exp(), "exp").sin(); };
  const auto expected = grad_of(f(x), x);
  for (const bool offload : {false, true}) {
    for (const bool respect : {false, true}) {
      std::vector<at::ScalarType> packed;
      libgrad::CheckpointOptions options{
          .respect_saved_tensors_hooks = respect};
      (offload ? options.offload : options.save) = {"exp"};
      Tensor y;
      {
        const libgrad::SavedTensorHooks hooks{
            [&packed](const Tensor& tensor) {
              packed.push_back(tensor.scalar_type());
              return tensor.detach().clone();
            },
            [](const Tensor& tensor) { return tensor; }};
        y = checkpoint(f, x, options);
      }
      EXPECT(packed.size() == (respect ? 2 : 1));  // the input is the other
      EXPECT(same(grad_of(y, x), expected));
    }
  }
}

TEST(nothing_runs_again_when_all_is_kept) {
  const auto x = leaf({1, 2, 3});
  const auto runs = std::make_shared<int>(0);
  const auto f = [runs](const Tensor& in) {
    ++*runs;
    return name(name(in.exp(), "a").tanh(), "b");
  };
  const auto y = checkpoint(f, x, {.save = {"a", "b"}});
  EXPECT(same(grad_of(y, x), grad_of(f(x), x)));
  EXPECT(*runs == 2);  // forward, and the one to compare with
}

TEST(all_results_of_an_operator_are_kept) {
  const auto x = leaf({1, 2, 3, 4});
  const auto f = [](const Tensor& in) {
    const auto [out, mean, rstd] =
        at::native_layer_norm(in.exp(), {4}, {}, {}, 1e-5);
    return name(out, "norm").exp().sin();
  };
  CountedOps ops;
  const OpWatcherScope watched(ops);
  const auto got = grad_of(checkpoint(f, x, {.save = {"norm"}}), x);
  EXPECT(ops.runs["aten::native_layer_norm"] == 1);
  EXPECT(same(got, grad_of(f(x), x)));
}

TEST(what_writes_or_draws_runs_again) {
  const auto x = leaf({1, 2, 3, 4});
  const auto f = [](const Tensor& in) {
    auto y = in * 3;
    y.mul_(2);
    name(y, "written");
    const auto drawn = name(at::rand_like(y), "drawn");
    const auto mine = name(
        at::rand({4}, at::detail::createCPUGenerator(7), y.options()), "mine");
    return (y * drawn * mine * at::rand_like(y)).exp().sin();
  };
  torch::manual_seed(3);
  const auto y = checkpoint(f, x, {.save = {"written", "drawn", "mine"}});
  const auto got = grad_of(y, x);
  torch::manual_seed(3);
  EXPECT(same(got, grad_of(f(x), x)));
}

TEST(a_change_after_the_name_is_told) {
  const auto x = leaf({1, 2});
  const auto f = [](const Tensor& in) {
    auto y = in.exp();
    name(y, "mine");
    return y.mul_(2).sin();
  };
  EXPECT_THROWS(
      c10::Error,
      "\"mine\" (float64 [2] on cpu) was changed in place after libgrad.name",
      checkpoint(f, x, {.save = {"mine"}}));
}

TEST(memory_goes_as_soon_as_nobody_has_it) {
  // The log of operators keeps results only as long as others do.
  const auto x = leaf({1, 2});
  const auto storages = std::make_shared<
      std::vector<c10::weak_intrusive_ptr<c10::StorageImpl>>>();
  const auto f = [storages](const Tensor& in) {
    auto y = in;
    for (int i = 0; i < 300; ++i) {
      y = y.sin();
      storages->push_back(y.storage().getWeakStorageImpl());
      int alive = 0;
      for (const auto& storage : *storages) {
        alive += storage.use_count() > 0;
      }
      EXPECT(alive <= 2 || storages->size() > 300);  // backward needs them
    }
    return name(y, "last") * 2;
  };
  const auto y = checkpoint(f, x, {.save = {"last"}});
  EXPECT(grad_of(y, x).defined());
}

TEST(the_graph_shows_the_names) {
  const auto x = leaf({1, 2});
  name(x, "x");
  const auto y = name(x.exp(), "first");
  const auto halves = y.split(1);
  name(halves[0], "left");
  name(halves[1], "right");
  name(halves[1], "again");
  const auto graph = libgrad::graph({halves[0] * halves[1]});
  std::vector<std::string> labels;
  for (const auto& node : graph.nodes) {
    EXPECT(node.hooks == 0);
    if (!node.label.empty()) {
      labels.emplace_back(node.label);
    }
  }
  EXPECT(labels == std::vector<std::string>({"left, again", "first"}));
  EXPECT(graph.nodes[graph.leaves[0]].leaf == "x");
  libgrad::backward({(halves[0] + halves[1]).sum()});
  EXPECT(same(x.grad(), x.exp()));
}

TEST(bad_names_are_told) {
  EXPECT_THROWS(c10::Error, "tensor is not defined", name(Tensor(), "a"));
  EXPECT_THROWS(c10::Error, "must not be empty", name(at::ones(1), ""));
}

TEST(the_key_of_watchers_is_ours) {
  CountedOps ops;
  {
    const OpWatcherScope watched(ops);
    at::ones(2).exp();
    const at::AutoDispatchBelowAutograd below;
    at::ones(2).exp();
  }
  at::ones(2).exp();
  EXPECT(ops.runs["aten::exp"] == 2);
  auto& dispatcher = c10::Dispatcher::singleton();
  for (const auto& op : dispatcher.getAllOpNames()) {
    const auto found = dispatcher.findSchema(op);
    EXPECT(
        !found || !found->hasKernelForDispatchKey(libgrad::detail::kWatchKey));
  }
}
