/// libgrad/function/kernel.h -- an operator made of a C++ function that reads
/// memory.

#pragma once

#include <libgrad/function/erased.h>

namespace libgrad::detail {

/// A kernel and its fake, with their arguments as IValues. Once the kernel is
/// an operator, `dispatch` calls the operator `op`.
struct ErasedKernel {
  std::vector<std::string> types;
  bool single;
  variable_list (*run)(Arguments);
  variable_list (*fake)(Arguments);  // null when there is none
  variable_list (*dispatch)(const ErasedKernel&, std::vector<at::IValue>);
  const void* op;
};

template <class>
struct KernelSignature;
template <class R, class... A>
struct KernelSignature<R (*)(A...)> {
  using Result = std::decay_t<R>;
  static_assert(
      std::is_same_v<Result, at::Tensor> ||
          std::is_same_v<Result, variable_list>,
      "def_kernel: a kernel returns at::Tensor or std::vector<at::Tensor>");

  /// `body` called with what `values` unpack to.
  template <auto body>
  static variable_list run(Arguments values) {
    return [&]<size_t... I>(std::index_sequence<I...>) {
      const std::tuple<stored_t<A>...> stored{
          unpack<stored_t<A>>(values[I])...};
      return to_list(body(declared<A>(pass<A>(std::get<I>(stored)))...));
    }(std::index_sequence_for<A...>());
  }

  static std::vector<at::IValue> pack_all(const stored_t<A>&... args) {
    return {pack<stored_t<A>>(args)...};
  }

  static std::vector<std::string> types() {
    return {schema_type<stored_t<A>>()...};
  }
};

template <auto kernel>
struct KernelOf {
  using Signature = KernelSignature<decltype(kernel)>;

  static ErasedKernel& erased() {
    static auto* erased = new ErasedKernel{
        Signature::types(),
        std::is_same_v<typename Signature::Result, at::Tensor>,
        &Signature::template run<kernel>,
        nullptr,
        nullptr,
        nullptr};
    return *erased;
  }
};

}  // namespace libgrad::detail
