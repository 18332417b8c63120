/// libgrad/detail/names.h -- notes what a segment is to keep because the
/// program gives it a name, and supplies it when the segment runs again.

#pragma once

#include <libgrad/detail/checkpoint_options.h>
#include <libgrad/detail/describe.h>
#include <libgrad/detail/hooked_tensor.h>
#include <libgrad/detail/kept_by_name.h>
#include <libgrad/hooks.h>

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>
#include <string>

namespace libgrad::detail {

/// Notes, while the function of a segment runs, what it is to keep.
class NameWatcher final : public OpWatcher {
 public:
  NameWatcher(
      const CheckpointOptions& options, const std::vector<c10::Device>& devices)
      : options_(options),
        log_(devices) {}

  void before(const c10::OperatorHandle& op, const Stack& stack) override {
    log_.before(op, stack);
  }
  bool supply(const c10::OperatorHandle&, Stack&) override { return false; }
  void after(const c10::OperatorHandle& op, const Stack& stack) override {
    log_.after(op, stack);
  }

  void named(const at::Tensor& tensor, std::string_view name) override {
    const bool offload = is_in(options_.offload, name);
    if (!offload && !is_in(options_.save, name)) {
      return;
    }
    TORCH_CHECK(
        !is_transformed(tensor),
        "checkpoint: the tensor named \"",
        name,
        "\" belongs to a transform of torch.func, such as vmap, inside of the "
        "function, and cannot be kept outside of it. Leave its name out of "
        "save and offload, or name it outside of the transform");
    const auto* const call = log_.find(tensor);
    const bool is_known =
        std::any_of(noted_.begin(), noted_.end(), [&](const Noted& other) {
          return call ? other.call && other.call->id.is_same_place(call->id)
                      : other.tensor.is_same(tensor);
        });
    if (!is_known) {
      noted_.push_back(
          {std::string(name),
           tensor,
           version_of(*tensor.unsafeGetTensorImpl()),
           offload,
           call ? std::optional(*call) : std::nullopt});
    }
  }

  /// Keeps what was noted, under the hooks that are there now; `saved` is what
  /// the function saved for backward.
  KeptByName keep(const std::vector<std::optional<SavedAt>>& saved) {
    KeptByName kept;
    for (const auto& noted : noted_) {
      TORCH_CHECK(
          version_of(*noted.tensor.unsafeGetTensorImpl()) == noted.version,
          "checkpoint: the tensor named \"",
          noted.name,
          "\" (",
          describe(noted.tensor),
          ") was changed in place after libgrad.name, so what was to be kept "
          "is gone. Name it after the change, or change a clone");
      if (noted.call) {
        keep_call(noted, saved, kept);
      } else {
        keep_tensor(noted, noted.tensor, saved, kept);
      }
    }
    return kept;
  }

 private:
  struct Noted {
    std::string name;
    at::Tensor tensor;
    int64_t version;
    bool offload;
    std::optional<PureCall> call;  // that made it, if it can be left out
  };

  static bool is_in(
      const std::vector<std::string>& names, std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  }

  static void keep_call(
      const Noted& noted,
      const std::vector<std::optional<SavedAt>>& saved,
      KeptByName& kept) {
    auto& results =
        kept.calls
            .emplace_back(noted.call->id, std::vector<KeptByName::Result>())
            .second;
    for (const auto& value : noted.call->results) {
      auto& result = results.emplace_back();
      each_defined(value, [&](const at::Tensor& tensor) {
        result.tensors.push_back(keep_tensor(noted, tensor, saved, kept));
      });
      result.is_list = value.isList();
      if (result.tensors.empty()) {
        result.value = value;
      }
    }
  }

  static size_t keep_tensor(
      const Noted& noted,
      const at::Tensor& tensor,
      const std::vector<std::optional<SavedAt>>& saved,
      KeptByName& kept) {
    const size_t place = kept.tensors.size();
    kept.tensors.push_back({noted.name, save(tensor.detach(), noted.offload)});
    if (!SavedAt::is_plain(tensor) || is_unpacked_once(kept.tensors[place])) {
      return place;
    }
    const auto where = Geometry::of(tensor);
    const bool is_packed = kept.tensors.back().saved.has_hooks();
    for (size_t i = 0; i < saved.size(); ++i) {
      if (saved[i] &&
          saved[i]->memory._unsafe_get_target() == memory_of(tensor) &&
          saved[i]->version == version_of(*tensor.unsafeGetTensorImpl())) {
        if (saved[i]->geometry == where) {
          kept.sources.try_emplace(i, place, std::nullopt);
        } else if (!is_packed && saved[i]->geometry.dtype == where.dtype) {
          kept.sources.try_emplace(i, place, saved[i]->geometry);
        }
      }
    }
    return place;
  }

  /// True for a tensor that a checkpoint around computes again, which gives it
  /// once in a backward; and for one that somebody's hooks packed.
  static bool is_unpacked_once(const KeptByName::Tensor& tensor) {
    const auto* saved = &tensor.saved;
    while (saved != nullptr && saved->has_hooks()) {
      const auto* const hooked = dynamic_cast<const HookedTensor*>(
          ((*saved).*member(SavedHooks())).get());
      if (hooked == nullptr || hooked->shared() != nullptr) {
        return true;
      }
      saved = hooked->kept();
    }
    return false;
  }

  static SavedVariable save(const at::Tensor& tensor, bool offload) {
    if (!offload) {
      return SavedVariable(tensor, false);
    }
    const SavedTensorHooks to_cpu(
        offload_to_cpu(!tensor.is_cpu()), {.compose = true});
    return SavedVariable(tensor, false);
  }

  const CheckpointOptions& options_;
  OpLog log_;
  std::vector<Noted> noted_;
};

/// Supplies what was kept, while the function runs again.
class NameReplay final : public OpWatcher {
 public:
  NameReplay(const KeptByName& kept, Refuse refuse)
      : kept_(kept),
        refuse_(refuse) {}

  void before(const c10::OperatorHandle& op, const Stack& stack) override {
    current_ = counter_.next(op, stack);
  }

  bool supply(const c10::OperatorHandle& op, Stack& stack) override {
    const auto found = std::find_if(
        kept_.calls.begin(), kept_.calls.end(), [this](const auto& call) {
          return call.first.is_same_place(current_);
        });
    if (found == kept_.calls.end()) {
      return false;
    }
    if (found->first.shapes != current_.shapes) {
      refuse_(
          "checkpoint: the function did not do the same again: call " +
          std::to_string(current_.number) + " of " + op.schema().name() +
          ", whose result was kept by name, takes tensors of other shapes or "
          "dtypes than in forward");
    }
    torch::jit::drop(stack, op.schema().arguments().size());
    for (const auto& result : found->second) {
      stack.push_back(value_of(result));
    }
    return true;
  }

  void after(const c10::OperatorHandle&, const Stack&) override {}
  void named(const at::Tensor&, std::string_view) override {}

 private:
  c10::IValue value_of(const KeptByName::Result& result) const {
    const at::AutoDispatchBelowADInplaceOrView below;  // as the kernel is
    std::vector<at::Tensor> tensors;
    for (const size_t place : result.tensors) {
      tensors.push_back(kept_.tensors[place].saved.unpack().detach());
    }
    return result.is_list && !tensors.empty() ? c10::IValue(tensors)
           : tensors.empty()                  ? result.value
                                              : c10::IValue(tensors[0]);
  }

  const KeptByName& kept_;
  const Refuse refuse_;
  CallCounter counter_;
  CallId current_;
};

}  // namespace libgrad::detail
