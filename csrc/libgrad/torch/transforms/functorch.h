/// libgrad/torch/transforms/functorch.h -- one run of code for a batch of
/// tensors.
///
/// This is the vmap of torch.func, entered from C++. Its batching rules reach
/// further than those of the older vmap in <libgrad/torch/transforms/vmap.h>.
///
/// Relies on (covered by tests/cpp/torch/test_functorch.cpp):
/// - initAndPushDynamicLayer(Vmap, size, randomness) gives a level, which
///   popDynamicLayerAndDeleteMetadata ends;
/// - makeBatched(t, 0, level) hides the first dimension of `t`;
/// - the batching rules are kernels of the key FuncTorchBatched, which tensors
/// of
///   a level bring along: with a single level they are found without
///   functorch's interpreter, which FuncTorchDynamicLayerFrontMode and
///   -BackMode call before and after each;
/// - unwrapTensorAtLevel gives what is behind a result and where its batch is,
///   also after the level has ended;
/// - Interpreter.h asks of <nlohmann/json.hpp> no more than ours has.

#pragma once

#include <torch/csrc/autograd/variable.h>

#include <ATen/Functions.h>
#include <ATen/functorch/DynamicLayer.h>

#include <cstdint>
#include <optional>
#include <tuple>

// As <ATen/functorch/BatchedTensorImpl.h> and PlumbingHelper.h have them, which
// do not compile behind a header that includes the older vmap's.
namespace at::functorch {
TORCH_API Tensor makeBatched(Tensor tensor, int64_t dim, int64_t level);
TORCH_API std::tuple<Tensor, std::optional<int64_t>> unwrapTensorAtLevel(
    const Tensor& tensor, int64_t level);
}  // namespace at::functorch

namespace libgrad::detail {

/// How operators find their batching rules.
enum class Route {
  /// By functorch's interpreter, as under torch.func: transforms may nest.
  interpreter,
  /// Directly, in half the time for small tensors. Transforms inside, and what
  /// asks functorch whether there are some, throw.
  direct,
};

/// A level of functorch's vmap, for as long as this object lives. What is
/// random is drawn once for the whole batch, as for one tensor of it.
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

  /// `batch` as one tensor of it.
  at::Tensor enter(const at::Tensor& batch) const {
    return at::functorch::makeBatched(batch, int64_t{0}, level_);
  }

  int64_t number() const { return level_; }

 private:
  int64_t level_;
  std::optional<c10::impl::ExcludeDispatchKeyGuard> no_interpreter_;
};

/// The batch behind a tensor that comes from `level`, of `batch_size`; the
/// batch is its first dimension.
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
  // of its own: `value` may be memory that a backward has saved
  return value.expand(shape).clone(at::MemoryFormat::Contiguous);
}

/// Calls `run` once for all of `batches`, each of `batch_size` tensors.
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
