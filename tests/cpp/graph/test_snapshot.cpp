/// libgrad/graph.h: a graph as plain data, without Python.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/graph/words.h>
#include <libgrad/libgrad.h>

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

using namespace libgrad::detail;
using libgrad::graph;
using libgrad::Graph;
using libgrad::GraphNode;
using libgrad::GraphSaved;
using libgrad::kNothing;
using libgrad::NodeKind;
using libgrad::Owner;
using libgrad::SavedState;
using torch::autograd::AutogradContext;

namespace {

const GraphNode& node_called(const Graph& g, std::string_view name) {
  const auto found =
      std::find_if(g.nodes.begin(), g.nodes.end(), [&](const GraphNode& node) {
        return node.name == name;
      });
  EXPECT(found != g.nodes.end());
  return *found;
}

const GraphSaved& only_saved(const Graph& g, std::string_view name) {
  const auto saved = g.saved_of(node_called(g, name));
  EXPECT(saved.size() == 1);
  return saved[0];
}

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    ctx->saved_data["square"] = x.detach() * x.detach();
    ctx->saved_data["power"] = 3;
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * 3 * ctx->saved_data["square"].toTensor()};
  }
};

/// Packs in bfloat16.
struct Half : torch::autograd::SavedVariableHooks {
  void call_pack_hook(const Tensor& tensor) override {
    packed = tensor.to(torch::kBFloat16);
  }
  Tensor call_unpack_hook() override {
    ++unpacked;
    return packed.to(torch::kDouble);
  }
  Tensor packed;
  static inline int unpacked = 0;
};

}  // namespace

TEST(nodes_come_breadth_first_with_their_edges) {
  const auto x = leaf({1, 2}), y = leaf({3, 4});
  const auto g = graph({(x * y + x).sum()}, {.params = {{"x", x}, {"y", y}}});
  std::vector<std::string> names;
  for (const auto& node : g.nodes) {
    names.emplace_back(node.name);
  }
  EXPECT(
      names == std::vector<std::string>{
                   "SumBackward0",
                   "AddBackward0",
                   "MulBackward0",
                   "AccumulateGrad",
                   "AccumulateGrad"});
  EXPECT(g.roots.size() == 1 && g.roots[0].node == 0);
  EXPECT(g.leaves == std::vector<libgrad::Index>{3, 4});
  EXPECT(g.nodes[3].leaf == "x" && g.nodes[4].leaf == "y");
  const auto edges = g.edges_of(g.nodes[2]);
  EXPECT(edges.size() == 2 && edges[0].to == 3 && edges[1].to == 4);
  EXPECT(edges[1].from == 2 && edges[1].output == 1 && edges[1].input == 0);
  EXPECT(g.nodes[2].origin.op == "Mul" && g.nodes[3].origin.op.empty());
  EXPECT(g.nodes[3].kind == NodeKind::kLeaf);
  EXPECT(g.nodes[2].kind == NodeKind::kOperator);
  EXPECT(g.shape_of(g.inputs_of(g.nodes[2])[0])[0] == 2);
}

TEST(saved_tensors_are_told_by_field_version_and_storage) {
  const auto x = leaf({1, 2}), y = leaf({3, 4});
  auto a = x.exp();
  const auto g = graph({(a * y[0]).sin()});
  const auto& mul = g.saved_of(node_called(g, "MulBackward0"));
  EXPECT(mul.size() == 2 && mul[0].field == "other" && mul[1].field == "self");
  EXPECT(mul[0].nbytes == 8 && g.storages[mul[0].storage].nbytes == 16);
  EXPECT(g.nodes[mul[0].leaf].kind == NodeKind::kLeaf);  // looks into y
  EXPECT(g.shape_of(mul[0]).empty() && g.shape_of(mul[1])[0] == 2);
  const auto& exp = only_saved(g, "ExpBackward0");
  EXPECT(exp.field == "result" && exp.output && exp.storage == mul[1].storage);
  EXPECT(exp.state == SavedState::kHeld && exp.dtype == torch::kDouble);
  EXPECT(exp.leaf == kNothing);
  EXPECT(exp.saved_version == 0 && exp.version == 0);
  a.mul_(1);  // from here on backward refuses
  const auto later = graph({(a * 2).sin(), a});
  EXPECT(exp.version == 0);  // what was taken stays as it was
  EXPECT(only_saved(later, "ExpBackward0").version == 1);
}

