#include <libgrad/libgrad.h>

#include <torch/types.h>  // torch::tensor

#include <iostream>

int main() {
  auto x = torch::tensor(3.0, torch::requires_grad());
  auto y = x * x;
  std::cout << libgrad::to_text(y, {.params = {{"x", x}}});

  auto dy = libgrad::grad({y}, {x}, {.create_graph = true})[0];
  auto ddy = libgrad::grad({dy}, {x})[0];
  std::cout << "y   = " << y.item<double>() << '\n'
            << "y'  = " << dy.item<double>() << '\n'
            << "y'' = " << ddy.item<double>() << '\n';
}
