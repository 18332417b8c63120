/// libgrad/doctor.h: who changed the tensor that backward needs.

#include "support/check.h"
#include "support/tensors.h"

#include <libgrad/libgrad.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdio>
#include <fstream>
#include <thread>

using libgrad::diagnose;
using libgrad::Doctor;
using libgrad::Finding;
using libgrad::Freeze;
using libgrad::Scope;
using libgrad::detail::Content;
using libgrad::detail::hash_on_device;
using libgrad::detail::kSpyKey;
using torch::autograd::AutogradContext;

namespace {

Tensor vector() {
  return torch::ones({3}, torch::requires_grad());
}

bool is_spied() {
  const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("aten::add_", "Tensor");
  return op.hasKernelForDispatchKey(kSpyKey);
}

bool says(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * 3 * x * x};
  }
};

}  // namespace

TEST(finding_names_node_tensor_and_writer) {
  const auto x = vector();
  const Doctor doctor;
  Tensor y;
  {
    const Scope scope("encoder");
    y = x.exp();
  }
  {
    const Scope scope("decoder");
    y.add_(1);
  }
  const auto findings = diagnose({y.sum()});
  EXPECT(findings.size() == 1);
  const auto& found = findings[0];
  EXPECT(found.node == "ExpBackward0" && found.field == "result");
  EXPECT(found.saved_version == 0 && found.version == 1 && !found.silent);
  EXPECT(
      found.saved_by.op == "aten::exp" && found.saved_by.module == "encoder");
  EXPECT(found.writes.size() == 1 && found.unseen == 0);
  const auto& write = found.writes[0];
  EXPECT(write.call.op == "aten::add_.Scalar");
  EXPECT(write.call.module == "decoder");
  EXPECT(write.call.line == found.saved_by.line + 4);
  EXPECT(says(write.call.file, "test_doctor.cpp"));
  const auto text = libgrad::to_text(found);
  EXPECT(says(text, libgrad::detail::at_line(write.call).substr(4)));
  EXPECT(says(text, "made and saved by  aten::exp"));
  EXPECT(says(found.advice, "use `add` instead of `add_`"));
}

TEST(report_shows_the_source_where_it_is_there) {
  std::ofstream("test_doctor.txt") << "first\n  second  \n";
  const libgrad::CallSite call{.file = "test_doctor.txt", .line = 2};
  libgrad::detail::CallTable table;
  table.add("written by", call);
  table.add("saved by", {.file = "no_such_file.txt", .line = 1});
  std::remove("test_doctor.txt");
  EXPECT(
      table.text() ==
      "\n  written by    test_doctor.txt:2\n                second"
      "\n  saved by      no_such_file.txt:1");
}

TEST(error_of_backward_is_explained) {
  const auto x = vector();
  {
    const Doctor doctor;
    const auto y = x.exp();
    const auto loss = y.sum();
    y.mul_(2);
    EXPECT_THROWS(c10::Error, "aten::mul_.Scalar", libgrad::backward({loss}));
    EXPECT_THROWS(c10::Error, "aten::mul_.Scalar", libgrad::grad({loss}, {x}));
    EXPECT_THROWS(c10::Error, "aten::mul_.Scalar", loss.backward());
    EXPECT_THROWS(
        c10::Error, "aten::mul_.Scalar", torch::autograd::backward({loss}));
    EXPECT_THROWS(
        c10::Error, "aten::mul_.Scalar", torch::autograd::grad({loss}, {x}));
  }
  const auto y = x.exp();
  y.mul_(2);
  try {
    libgrad::backward({y.sum()});
    EXPECT(false);
  } catch (const c10::Error& error) {
    EXPECT(!says(error.what(), "what to do"));
  }
}

TEST(error_of_a_backward_inside_another_is_explained_once) {
  struct Outer : torch::autograd::Function<Outer> {
    static Tensor forward(AutogradContext*, const Tensor& x) { return x * 1; }
    static variable_list backward(AutogradContext*, variable_list grads) {
      const at::AutoGradMode record(true);
      const auto y = grads[0].detach().requires_grad_().exp();
      y.mul_(2);
      y.sum().backward();
      return grads;
    }
  };
  const Doctor doctor;
  try {
    Outer::apply(vector()).sum().backward();
    EXPECT(false);
  } catch (const c10::Error& error) {
    const std::string text = error.what();
    const auto found = text.find("aten::mul_.Scalar");
    EXPECT(found != text.npos);
    EXPECT(text.find("what to do") == text.rfind("what to do"));
  }
}

TEST(without_a_doctor_the_versions_are_told) {
  const auto y = vector().exp();
  y.add_(1);
  y.add_(1);
  const auto findings = diagnose({y.sum()});
  EXPECT(findings.size() == 1 && findings[0].writes.empty());
  EXPECT(findings[0].unseen == 2);
}

TEST(functions_of_cpp_are_seen) {
  const Doctor doctor{{.silent = true}};
  const auto x = vector() * 2;
  const auto y = Cube::apply(x);
  x.add_(1);
  const auto findings = diagnose({y.sum()});
  EXPECT(findings.size() == 1);
  EXPECT(findings[0].node == "CubeBackward");
  EXPECT(findings[0].field == "saved_tensors" && findings[0].index == 0);
  EXPECT(findings[0].made_at.op == "aten::mul.Scalar");
}

