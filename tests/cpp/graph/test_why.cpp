/// libgrad/why.h, libgrad/unused.h: questions to a graph, without Python.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

using libgrad::graph;
using libgrad::Index;
using libgrad::kNothing;
using libgrad::PathCount;
using libgrad::unused;
using libgrad::why;

TEST(paths_to_a_leaf_are_counted_by_their_edges) {
  const auto x = leaf({1, 2});
  const auto g = graph({(x * x).sum()}, {.params = {{"x", x}}});
  const auto found = why(g, x);
  EXPECT(found.paths == std::vector<std::vector<Index>>{{0, 1, 2}});
  EXPECT(found.total == PathCount(2) && found.node == 2);
  EXPECT(found.saved == std::vector<Index>{0, 1});
  EXPECT(
      found.text ==
      "2 paths to 'x' (node 2), the shortest of 3 nodes:\n"
      "  0  SumBackward0\n"
      "  1  MulBackward0\n"
      "  2  AccumulateGrad (x) ×2\n"
      "saved by node 1, MulBackward0 (other, self)");
}

TEST(graph_that_does_not_use_a_tensor_says_so) {
  const auto x = leaf({1, 2});
  const auto g = graph({x.sum()});
  const auto found = why(g, constant({1}));
  EXPECT(found.empty() && found.total.empty() && found.node == kNothing);
  EXPECT(
      found.text ==
      "the graph does not use this tensor (float64 [1] on cpu): requires_grad "
      "is False");
  EXPECT(why(libgrad::Graph(), x).empty());
}

TEST(counts_are_exact_up_to_4096_bits) {
  PathCount count(1);
  for (int i = 0; i < 64; ++i) {
    count += PathCount(count);
  }
  EXPECT(count.hex() == "10000000000000000" && count.words() == "about 1.8e19");
  auto less = PathCount(UINT64_MAX);
  EXPECT(less.hex() == "ffffffffffffffff" && !(less == count));
  EXPECT(less.words() == "18,446,744,073,709,551,615");
  less += 1;
  EXPECT(less == count);
  less += PathCount(less);
  EXPECT(less.words() == "about 3.7e19");
  for (int i = 64; i < 4095; ++i) {
    count += PathCount(count);
  }
  EXPECT(count.exact() && count.hex() == '8' + std::string(1023, '0'));
  EXPECT(count.words() == "about 5.2e1232");
  count += PathCount(count);
  EXPECT(!count.exact() && count.hex() == '1' + std::string(1024, '0'));
  EXPECT(count.words() == "more than 1e1233" && !count.empty());
  count += 1;
  EXPECT(!count.exact());
  EXPECT(PathCount().hex() == "0" && PathCount(1234).words() == "1,234");
}

TEST(parameters_without_gradient_are_told_in_order) {
  const auto x = leaf({1, 2}), w = leaf({3, 4}), s = leaf({5, 6});
  const auto g = graph({((x + s.clone().zero_()) * w.detach()).sum()});
  const auto found = unused(g, {{"w", w}, {"x", x}, {"s", s}});
  EXPECT(found.params.size() == 2 && found.params[0].name == "w");
  EXPECT(found.params[0].reason == "cut" && found.params[0].node == 1);
  EXPECT(found.params[1].reason == "overwritten");
  EXPECT(found.ends.size() == 1 && found.ends[0].node == 1);
  EXPECT(
      found.text ==
      "no gradient comes to 2 of 3 parameters:\n"
      "  w  [cut]  its values were used without it (detach(), .data, "
      "no_grad(), or before it required grad): node 1, MulBackward0, saved a "
      "tensor there (other)\n"
      "  s  [overwritten]  node 4, ZeroBackward0, gives zeros whatever "
      "arrives, and every path to it leads through such nodes\n"
      "tensors that came in without gradient, as data do and what is "
      "detached:\n"
      "  node 1, MulBackward0: other, float64 [2], in the memory of 'w'");
  EXPECT(unused(g, {{"x", x}}).empty());
}

TEST(modules_of_the_program_are_known_from_scopes) {
  const auto a = leaf({1, 2}), b = leaf({3, 4});
  libgrad::Record record;
  Tensor y;
  {
    libgrad::Scope scope("encoder");
    y = a.exp();
  }
  const auto g = graph({y});
  const auto found = unused(g, {{"encoder.a", a}, {"head.b", b}});
  EXPECT(found.params.size() == 1);
  EXPECT(found.params[0].reason == "module not in graph");
}

TEST(snapshot_keeps_no_leaf_and_no_memory) {
  auto x = leaf({1, 2}), data = constant({3, 4});
  const auto g = graph({(x * data).sum()});
  const c10::weak_intrusive_ptr<c10::TensorImpl> gone(x.getIntrusivePtr());
  const c10::weak_intrusive_ptr<c10::StorageImpl> memory(
      data.storage().getWeakStorageImpl());
  EXPECT(!why(g, x).empty() && !why(g, data).empty());
  x = Tensor();
  data = Tensor();
  EXPECT(gone.expired() && memory.expired());
  EXPECT(g.nodes.size() == 3);
}

TEST(wrong_arguments_are_refused) {
  const auto x = leaf({1});
  const auto g = graph({x.sum()});
  EXPECT_THROWS(c10::Error, "why: the tensor is undefined", why(g, Tensor()));
  EXPECT_THROWS(c10::ValueError, "max_paths must be at least 1", why(g, x, 0));
  EXPECT_THROWS(
      c10::Error, "unused: 'w' is undefined", unused(g, {{"w", Tensor()}}));
}
