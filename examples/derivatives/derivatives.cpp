/// Jacobian, Hessian and Newton's method in a program without Python.

#include <libgrad/functional.h>

#include <torch/types.h>  // torch::tensor

#include <ATen/ops/linalg_solve.h>

#include <iomanip>
#include <iostream>

using at::Tensor;

/// From polar to Cartesian coordinates.
Tensor cartesian(const Tensor& polar) {
  const auto r = polar[0], angle = polar[1];
  return at::stack({r * angle.cos(), r * angle.sin()});
}

/// Rosenbrock's valley; its minimum is 0, at (1, ..., 1).
Tensor valley(const Tensor& x) {
  const auto head = x.narrow(0, 0, x.numel() - 1);
  const auto tail = x.narrow(0, 1, x.numel() - 1);
  return (100 * (tail - head * head).square() + (1 - head).square()).sum();
}

void print(const char* name, const Tensor& tensor) {
  std::cout << name << " =";
  for (const auto& number : tensor.flatten().unbind()) {
    std::cout << ' ' << number.item<double>() + 0.0;
  }
  std::cout << '\n';
}

int main() {
  std::cout << std::fixed << std::setprecision(4);
  const auto polar = torch::tensor({2.0, 0.5}, torch::kDouble);
  const auto jacobian = libgrad::jacobian(cartesian, polar);
  print("J    ", jacobian);
  print("det J", jacobian.det());  // the radius
  const auto v = torch::tensor({1.0, 0.0}, torch::kDouble);
  print("J v  ", libgrad::jvp(cartesian, polar, {.v = {v}}).product);
  print("v J  ", libgrad::vjp(cartesian, polar, {.v = {v}}).product);

  auto x = torch::tensor({-1.2, 1.0}, torch::kDouble);
  for (int step = 0;; ++step) {
    const auto [value, gradient] = libgrad::value_and_grad(valley, x);
    std::cout << "step " << step << "  f = " << value.item<double>() << '\n';
    if (gradient.norm().item<double>() < 1e-8 || step == 20) {
      break;
    }
    x = x - at::linalg_solve(libgrad::hessian(valley, x), gradient);
  }
  print("x    ", x);
}
