/// The C++ side of `python -m libgrad demo` and of benchmarks/: a Function to
/// train with, and loops in C++ to compare calls from Python with.

#include "bindings/bindings.h"

#include <libgrad/functional.h>
#include <libgrad/python.h>

#include <ATen/ATen.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/profiler/orchestration/observer.h>

#include <algorithm>
#include <chrono>
#include <memory>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

namespace {

/// x * sigmoid(beta * x), which saves nothing but its input.
struct Swish : torch::autograd::Function<Swish> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double beta) {
    ctx->save_for_backward({x});
    ctx->saved_data["beta"] = beta;
    return x * at::sigmoid(beta * x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    const auto beta = ctx->saved_data["beta"].toDouble();
    const auto s = at::sigmoid(beta * x);
    const auto slope = s * (1 + beta * x * (1 - s));
    return {grads[0] * slope.conj(), Tensor()};
  }
};

/// x * x, whose call is measured.
struct Square : torch::autograd::Function<Square> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x;
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * ctx->get_saved_variables()[0] * 2};
  }
};

/// Seconds that `rounds` calls of `body` take, without the GIL.
template <class Body>
double seconds(int64_t rounds, const Body& body) {
  py::gil_scoped_release no_gil;
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < rounds; ++i) {
    body();
  }
  const std::chrono::duration<double> passed =
      std::chrono::steady_clock::now() - start;
  return passed.count();
}

/// Counts the bytes that LibTorch's allocators report, in the place of the
/// profiler. LibTorch also asks the object in that place for a configuration.
class MemoryCounter : public torch::profiler::impl::ProfilerStateBase {
 public:
  MemoryCounter()
      : ProfilerStateBase(
            torch::profiler::impl::ProfilerConfig(
                torch::profiler::impl::ProfilerState::Disabled)) {}
  bool memoryProfilingEnabled() const override { return true; }
  torch::profiler::impl::ActiveProfilerType profilerType() override {
    return torch::profiler::impl::ActiveProfilerType::NONE;
  }
  void reportMemoryUsage(
      void*, int64_t size, size_t, size_t, at::Device) override {
    now_ += size;
    peak_ = std::max(peak_, now_);
  }
  int64_t peak() const { return peak_; }
  void forget_peak() { peak_ = now_; }
  int64_t now() const { return now_; }

 private:
  int64_t now_ = 0;
  int64_t peak_ = 0;
};

int64_t peak_bytes(const py::function& function) {
  auto counter = std::make_shared<MemoryCounter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  function();
  return counter->peak();
}

int64_t freed_bytes(const py::function& make, const py::function& look) {
  auto counter = std::make_shared<MemoryCounter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  py::object made = make();
  look(made);
  const auto before = counter->now();
  made = py::none();
  return before - counter->now();
}

int64_t added_bytes(const py::function& make, const py::function& run) {
  auto counter = std::make_shared<MemoryCounter>();
  const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, counter);
  const py::object made = make();
  const auto before = counter->now();
  counter->forget_peak();
  run(made,
      py::cpp_function([counter, before] { return counter->now() - before; }));
  return counter->peak() - before;
}

double time_matrix(
    const Tensor& x, const Tensor& w, const Tensor& b, bool second, int64_t n) {
  const auto f = [&](const Tensor& t) {
    return (w.matmul(t) + b).tanh() * t.sin();
  };
  const auto sum = [&](const Tensor& t) { return f(t).sum(); };
  return seconds(
      n, [&] { second ? libgrad::hessian(sum, x) : libgrad::jacobian(f, x); });
}

}  // namespace

void bind_demo(py::module_& m) {
  auto demo = m.def_submodule("_demo", "For `python -m libgrad demo`.");
  libgrad::def_function<Swish>(
      demo, "swish", "x"_a, "beta"_a = 1.0, "x * sigmoid(beta * x)");
  libgrad::def_function<Square>(demo, "square", "x"_a, "x * x");
  demo.def(
      "time_square",
      wrap_pybind_function(
          [](const Tensor& x, const std::optional<Tensor>& seed, int64_t n) {
            return seconds(n, [&] {
              const auto y = Square::apply(x);
              if (seed) {
                torch::autograd::grad({y}, {x}, {*seed});
              }
            });
          }),
      "x"_a,
      "seed"_a,
      "rounds"_a,
      "Seconds that `rounds` calls of Square::apply take in C++; with a seed, "
      "each followed by the gradient.");
  demo.def(
      "time_matrix",
      wrap_pybind_function(time_matrix),
      "x"_a,
      "w"_a,
      "b"_a,
      "second"_a,
      "rounds"_a,
      "Seconds that `rounds` Jacobians of tanh(wx + b) sin(x), or Hessians of "
      "its sum, take in C++.");
  demo.def(
      "peak_bytes",
      wrap_pybind_function(peak_bytes),
      "function"_a,
      "The most bytes that tensors made while `function()` runs have at once.");
  demo.def(
      "freed_bytes",
      wrap_pybind_function(freed_bytes),
      "make"_a,
      "look"_a,
      "How many bytes tensors give back when what `make()` returned is "
      "dropped; `look` is called with it before.");
  demo.def(
      "added_bytes",
      wrap_pybind_function(added_bytes),
      "make"_a,
      "run"_a,
      "The most bytes that tensors have more while `run(made, now)` runs than "
      "before, when `made = make()`; `now()` is how many more there are.");
  demo.def(
      "time_grad",
      wrap_pybind_function(
          [](const variable_list& ys, const variable_list& xs, int64_t n) {
            return seconds(n, [&] { torch::autograd::grad(ys, xs, {}, true); });
          }),
      "outputs"_a,
      "inputs"_a,
      "rounds"_a,
      "Seconds that `rounds` calls of torch::autograd::grad take in C++.");
  demo.def(
      "time_backward",
      wrap_pybind_function([](const variable_list& ys, int64_t n) {
        return seconds(n, [&] { torch::autograd::backward(ys, {}, true); });
      }),
      "tensors"_a,
      "rounds"_a,
      "Seconds that `rounds` calls of torch::autograd::backward take in C++.");
}
