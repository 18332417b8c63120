/// libgrad/checkpoint/kept_by_name.h -- the tensors that a segment keeps
/// because the program named them.

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

/// True for a tensor that a transform of torch.func wraps.
inline bool is_transformed(const at::Tensor& tensor) {
  return tensor.key_set().has(c10::DispatchKey::FuncTorchBatched) ||
         tensor.key_set().has(c10::DispatchKey::FuncTorchGradWrapper);
}

/// How a tensor views its storage.
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

/// The storage, version and geometry of a tensor that was saved for backward.
/// Needed until forward ends.
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

/// What a segment keeps by name after forward.
class KeptByName {
 public:
  struct Tensor {
    std::string name;
    SavedVariable saved;
  };
  /// A result of a call: indices into `tensors`, or a value that is no tensor.
  struct Result {
    c10::IValue value;
    std::vector<size_t> tensors;
    bool is_list = false;
  };
  /// How to get a tensor that was saved for backward: it is `tensors[tensor]`,
  /// or the view `part` of it.
  struct Source {
    size_t tensor;
    std::optional<Geometry> part;
  };

  std::vector<Tensor> tensors;
  /// A call that the rerun skips. `order` is the index of the `libgrad::name`
  /// call that named its result, among those with a name to keep.
  struct Call {
    CallId id;
    uint32_t order;
    std::vector<Result> results;
  };

  std::vector<Call> calls;
  std::map<size_t, Source> sources;  // by index of the saved tensor

  /// The saved tensor `number` if it is kept; else undefined.
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
