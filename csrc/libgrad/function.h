/// libgrad/function.h -- what torch::autograd::Function lacks: forward mode,
/// and kernels that a transform or a compiler can look through.
///
/// A Function is LibTorch's own torch::autograd::Function. It may have two
/// members that LibTorch does not know. `jvp` computes the tangents of the
/// outputs; without it they are derived from backward. `vmap` computes the
/// outputs for a batch; without it each operator is batched by itself:
///
///     static variable_list jvp(AutogradContext*, variable_list tangents);
///     static std::pair<Tensor, libgrad::Dims> vmap(
///         const libgrad::VmapInfo&, const libgrad::Dims& in_dims,
///         /* the arguments of forward */);
///
/// `tangents` holds one tensor for each argument, in the order of what backward
/// returns: zeros for a tensor without a tangent (undefined after
/// ctx->set_materialize_grads(false)), undefined for an argument that is no
/// tensor. `in_dims` has one entry for each argument that can be a tensor, and
/// one for each element of a list. Autograd differentiates the body of `vmap`
/// operator by operator.

#pragma once

#include <libgrad/function/forward_mode.h>
#include <libgrad/function/kernel.h>

namespace libgrad {

/// `Fn::apply(args...)` that also accepts dual tensors. The tangents of the
/// outputs come from `Fn::jvp` where there is one, else from the derivative of
/// backward, which must then consist of differentiable operators (the cost is
/// one forward and two backwards).
///
///     auto level = torch::autograd::forward_ad::enter_dual_level();
///     auto y = libgrad::apply<Cube>(at::_make_dual(x, tangent, level));
///     auto dy = y._fw_grad(level);
///     torch::autograd::forward_ad::exit_dual_level(level);
///
/// Also works under torch.func once def_function<Fn> (<libgrad/python.h>) has
/// bound `Fn`. A `backward` that calls another Function calls it like this.
///
/// Throws NotImplementedError when the tangents cannot be computed.
/// Source: J t = d<backward(u), t>/du, J. Townsend, "A new trick for
/// calculating Jacobian vector products", 2017.
template <class Fn, class... Args>
detail::result_t<Fn> apply(const Args&... args) {
  return [&]<class... Declared>(std::tuple<Declared...>*) {
    auto outputs = detail::apply(
        detail::erase<Fn>(),
        std::vector<at::IValue>{detail::pack<detail::stored_t<Declared>>(
            detail::stored_t<Declared>(args))...},
        {});
    if constexpr (std::is_same_v<detail::result_t<Fn>, at::Tensor>) {
      return std::move(outputs.at(0));
    } else {
      return outputs;
    }
  }(static_cast<detail::args_t<Fn>*>(nullptr));
}

/// `function(args...)`, called as the operator that def_kernel
/// (<libgrad/python.h>) made of it. A kernel that reads memory (data_ptr) is
/// called like this from `forward`, `backward` and `jvp`. Under vmap it then
/// runs once for each element, and torch.compile treats it as one operator.
///
///     Tensor square_cpu(const Tensor& x);  // reads x.data_ptr<float>()
///
///     static Tensor forward(AutogradContext* ctx, const Tensor& x) {
///       ctx->save_for_backward({x});
///       return libgrad::kernel<square_cpu>(x);
///     }
template <auto function, class... Args>
auto kernel(const Args&... args) {
  using Kernel = detail::KernelOf<function>;
  const auto& erased = Kernel::erased();
  TORCH_CHECK(
      erased.dispatch != nullptr,
      "kernel: this function is no operator yet; define it in the module: "
      "libgrad::def_kernel<function, fake>(m, \"name\")");
  auto outputs = erased.dispatch(erased, Kernel::Signature::pack_all(args...));
  if constexpr (
      std::is_same_v<typename Kernel::Signature::Result, at::Tensor>) {
    return std::move(outputs.at(0));
  } else {
    return outputs;
  }
}

}  // namespace libgrad
