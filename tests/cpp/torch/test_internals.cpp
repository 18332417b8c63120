/// What the headers in libgrad/detail rely on inside LibTorch, one test each.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/grad.h>
#include <libgrad/gradcheck.h>
#include <libgrad/torch/transforms/vmap.h>

#include <c10/core/impl/LocalDispatchKeySet.h>

using namespace libgrad::detail;

namespace {

Tensor plain() {
  return torch::ones({});
}

}  // namespace

// edges.h

TEST(gradient_edge_is_where_a_gradient_enters) {
  const auto x = leaf({1, 2});
  const auto parts = (x * x).unbind();
  const auto entry = root_edge(parts[1]);
  EXPECT(entry.function == parts[1].grad_fn() && entry.input_nr == 1);
  const auto accumulator = root_edge(x);
  EXPECT(accumulator.function->name() == "torch::autograd::AccumulateGrad");
  EXPECT(!root_edge(constant({1})).is_valid());
}

TEST(target_edge_is_where_a_gradient_leaves) {
  const auto x = leaf({1, 2});
  const auto y = x * x;
  EXPECT(target_edge(y).function == y.grad_fn());
  EXPECT(target_edge(x) == root_edge(x));
}

TEST(leaf_outside_of_any_graph_has_an_edge_of_its_own) {
  const auto x = leaf({1, 2}), y = leaf({1, 2});
  const auto lone = target_edge(x);
  EXPECT(lone.function->name() == "torch::autograd::Identity");
  EXPECT(lone.is_valid() && !(lone == target_edge(y)));
  EXPECT(!torch::autograd::impl::try_get_grad_accumulator(x));
  const auto grads =
      execute({root_edge(y.sum())}, {plain()}, false, false, false, {lone});
  EXPECT(grads.size() == 1 && !grads[0].defined());
}

TEST(retain_grads_keeps_the_gradient_of_an_inner_tensor) {
  const auto x = leaf({1, 2});
  const auto y = x * x;
  retain_grads({y, at::Tensor()});
  const auto target = target_edge(y);
  execute({root_edge(y.sum())}, {plain()}, false, false, true, {target});
  EXPECT(same(y.grad(), constant({1, 1})) && !x.grad().defined());
}

TEST(execute_takes_its_flags_in_this_order) {
  const auto x = leaf({3});
  const auto y = (x * x).sum();
  const edge_list root{root_edge(y)}, target{target_edge(x)};
  const auto run = [&](bool keep, bool create, bool accumulate) {
    const edge_list targets = accumulate ? edge_list{} : target;
    return execute(root, {plain()}, keep, create, accumulate, targets);
  };
  EXPECT(!run(true, false, false)[0].requires_grad());
  EXPECT(run(true, true, false)[0].requires_grad() && !x.grad().defined());
  EXPECT(run(false, false, true).empty() && same(x.grad(), constant({6})));
  EXPECT_THROWS(c10::Error, "a second time", run(false, false, false));
}

TEST(input_metadata_describes_the_gradient_a_node_takes) {
  const auto x = torch::ones({2, 3}, torch::kFloat).requires_grad_();
  const auto entry = root_edge(x.sum(0));
  EXPECT(in_range(entry) && !in_range({entry.function, 1}) && !in_range({}));
  const auto& meta = metadata(entry);
  EXPECT(meta.shape_as_dim_vector().vec() == std::vector<c10::SymInt>{3});
  EXPECT(meta.dtype() == torch::kFloat && meta.device() == torch::kCPU);
  EXPECT(!meta.is_cpp_nested_tensor() && !meta.was_default_constructed());
}

TEST(node_pointer_is_what_a_tensor_has) {
  using GradFn = std::decay_t<decltype(plain().grad_fn())>;
  EXPECT(std::is_same_v<NodePtr, GradFn>);
  const NodePtr node = make_node<torch::autograd::Identity>();
  EXPECT(node.get() && node->num_outputs() == 0);
}

// vmap.h

TEST(vmap_level_maps_over_the_first_dimension) {
  const auto batch = torch::arange(6, torch::kDouble).view({3, 2});
  EXPECT(!in_vmap());
  {
    const VmapLevel level(3);
    EXPECT(in_vmap());
    const auto one = level.enter(batch);
    EXPECT(is_batched(one) && !is_batched(batch) && one.sizes() == 2);
    EXPECT(same(level.leave(one.sum(0)), batch.sum(1)));
    EXPECT(same(level.leave(constant({7})), constant({7, 7, 7}).view({3, 1})));
  }
  EXPECT(!in_vmap());
}

