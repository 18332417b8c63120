#include <libgrad/python.h>

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Cube : torch::autograd::Function<Cube> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x) {
    ctx->save_for_backward({x});
    return x * x * x;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto x = ctx->get_saved_variables()[0];
    return {grads[0] * (3 * x * x).conj()};
  }
};

PYBIND11_MODULE(cube, m) {
  using namespace pybind11::literals;
  libgrad::def_function<Cube>(m, "cube", "x"_a);
}
