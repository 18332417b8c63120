/// libgrad/torch/saved/packed.h -- the value that hooks made of a saved tensor.

#pragma once

#include <c10/util/FunctionRef.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <functional>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace libgrad::detail {

/// A value that a pack hook returned, whatever its type.
class Packed {
 public:
  Packed() = default;
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
  virtual ~Packed() = default;
  /// Moves the tensor out of the value, if the value is a tensor or a pair of a
  /// tensor and something else; the caller keeps it then. Undefined for other
  /// values.
  virtual at::Tensor take_tensor() = 0;
  /// Waits until the data of the tensor that was taken out is complete, before
  /// other code reads it.
  virtual void finish() const {}
  /// The tensor that was packed; `taken` is the result of `take_tensor`. May be
  /// called many times, and by several threads.
  virtual at::Tensor unpack(const at::Tensor& taken) = 0;

  /// Called with each tensor that several values keep together.
  using KeptSink = c10::function_ref<void(
      const torch::autograd::SavedVariable& tensor,
      std::string_view name,  // empty for an argument
      size_t place)>;
  struct Shared {
    virtual ~Shared() = default;
    /// Passes each tensor to the sink.
    virtual void each_kept(const KeptSink& sink) const = 0;
  };
  virtual const Shared* shared() const { return nullptr; }
};

template <class Value>
inline constexpr bool kPairOfTensor = false;
template <class T>
inline constexpr bool kPairOfTensor<std::pair<at::Tensor, T>> = true;

/// True for a pair whose tensor is complete only after `second.finish()`.
template <class Value>
inline constexpr bool kUnderWay = false;

/// A value of type `Value`, and the unpack hook that takes it.
template <class Value, class Unpack>
class PackedAs : public Packed {
 public:
  PackedAs(Value value, std::shared_ptr<const Unpack> unpack)
      : value_(std::move(value)),
        unpack_(std::move(unpack)) {}

  at::Tensor take_tensor() override {
    if constexpr (std::is_same_v<Value, at::Tensor>) {
      return std::exchange(value_, {});
    } else if constexpr (kPairOfTensor<Value>) {
      return std::exchange(value_.first, {});
    } else {
      return {};
    }
  }

  void finish() const override {
    if constexpr (kUnderWay<Value>) {
      value_.second.finish();
    }
  }

  at::Tensor unpack(const at::Tensor& taken) override {
    if constexpr (std::is_same_v<Value, at::Tensor>) {
      return std::invoke(*unpack_, taken);
    } else if constexpr (kPairOfTensor<Value>) {
      return std::invoke(*unpack_, Value(taken, value_.second));
    } else {
      return std::invoke(*unpack_, std::as_const(value_));
    }
  }

 private:
  Value value_;
  std::shared_ptr<const Unpack> unpack_;
};

/// A pack hook of any kind.
using Pack = std::function<std::unique_ptr<Packed>(const at::Tensor&)>;

/// `pack` and `unpack` as one hook.
template <class F, class G>
Pack join(F pack, G unpack) {
  using Value = std::decay_t<std::invoke_result_t<const F&, const at::Tensor&>>;
  static_assert(
      std::is_invocable_r_v<at::Tensor, const G&, const Value&>,
      "unpack must take what pack returns, and return a tensor");
  return [pack = std::move(pack),
          unpack = std::make_shared<const G>(std::move(unpack))](
             const at::Tensor& tensor) -> std::unique_ptr<Packed> {
    return std::make_unique<PackedAs<Value, G>>(
        std::invoke(pack, tensor), unpack);
  };
}

}  // namespace libgrad::detail
