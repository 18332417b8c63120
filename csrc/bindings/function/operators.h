/// bindings/function/operators.h -- a Function as an operator of the
/// dispatcher.
///
/// The kernel for autograd runs the Function itself, so that the dispatch keys
/// below (tracing, functionalization) see the operators of its forward and, in
/// a backward, those of its gradient.
///
/// Relies on (covered by tests/function/test_function_compile.py): torch.func
/// intercepts an operator at FuncTorchDynamicLayerFrontMode, before any other
/// dispatch key.

#pragma once

#include <libgrad/function/forward_mode.h>
#include <libgrad/function/kernel.h>

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/library.h>

#include <map>
#include <memory>

namespace libgrad::detail {

/// A Boxed function as a kernel of the dispatcher.
class BoxedKernel final : public c10::OperatorKernel {
 public:
  BoxedKernel(bool single, Boxed kernel)
      : single_(single),
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
  Boxed kernel_;
};

/// Defines the operator `space`::`name` with a schema, and adds kernels to it.
/// It replaces an operator of the same name that was defined here before.
class Operator {
 public:
  Operator(
      std::string space,
      std::string name,
      const std::string& schema,
      bool single)
      : space_(std::move(space)),
        name_(std::move(name)),
        single_(single) {
    static auto* libraries =
        new std::map<std::string, std::unique_ptr<torch::Library>>();
    auto& library = (*libraries)[space_ + "::" + name_];
    library.reset();
    library = std::make_unique<torch::Library>(
        torch::Library::FRAGMENT, space_, std::nullopt, __FILE__, __LINE__);
    library_ = library.get();
    library_->def(schema.c_str(), {at::Tag::pt2_compliant_tag});
  }

  void implement(c10::DispatchKey key, Boxed kernel) {
    library_->impl(
        name_.c_str(),
        torch::dispatch(
            key,
            torch::CppFunction::makeFromBoxedFunctor(
                std::make_unique<BoxedKernel>(single_, std::move(kernel)))));
  }

  void implement(c10::DispatchKey key, torch::CppFunction&& kernel) {
    library_->impl(name_.c_str(), torch::dispatch(key, std::move(kernel)));
  }

  c10::OperatorHandle handle() const {
    return c10::Dispatcher::singleton().findSchemaOrThrow(
        (space_ + "::" + name_).c_str(), "");
  }

 private:
  std::string space_;
  std::string name_;
  bool single_;
  torch::Library* library_;
};

/// Fn::apply with the properties that its operator's schema states: no input
/// changes unless the schema says so, and no output shares memory with an
/// unchanged input (such an output is cloned). A compiler relies on both. It
/// would replay an output that is a view as that view, without the gradient of
/// F.
class OperatorCall {
 public:
  OperatorCall(
      const Erased& function,
      Arguments values,
      const std::vector<int64_t>& mutated)
      : function_(function),
        values_(values),
        mutated_(mutated),
        inputs_(tensors_of(values)) {
    const auto places = tensor_places(values, mutated);
    for (size_t i = inputs_.size(); i-- > 0;) {
      if (std::find(places.begin(), places.end(), i) != places.end()) {
        inputs_.erase(inputs_.begin() + static_cast<ptrdiff_t>(i));
      }
    }
    for (const auto& input : inputs_) {
      versions_.push_back(version(input));
    }
  }

  variable_list operator()() const {
    auto outputs = with_advice(*function_.function, [&] {
      return apply(function_, values_, mutated_);
    });
    for (size_t i = 0; i < inputs_.size(); ++i) {
      TORCH_CHECK(
          version(inputs_[i]) == versions_[i],
          function_name(*function_.function),
          ": a compiler met an in-place Function (mark_dirty) that does not "
          "say so; name what it changes where it is defined: "
          "libgrad::mutates(\"x\")");
      for (auto& output : outputs) {
        if (output.has_storage() && inputs_[i].has_storage() &&
            output.is_alias_of(inputs_[i])) {
          output = output.clone();
        }
      }
    }
    return outputs;
  }

 private:
  static int64_t version(const at::Tensor& tensor) {
    return tensor.is_inference() ? 0 : tensor._version();
  }

  const Erased& function_;
  Arguments values_;
  const std::vector<int64_t>& mutated_;
  variable_list inputs_;  // the inputs that must not change
  std::vector<int64_t> versions_;
};

/// Adds the kernels of `function` to `op`; `transformed` runs it under
/// torch.func.
inline void define_operator(
    Operator op,
    const Erased& function,
    const std::vector<int64_t>& mutated,
    Boxed transformed) {
  op.implement(
      c10::DispatchKey::Autograd,
      [&function, mutated](std::vector<at::IValue> values) {
        return OperatorCall(function, values, mutated)();
      });
  op.implement(
      c10::DispatchKey::CompositeExplicitAutograd,
      [&function, mutated](std::vector<at::IValue> values) {
        at::AutoGradMode no_grad(false);
        return OperatorCall(function, values, mutated)();
      });
  op.implement(c10::DispatchKey::FuncTorchDynamicLayerFrontMode, transformed);
  function.transformed = std::move(transformed);
}

inline variable_list call_operator(
    const ErasedKernel& kernel, std::vector<at::IValue> values) {
  static_cast<const c10::OperatorHandle*>(kernel.op)->callBoxed(values);
  return kernel.single ? variable_list{values.at(0).toTensor()}
                       : values.at(0).toTensorVector();
}

/// Adds `kernel` to `op` for every device whose memory a kernel can read, its
/// fake for meta tensors, and an error for autograd.
inline void define_kernel(Operator op, ErasedKernel& kernel) {
  for (const auto device :
       {c10::DispatchKey::CPU,
        c10::DispatchKey::CUDA,
        c10::DispatchKey::XPU,
        c10::DispatchKey::MPS,
        c10::DispatchKey::PrivateUse1}) {
    op.implement(device, [&kernel](std::vector<at::IValue> values) {
      return kernel.run(values);
    });
  }
  const auto handle = op.handle();
  const auto name = toString(handle.operator_name());
  op.implement(
      c10::DispatchKey::Meta, [&kernel, name](std::vector<at::IValue> values) {
        TORCH_CHECK_NOT_IMPLEMENTED(
            kernel.fake != nullptr,
            name,
            ": a tensor without memory needs a fake, which makes an empty "
            "output of the right shape; define the kernel as "
            "libgrad::def_kernel<function, fake>");
        return kernel.fake(values);
      });
  op.implement(
      c10::DispatchKey::Autograd,
      torch::autograd::autogradNotImplementedFallback());
  kernel.op = new c10::OperatorHandle(handle);
  kernel.dispatch = &call_operator;
}

}  // namespace libgrad::detail
