/// libgrad/torch/transforms/functorch.h -- one run of code for a batch of
/// tensors.
///
/// This is the vmap of torch.func, entered from C++. Its batching rules cover
/// more operators than those of the older vmap in
/// <libgrad/torch/transforms/vmap.h>.
///
/// Relies on (covered by tests/cpp/torch/test_functorch.cpp):
/// - initAndPushDynamicLayer(Vmap, size, randomness) opens a level, which
///   popDynamicLayerAndDeleteMetadata closes;
/// - makeBatched(t, 0, level) hides the first dimension of `t`;
/// - the batching rules are kernels of the dispatch key FuncTorchBatched, which
///   the tensors of a level carry. With a single level the dispatcher finds the
///   rules without functorch's interpreter, which
///   FuncTorchDynamicLayerFrontMode calls before each operator and
///   FuncTorchDynamicLayerBackMode after it;
/// - unwrapTensorAtLevel returns the tensor under a result and its batch
///   dimension, also after the level was closed;
/// - Interpreter.h needs no more of <nlohmann/json.hpp> than libgrad's own has.

#pragma once

#include <torch/csrc/autograd/variable.h>

#include <ATen/Functions.h>
#include <ATen/functorch/DynamicLayer.h>

#include <cstdint>
#include <optional>
#include <tuple>

// Declared as in <ATen/functorch/BatchedTensorImpl.h> and PlumbingHelper.h,
// which do not compile after a header that includes that of the older vmap.
namespace at::functorch {
TORCH_API Tensor makeBatched(Tensor tensor, int64_t dim, int64_t level);
TORCH_API std::tuple<Tensor, std::optional<int64_t>> unwrapTensorAtLevel(
    const Tensor& tensor, int64_t level);
}  // namespace at::functorch

namespace libgrad::detail {

/// How operators find their batching rules.
enum class Route {
  /// By functorch's interpreter, as under torch.func. Transforms may nest.
  interpreter,
  /// By the dispatcher alone, in half the time for small tensors. A transform
  /// inside throws, as does code that asks functorch whether there is one.
  direct,
};

/// A level of functorch's vmap, for as long as this object lives. Random
/// numbers are drawn once for the whole batch, as for a single tensor of it.
class FunctorchLevel {
 public:
  explicit FunctorchLevel(int64_t batch_size, Route route = Route::interpreter)
      : level_(
            at::functorch::initAndPushDynamicLayer(
                at::functorch::TransformType::Vmap,
                c10::SymInt(batch_size),
                at::functorch::RandomnessType::Same)) {
    if (route == Route::direct) {
      no_interpreter_.emplace(
          c10::DispatchKeySet(
              {c10::DispatchKey::FuncTorchDynamicLayerFrontMode,
               c10::DispatchKey::FuncTorchDynamicLayerBackMode}));
    }
  }
  FunctorchLevel(const FunctorchLevel&) = delete;
  FunctorchLevel& operator=(const FunctorchLevel&) = delete;
  ~FunctorchLevel() {
    no_interpreter_.reset();
    at::functorch::popDynamicLayerAndDeleteMetadata();
  }

  /// `batch` with its first dimension hidden.
  at::Tensor enter(const at::Tensor& batch) const {
    return at::functorch::makeBatched(batch, int64_t{0}, level_);
  }

  int64_t number() const { return level_; }

 private:
  int64_t level_;
  std::optional<c10::impl::ExcludeDispatchKeyGuard> no_interpreter_;
};

/// The batch of `batch_size` tensors under a result of `level`, with the batch
/// dimension first.
inline at::Tensor unbatched(
    const at::Tensor& tensor, int64_t level, int64_t batch_size) {
  const auto [value, place] = at::functorch::unwrapTensorAtLevel(tensor, level);
  if (place) {
    switch (*place) {
      case 0:
        return value;
      case 1:
        return value.transpose(0, 1);  // the cheapest view that does it
      default:
        return value.movedim(*place, 0);
    }
  }
  auto shape = value.sizes().vec();
  shape.insert(shape.begin(), batch_size);
  // a copy, since a backward may have saved the memory of `value`
  return value.expand(shape).clone(at::MemoryFormat::Contiguous);
}

/// Calls `run` once for all of `batches`, each a batch of `batch_size` tensors.
template <class Run>
torch::autograd::variable_list run_mapped(
    int64_t batch_size,
    const torch::autograd::variable_list& batches,
    const Run& run,
    Route route = Route::interpreter) {
  torch::autograd::variable_list results;
  int64_t number = 0;
  {
    const FunctorchLevel level(batch_size, route);
    number = level.number();
    torch::autograd::variable_list entered;
    entered.reserve(batches.size());
    for (const auto& batch : batches) {
      entered.push_back(level.enter(batch));
    }
    results = run(entered);
  }
  for (auto& result : results) {
    if (result.defined()) {
      result = unbatched(result, number, batch_size);
    }
  }
  return results;
}

}  // namespace libgrad::detail
