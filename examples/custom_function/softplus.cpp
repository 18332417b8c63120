#include <libgrad/python.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// log(1 + exp(beta x)) / beta, which keeps x alone for backward.
struct Softplus : torch::autograd::Function<Softplus> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, double beta) {
    ctx->save_for_backward({x});
    ctx->saved_data["beta"] = beta;
    // exp(-|beta x|) cannot overflow
    return x.clamp_min(0) + (-beta * x.abs()).exp().log1p() / beta;
  }

  // One entry for each argument of forward: beta has no gradient.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    return {grads[0] * slope(ctx), Tensor()};
  }

  // LibTorch does not know this member; libgrad runs it in forward mode.
  static variable_list jvp(AutogradContext* ctx, variable_list tangents) {
    return {tangents[0] * slope(ctx)};
  }

 private:
  static Tensor slope(AutogradContext* ctx) {
    const auto x = ctx->get_saved_variables()[0];
    return (x * ctx->saved_data["beta"].toDouble()).sigmoid();
  }
};

PYBIND11_MODULE(softplus, m) {
  using namespace pybind11::literals;
  libgrad::def_function<Softplus>(
      m, "softplus", "x"_a, "beta"_a = 1.0, "log(1 + exp(beta x)) / beta");
}
