/// libgrad/checkpoint/kept_by_name.h -- what a segment keeps because the
/// program gave it a name.

#pragma once

#include <libgrad/checkpoint/op_log.h>

#include <ATen/ops/as_strided.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace libgrad::detail {

using torch::autograd::SavedVariable;

/// True for what a transform of torch.func computes with.
inline bool is_transformed(const at::Tensor& tensor) {
  return tensor.key_set().has(c10::DispatchKey::FuncTorchBatched) ||
         tensor.key_set().has(c10::DispatchKey::FuncTorchGradWrapper);
}

/// A part of some memory, as a tensor shows it.
struct Geometry {
  at::ScalarType dtype;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  int64_t offset;
  bool operator==(const Geometry&) const = default;

  static Geometry of(const at::Tensor& tensor) {
    return {
        tensor.scalar_type(),
        tensor.sizes().vec(),
        tensor.strides().vec(),
        tensor.storage_offset()};
  }
};

/// Where a tensor lay that was saved for backward, until forward ends.
struct SavedAt {
  c10::weak_intrusive_ptr<c10::StorageImpl> memory;
  int64_t version;
  Geometry geometry;

  static std::optional<SavedAt> of(const at::Tensor& tensor) {
    if (!has_plain_memory(tensor)) {
      return std::nullopt;
    }
    const auto& impl = *tensor.unsafeGetTensorImpl();
    return SavedAt{
        c10::weak_intrusive_ptr<c10::StorageImpl>(
            impl.unsafe_storage().getWeakStorageImpl()),
        version_of(impl),
        Geometry::of(tensor)};
  }
};

/// What a segment keeps by name, once it has run.
class KeptByName {
 public:
  struct Tensor {
    std::string name;
    SavedVariable saved;
  };
  /// A result of a call: another value than tensors, or the places of those.
  struct Result {
    c10::IValue value;
    std::vector<size_t> tensors;
    bool is_list = false;
  };
  /// A tensor that was saved for backward, and is here, or looks into one.
  struct Source {
    size_t tensor;
    std::optional<Geometry> part;
  };

  std::vector<Tensor> tensors;
  /// What stands for a call, whose result is the `order`-th tensor that the
  /// function calls by a name that is kept.
  struct Call {
    CallId id;
    uint32_t order;
    std::vector<Result> results;
  };

  std::vector<Call> calls;
  std::map<size_t, Source> sources;  // of saved tensors, by their number

  /// The saved tensor `number`, if it is here; else undefined.
  at::Tensor find(size_t number) const {
    const auto found = sources.find(number);
    if (found == sources.end()) {
      return {};
    }
    const auto& [place, part] = found->second;
    const auto tensor = tensors[place].saved.unpack();
    const at::NoGradGuard no_grad;
    return part ? at::as_strided(
                      tensor, part->sizes, part->strides, part->offset)
                : tensor;
  }
};

}  // namespace libgrad::detail
