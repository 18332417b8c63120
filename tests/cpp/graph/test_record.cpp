/// libgrad/record.h: which call made a node, and where it stands.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>
#include <libgrad/record.h>

#include <torch/csrc/autograd/custom_function.h>

#include <string_view>
#include <thread>

using libgrad::Record;
using libgrad::Scope;
using libgrad::detail::Origins;
using torch::autograd::AutogradContext;

namespace {

struct Twice : torch::autograd::Function<Twice> {
  static Tensor forward(AutogradContext*, const Tensor& x) { return x * 2; }
  static variable_list backward(AutogradContext*, variable_list grads) {
    return {grads[0] * 2};
  }
};

auto origin(const Tensor& tensor) {
  const auto& node = tensor.grad_fn();
  return Origins::instance().find(node->thread_id(), node->sequence_nr());
}

/// The operator that made `tensor`; nothing when nobody saw it.
std::string_view op(const Tensor& tensor) {
  const auto found = origin(tensor);
  return found ? Origins::instance().text(found->op) : std::string_view();
}

std::string_view module_of(const Tensor& tensor) {
  return Origins::instance().text(origin(tensor)->module);
}

Tensor vector() {
  return torch::ones({3}, torch::requires_grad());
}

}  // namespace

TEST(node_knows_the_operator_that_made_it) {
  const auto x = vector();
  const Record record;
  EXPECT(op(x.sin()) == "aten::sin");
  EXPECT(op(x + x) == "aten::add.Tensor");
  // of the calls inside each other the innermost, which made the node
  EXPECT(op(at::linear(x.view({1, 3}), torch::ones({2, 3}))) == "aten::mm");
}

TEST(nodes_made_outside_are_not_known) {
  const auto x = vector();
  const auto before = x.sin();
  Tensor inside;
  {
    const Record record;
    inside = x.cos();
  }
  const auto after = x.tan();
  EXPECT(op(before).empty());
  EXPECT(op(inside) == "aten::cos");
  EXPECT(op(after).empty());
}

TEST(a_new_record_forgets_the_one_before) {
  const auto x = vector();
  Tensor first;
  {
    const Record record;
    first = x.cos();
  }
  const Record record;
  EXPECT(op(first).empty());
  EXPECT(op(x.sin()) == "aten::sin");
}

TEST(records_nest) {
  const auto x = vector();
  const Record outer;
  const auto a = x.sin();
  {
    const Record inner;
    EXPECT(op(x.cos()) == "aten::cos");
  }
  EXPECT(op(a) == "aten::sin");
  EXPECT(op(x.tan()) == "aten::tan");
}

TEST(a_node_that_no_operator_made_is_not_given_to_the_one_before_it) {
  const auto x = vector();
  const Record record;
  const auto y = x.sin();
  const auto detached = y.detach();  // takes a number, makes no node
  EXPECT(op(Twice::apply(x)).empty());
  EXPECT(op(y) == "aten::sin");
}

TEST(nodes_that_backward_makes_are_known) {
  const auto x = vector();
  const Record record;
  const auto y = x.sin().sum();
  const auto g = torch::autograd::grad({y}, {x}, {}, true, true)[0];
  EXPECT(op(g) == "aten::mul.Tensor");
}

TEST(another_thread_is_not_recorded) {
  const auto x = vector();
  const Record record;
  Tensor y;
  std::thread([&] { y = x.sin(); }).join();
  EXPECT(op(y).empty());
}

TEST(an_operator_that_throws_leaves_the_record_whole) {
  const auto x = vector();
  const Record record;
  EXPECT_THROWS(c10::Error, "size", x + torch::ones({2}));
  EXPECT(op(x.sin()) == "aten::sin");
}

TEST(scope_says_module_and_line) {
  const auto x = vector();
  const Record record;
  const auto outside = x.sin();
  Tensor inside, deeper;
  const int line = __LINE__ + 2;
  {
    const Scope encoder("encoder");
    inside = x.cos();
    const Scope layer("layers.0");
    deeper = x.tan();
  }
  EXPECT(module_of(outside).empty());
  EXPECT(module_of(inside) == "encoder");
  EXPECT(module_of(deeper) == "encoder.layers.0");
  EXPECT(origin(inside)->place.at == line);
  const std::string_view file =
      static_cast<const char*>(origin(inside)->place.key);
  EXPECT(file.ends_with("test_record.cpp"));
  EXPECT(module_of(x.exp()).empty());
}

TEST(a_long_program_is_remembered_from_its_end) {
  auto& origins = Origins::instance();
  const Record record;
  const uint64_t count = 3 * libgrad::detail::kRemembered;
  for (uint64_t i = 0; i < count; i += 1024) {
    origins.settle(1u << 30, i, i + 1024, "aten::sin", "", {});
  }
  EXPECT(!origins.find(1u << 30, 0));
  EXPECT(origins.find(1u << 30, count - libgrad::detail::kRemembered));
  EXPECT(origins.find(1u << 30, count - 1));
  EXPECT(!origins.find(1u << 30, count));
}