TEST(silent_writes_are_found) {
  const Doctor doctor{{.silent = true}};
  const auto x = vector();
  auto loss = x.sin().sum();
  EXPECT(diagnose({loss}).empty());
  x.data_ptr<float>()[1] = 7;
  auto findings = diagnose({loss});
  EXPECT(findings.size() == 1 && findings[0].silent);
  EXPECT(findings[0].writes.empty() && findings[0].is_leaf);
  x.data_ptr<float>()[1] = 1;
  EXPECT(diagnose({loss}).empty());
  x.data().mul_(2);
  findings = diagnose({loss});
  EXPECT(findings.size() == 1 && findings[0].writes.size() == 1);
  EXPECT(findings[0].writes[0].call.op == "aten::mul_.Scalar");
}

TEST(contents_tell_every_change) {
  for (const auto& shape :
       std::vector<std::vector<int64_t>>{{1}, {7}, {64}, {5, 33}}) {
    const auto x = torch::randn(shape);
    const Content before(x);
    EXPECT(before == Content(x.clone()));
    const auto bytes = x.view({-1}).view(torch::kByte);
    const auto on_device = hash_on_device(bytes);
    for (int64_t i = 0; i < x.numel(); ++i) {
      auto y = x.clone();
      y.view({-1})[i].add_(1e-3);
      EXPECT(!(before == Content(y)));
      EXPECT(!on_device.equal(hash_on_device(y.view({-1}).view(torch::kByte))));
    }
    EXPECT(on_device.equal(hash_on_device(bytes.clone())));
  }
  const auto order = torch::arange(8.0);
  EXPECT(!(Content(order) == Content(order.flip(0))));
  EXPECT(!(Content(torch::zeros({64})) == Content(torch::full({64}, 5.0))));
  const auto odd = torch::arange(7, torch::kByte);
  EXPECT(!hash_on_device(odd).equal(hash_on_device(odd.flip(0))));
  const auto matrix = torch::randn({4, 6});
  EXPECT(Content(matrix.t()) == Content(matrix.t()));
  EXPECT(Content(torch::ones({1}).expand({5})) == Content(torch::ones({5})));
}

TEST(statistics_of_batch_norm_matter_in_eval_only) {
  const auto x = torch::randn({4, 2}, torch::requires_grad());
  for (const bool training : {true, false}) {
    const Doctor doctor{{.silent = true}};
    const auto mean = torch::zeros({2});
    const auto var = torch::ones({2});
    const auto run = [&](bool train) {
      return at::batch_norm(x, {}, {}, mean, var, train, 0.1, 1e-5, false);
    };
    const auto loss = run(training).square().sum();
    run(true);  // moves the statistics, not their versions
    EXPECT(diagnose({loss}).empty() == training);
  }
}

TEST(nothing_is_left_behind) {
  EXPECT(!is_spied());
  {
    const Doctor doctor{{.silent = true}};
    const Doctor inner;
    EXPECT(is_spied());
  }
  EXPECT(!is_spied());
  try {
    const Doctor doctor;
    throw std::runtime_error("mine");
  } catch (const std::runtime_error&) {
  }
  EXPECT(!is_spied());
  EXPECT(!c10::impl::tls_is_dispatch_key_included(kSpyKey));
}

TEST(a_write_that_throws_is_recorded_and_thrown) {
  const Doctor doctor;
  const auto x = torch::ones({3});
  EXPECT_THROWS(c10::Error, "must match", x.add_(torch::ones({2})));
  EXPECT(torch::equal(x, torch::ones({3})));
}

TEST(frozen_memory_is_not_written) {
  const auto x = torch::zeros({4, 4});
  {
    const Freeze freeze(x.select(1, 0));
    x.select(1, 1).add_(1);
    EXPECT_THROWS(c10::Error, "frozen", x.select(0, 1).add_(1));
    EXPECT_THROWS(c10::Error, "frozen", x.data().zero_());
    EXPECT(x.sum().item<double>() == 4);
  }
  x.add_(1);
  EXPECT_THROWS(c10::Error, "undefined", Freeze(Tensor()));
  EXPECT_THROWS(c10::Error, "memory", Freeze(x.to_sparse()));
}

TEST(threads_do_not_see_each_other) {
  const Doctor doctor;
  const auto y = vector().exp();
  std::thread([&] { y.detach().add_(1); }).join();
  const auto findings = diagnose({y.sum()});
  EXPECT(findings.size() == 1 && findings[0].writes.empty());
}

TEST(diagnose_refuses) {
  EXPECT_THROWS(c10::Error, "at least one tensor", diagnose({}));
  EXPECT_THROWS(c10::Error, "diagnose: tensor 0", diagnose({torch::ones({2})}));
}

TEST(names_of_leaves_are_told) {
  const auto w = vector();
  const auto loss = (w * w).sum();
  {
    const torch::NoGradGuard no_grad;
    w.mul_(2);
  }
  const auto findings = diagnose({loss}, {.params = {{"weight", w}}});
  EXPECT(findings.size() == 2 && findings[0].leaf == "weight");
  EXPECT(says(libgrad::to_text(findings), "the tensor is a leaf, weight"));
}
