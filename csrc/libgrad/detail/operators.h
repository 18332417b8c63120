/// libgrad/detail/operators.h -- a Function as an operator of the dispatcher.
///
/// The kernel for autograd runs the Function itself, so that what lies below
/// (tracing, functionalization) meets the operators of its forward and, in
/// backward, those of its own gradient.
///
/// Relies on (covered by tests/test_function_compile.py): torch.func takes an
/// operator at FuncTorchDynamicLayerFrontMode before anything else does.

#pragma once

#include <libgrad/detail/forward_mode.h>
#include <libgrad/detail/pieces.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <functional>
#include <map>
#include <memory>

namespace libgrad::detail {

using Kernel = std::function<variable_list(std::vector<at::IValue>)>;

/// `kernel` as the dispatcher calls it.
class BoxedKernel final : public c10::OperatorKernel {
 public:
  BoxedKernel(const Erased& function, Kernel kernel)
      : single_(function.single),
        kernel_(std::move(kernel)) {}

  void operator()(
      const c10::OperatorHandle& op,
      c10::DispatchKeySet,
      torch::jit::Stack* stack) const {
    const auto count = op.schema().arguments().size();
    auto outputs = kernel_(torch::jit::pop(*stack, count));
    if (single_) {
      torch::jit::push(*stack, std::move(outputs.at(0)));
    } else {
      torch::jit::push(*stack, c10::List<at::Tensor>(at::TensorList(outputs)));
    }
  }

 private:
  bool single_;
  Kernel kernel_;
};

/// Defines `space`::`name` as `schema`; an operator of that name which was
/// defined here before gives way. `transformed` runs it under torch.func.
inline void define_operator(
    const Erased& function,
    const std::vector<int64_t>& mutated,
    const std::string& space,
    const std::string& name,
    const std::string& schema,
    Kernel transformed) {
  static auto* libraries =
      new std::map<std::string, std::unique_ptr<torch::Library>>();
  auto& library = (*libraries)[space + "::" + name];
  library.reset();
  library = std::make_unique<torch::Library>(
      torch::Library::FRAGMENT, space, std::nullopt, __FILE__, __LINE__);
  library->def(schema.c_str(), {at::Tag::pt2_compliant_tag});
  const auto implement = [&](c10::DispatchKey key, Kernel kernel) {
    library->impl(
        name.c_str(),
        torch::dispatch(
            key,
            torch::CppFunction::makeFromBoxedFunctor(
                std::make_unique<BoxedKernel>(function, std::move(kernel)))));
  };
  implement(
      c10::DispatchKey::Autograd,
      [&function, mutated](std::vector<at::IValue> values) {
        return apply(function, values, mutated);
      });
  implement(
      c10::DispatchKey::CompositeExplicitAutograd,
      [&function](std::vector<at::IValue> values) {
        return forward(function, values, tensors_of(values)).outputs;
      });
  implement(
      c10::DispatchKey::FuncTorchDynamicLayerFrontMode, std::move(transformed));
}

}  // namespace libgrad::detail
