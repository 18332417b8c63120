/// What def_function does not compile, for tests/package/test_cpp.py.

#include <libgrad/python.h>
using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct Hidden : torch::autograd::Function<Hidden> {
  static Tensor forward(AutogradContext*, std::vector<std::optional<Tensor>>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Mapped : torch::autograd::Function<Mapped> {
  static Tensor forward(AutogradContext*, std::map<std::string, Tensor>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Bools : torch::autograd::Function<Bools> {
  static Tensor forward(AutogradContext*, const Tensor&, at::ArrayRef<bool>);
  static variable_list backward(AutogradContext*, variable_list);
};
struct Overloaded : torch::autograd::Function<Overloaded> {
  static Tensor forward(AutogradContext*, const Tensor&);
  static Tensor forward(AutogradContext*, double);
  static variable_list backward(AutogradContext*, variable_list);
};
void define(pybind11::module_& m) {
  libgrad::def_function<Hidden>(m, "hidden");
  libgrad::def_function<Mapped>(m, "mapped");
  libgrad::def_function<Bools>(m, "bools");
  libgrad::def_function<Overloaded>(m, "overloaded");
}