TEST(vmap_level_ends_with_an_exception) {
  const auto fail = [](const variable_list&) -> variable_list {
    TORCH_CHECK(in_vmap(), "there should be a level");
    throw std::domain_error("inside");
  };
  EXPECT_THROWS(
      std::domain_error, "inside", run_batched({constant({1})}, fail));
  EXPECT(!in_vmap());
}

TEST(functorch_is_active_where_its_dispatch_keys_are) {
  EXPECT(!functorch_active());
  for (const auto key :
       {c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
        c10::DispatchKey::FuncTorchDynamicLayerBackMode}) {
    const c10::impl::IncludeDispatchKeyGuard guard(key);
    EXPECT(functorch_active());
  }
  const VmapLevel level(2);  // this vmap is not a transform of functorch
  EXPECT(!functorch_active());
}

// seeds.h

TEST(plain_cpu_is_an_ordinary_tensor_on_the_cpu) {
  EXPECT(is_plain_cpu(plain()));
  EXPECT(is_plain_cpu(torch::ones({2}, torch::kLong)));
  EXPECT(is_plain_cpu(leaf({1, 2}).sum()));
  EXPECT(!is_plain_cpu(torch::ones({}, torch::kMeta)));
  EXPECT(!is_plain_cpu(torch::eye(2).to_sparse()));
  EXPECT(!is_plain_cpu(torch::ones({}, torch::kComplexFloat).conj()));
  EXPECT(!is_plain_cpu(torch::_efficientzerotensor({2})));
}

TEST(plain_cpu_is_over_where_somebody_watches) {
  const auto x = plain();
  const auto watched = [&](c10::DispatchKey key) {
    const c10::impl::IncludeDispatchKeyGuard guard(key);
    return !is_plain_cpu(x);
  };
  EXPECT(watched(c10::DispatchKey::Python));
  EXPECT(watched(c10::DispatchKey::FuncTorchDynamicLayerFrontMode));
  EXPECT(watched(c10::DispatchKey::Tracer));
  {
    const VmapLevel level(2);
    EXPECT(!is_plain_cpu(x));
  }
  EXPECT(is_plain_cpu(x));
}

TEST(implicit_seed_is_what_the_dispatcher_would_make) {
  const auto x = leaf({1, 2});
  for (const auto dtype : {torch::kFloat, torch::kDouble, torch::kBFloat16}) {
    const auto y = x.sum().to(dtype);
    const auto expected = torch::ones_like(y);
    EXPECT(same(one_for(y), expected) && same(one_for(edge(y)), expected));
    EXPECT(!one_for(y).requires_grad() && !one_for(y).is_inference());
  }
  EXPECT(one_for(x.sum(0, /*keepdim=*/true)).sizes() == 1);
}

// gradcheck/numbers.h, gradcheck/backward_rules.h, gradcheck/vector.h

TEST(only_numbers_that_lie_open_are_read_from_memory) {
  using libgrad::detail::is_open;
  const auto x = leaf({1, 2});
  const auto z = torch::randn({2}, torch::kComplexDouble);
  EXPECT(is_open(x) && is_open(x.detach()) && is_open(z) && is_open(x * 2));
  EXPECT(!is_open(z.conj()) && !is_open(at::imag(z.conj())));
  EXPECT(!is_open(at::_efficientzerotensor({2})) && !is_open(x.to_sparse()));
}

TEST(undefining_edge_loses_the_gradient) {
  const auto x = leaf({1}), y = x * 2;
  const auto edge = libgrad::detail::undefining_edge(y);
  const libgrad::edge_list targets{libgrad::detail::target_edge(x)};
  const libgrad::GradOptions options{
      .grad_outputs = {constant({1})}, .allow_unused = true};
  EXPECT(!libgrad::grad({edge}, targets, options)[0].defined());
}

TEST(vectors_of_fast_mode_are_those_of_torch) {
  for (const auto dtype : {torch::kFloat, torch::kDouble}) {
    const auto before = c10::get_default_dtype();
    c10::set_default_dtype(c10::scalarTypeToTypeMeta(dtype));
    auto vector = libgrad::detail::Draw().unit(5);
    c10::set_default_dtype(before);
    auto theirs = torch::rand({5}, at::detail::createCPUGenerator(), dtype);
    theirs = theirs.to(torch::kDouble);
    EXPECT(vector.like(theirs).allclose(theirs / theirs.norm()));
  }
}