TEST(lists_of_saved_tensors_have_places_and_are_released_as_one) {
  const auto x = leaf({1, 2, 3});
  const auto i = torch::tensor({0, 2});
  const auto y = x.index({i}).sum();
  const auto g = graph({y});
  const auto& saved = only_saved(g, "IndexBackward0");
  EXPECT(saved.field == "indices" && saved.index == 0);
  EXPECT(saved.dtype == torch::kLong && saved.nbytes == 16);
  y.backward();
  const auto after = graph({y});
  const auto& released = only_saved(after, "IndexBackward0");
  EXPECT(released.state == SavedState::kReleased && after.nbytes == 0);
  EXPECT(released.field == "indices" && released.index == kNothing);
}

TEST(released_and_missing_tensors_are_told_apart) {
  const auto x = leaf({1, 2});
  const auto y = (x * constant({2, 2})).exp().sum();
  const auto g = graph({y});
  const auto mul = g.saved_of(node_called(g, "MulBackward0"));
  EXPECT(std::all_of(mul.begin(), mul.end(), [](const GraphSaved& saved) {
    return saved.state ==
           (saved.field == "other" ? SavedState::kHeld : SavedState::kNone);
  }));
  y.backward();
  EXPECT(only_saved(graph({y}), "ExpBackward0").state == SavedState::kReleased);
}

TEST(hooks_hide_a_tensor_and_do_not_run) {
  const auto x = leaf({1, 2});
  const auto y = x.exp().sin();
  auto* node =
      static_cast<torch::autograd::generated::SinBackward0*>(y.grad_fn().get());
  node->self_.register_hooks(std::make_unique<Half>());
  const auto g = graph({y});
  const auto& saved = only_saved(g, "SinBackward0");
  EXPECT(saved.state == SavedState::kPacked && saved.hooks);
  EXPECT(saved.storage == kNothing && Half::unpacked == 0);
  y.sum().backward();
  EXPECT(Half::unpacked == 1);
}

TEST(cpp_function_shows_what_its_context_holds) {
  const auto x = leaf({1, 2});
  const auto y = Cube::apply(x).sum();
  const auto g = graph({y});
  const auto& node = node_called(g, "CubeBackward");
  EXPECT(node.kind == NodeKind::kFunction && node.origin.op == "Cube");
  const auto saved = g.saved_of(node);
  EXPECT(saved.size() == 2 && saved[0].field == "saved_tensors");
  EXPECT(saved[0].index == 0 && saved[0].leaf != kNothing);
  EXPECT(saved[1].field == "saved_data.square");
  EXPECT(node.nbytes == 32 && node.exclusive_nbytes == 16);
  EXPECT(node.note.empty());
  y.backward();
  EXPECT(
      node_called(graph({y}), "CubeBackward").note ==
      "a backward freed its saved tensors");
}

TEST(write_into_a_view_shows_the_operator_that_wrote) {
  const auto x = leaf({1, 2}), w = leaf({3});
  auto y = x.clone();
  y.narrow(0, 0, 1).mul_(w);
  const auto g = graph({y.sum()});
  const auto& node = node_called(g, "CopySlices");
  EXPECT(node.kind == NodeKind::kView && node.origin.op == "Mul");
  EXPECT(g.saved_of(node).size() == 2 && node.note.empty());
}

TEST(storages_are_counted_once_and_owners_told) {
  const auto x = leaf({1, 2});
  auto a = x.exp();
  const auto y = (a * a).sum();
  EXPECT(graph({y}).nbytes == 16 && graph({y}).exclusive_nbytes == 0);
  EXPECT(graph({y}).storages[0].owner == Owner::kOther);  // `a` is ours
  a = Tensor();
  const auto g = graph({y});
  EXPECT(g.storages.size() == 1 && g.exclusive_nbytes == 16);
  EXPECT(g.storages[0].owner == Owner::kGraph);
  const auto leaves = graph({(x * x).sum()});
  EXPECT(leaves.storages[0].owner == Owner::kLeaf && leaves.nbytes == 16);
}

TEST(order_is_that_of_the_engine) {
  const auto x = leaf({1, 2});
  auto y = (x.exp() * x.sin() + x.cos()).sum();
  const auto g = graph({y});
  std::vector<std::string> predicted(g.nodes.size()), ran;
  for (const auto& node : g.nodes) {
    predicted[node.order] = node.name;
  }
  std::vector<libgrad::Node> todo{libgrad::node(y)};
  std::unordered_set<const void*> seen;
  while (!todo.empty()) {
    const auto node = todo.back();
    todo.pop_back();
    if (!seen.insert(node.get().get()).second) {
      continue;
    }
    struct Note : torch::autograd::FunctionPreHook {
      Note(std::string name, std::vector<std::string>& ran)
          : name(std::move(name)),
            ran(ran) {}
      variable_list operator()(const variable_list& grads) override {
        ran.push_back(name);
        return grads;
      }
      std::string name;
      std::vector<std::string>& ran;
    };
    node.get()->add_pre_hook(std::make_unique<Note>(node.name(), ran));
    for (const auto& [next, input] : node.next()) {
      if (next) {
        todo.push_back(*next);
      }
    }
  }
  EXPECT(graph({y}).nodes[0].hooks == 1 && ran.empty());
  y.backward();
  EXPECT(ran == predicted);
}

TEST(snapshot_changes_nothing) {
  const auto run = [](bool look) {
    const auto x = leaf({1, 2});
    auto a = x.neg();
    a.mul_(2);
    auto y = (a * x).sum();
    if (look) {
      const auto count = y.grad_fn()->next_edge(0).function.use_count();
      graph({y});
      EXPECT(y.grad_fn()->next_edge(0).function.use_count() == count);
      EXPECT(a._version() == 1 && x._version() == 0);
      y.grad_fn()->add_next_edge({});  // refused where a snapshot marks nodes
      y.grad_fn()->next_edges().pop_back();
    }
    y.backward();
    return x.grad();
  };
  EXPECT(same(run(true), run(false)));
}

TEST(long_chain_costs_no_stack) {
  auto y = leaf({1});
  for (int i = 0; i < 200000; ++i) {
    y = y.neg();
  }
  const auto g = graph({y});
  EXPECT(g.nodes.size() == 200001 && g.nodes.back().order == 200000);
}

TEST(snapshot_outlives_the_graph) {
  auto y = leaf({1, 2}).exp().sum();
  const c10::weak_intrusive_ptr<c10::TensorImpl> gone(y.getIntrusivePtr());
  auto g = graph({y});
  y = Tensor();
  EXPECT(gone.expired());
  const Graph moved = std::move(g);
  EXPECT(only_saved(moved, "ExpBackward0").field == "result");
}

TEST(roots_may_be_leaves_repeated_and_several) {
  const auto x = leaf({1, 2});
  const auto y = x.exp();
  const auto g = graph({x, y, y});
  EXPECT(g.roots.size() == 3 && g.nodes.size() == 2);
  EXPECT(g.roots[1].node == 1 && g.roots[2].node == 1);
  EXPECT(g.nodes[0].kind == NodeKind::kLeaf && g.nodes[1].order == 0);
}

TEST(tensors_of_every_kind_are_looked_at) {
  const auto meta = torch::ones({2, 3}, torch::kMeta).requires_grad_();
  const auto g = graph({meta.exp()});
  EXPECT(g.saved[0].device.is_meta() && g.saved[0].nbytes == 24);
  const auto x = torch::eye(3).requires_grad_();
  EXPECT(graph({x.to_sparse().coalesce() * 2}).nodes.size() > 2);
  const auto sparse = x.detach().to_sparse();
  const auto product = graph({at::_sparse_mm(sparse, x)});
  EXPECT(
      std::any_of(
          product.saved.begin(), product.saved.end(), [](const auto& saved) {
            return saved.state == SavedState::kHeld &&
                   saved.storage == kNothing;
          }));
}

TEST(tensor_without_graph_is_refused) {
  EXPECT_THROWS(c10::Error, "graph: expected at least one", graph({}));
  EXPECT_THROWS(
      c10::Error,
      "graph: tensor 1 (float64 [1] on cpu) does not require grad",
      graph({leaf({1}), constant({1})}));
  EXPECT_THROWS(c10::Error, "graph: tensor 0 (undefined)", graph({Tensor()}));
}

TEST(words_for_kinds) {
  EXPECT(word_of(NodeKind::kCompiled) == "compiled");
  EXPECT(word_of(SavedState::kPacked) == "packed");
  EXPECT(word_of(Owner::kLeaf) == "leaf");
}
