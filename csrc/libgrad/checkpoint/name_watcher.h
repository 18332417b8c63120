/// libgrad/checkpoint/name_watcher.h -- notes which tensors a segment is to
/// keep because the program names them.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/checkpoint/kept_by_name.h>
#include <libgrad/checkpoint/options.h>
#include <libgrad/hooks.h>
#include <libgrad/torch/saved/hooked_tensor.h>

#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>

namespace libgrad::detail {

/// Notes the tensors to keep while the function of a segment runs.
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
    if (!is_kept(options_, name)) {
      return;
    }
    const uint32_t order = order_++;
    check(tensor, name);
    auto call = log_.find(tensor);
    const void* const what = call ? static_cast<const void*>(call.get())
                                  : tensor.unsafeGetTensorImpl();
    if (known_.insert(what).second) {
      noted_.push_back(
          {std::string(name),
           tensor,
           version_of(*tensor.unsafeGetTensorImpl()),
           log_.writes(memory_of(tensor)),
           order,
           std::move(call)});
    }
  }

  /// Keeps the noted tensors, saved under the current hooks. `saved` are the
  /// tensors that the function saved for backward.
  KeptByName keep(const std::vector<std::optional<SavedAt>>& saved) {
    for (size_t i = 0; i < saved.size(); ++i) {
      if (saved[i]) {
        saved_.emplace(saved[i]->memory._unsafe_get_target(), i);
      }
    }
    KeptByName kept;
    for (const auto& noted : noted_) {
      TORCH_CHECK(
          version_of(*noted.tensor.unsafeGetTensorImpl()) == noted.version &&
              log_.writes(memory_of(noted.tensor)) == noted.writes,
          "checkpoint: the tensor named \"",
          noted.name,
          "\" (",
          describe(noted.tensor),
          ") was changed in place after libgrad.name, so what was to be kept "
          "is gone. Name it after the change, or change a clone");
      if (noted.call && log_.is_unchanged(*noted.call)) {
        keep_call(noted, saved, kept);
      } else {
        keep_tensor(noted, noted.tensor.detach(), saved, kept);
      }
    }
    return kept;
  }

 private:
  struct Noted {
    std::string name;
    at::Tensor tensor;
    int64_t version;
    uint32_t writes;
    uint32_t order;
    std::shared_ptr<const PureCall> call;  // null: cannot be skipped
  };

  static void check(const at::Tensor& tensor, std::string_view name) {
    TORCH_CHECK(
        !is_transformed(tensor),
        "checkpoint: the tensor named \"",
        name,
        "\" belongs to a transform of torch.func, such as vmap, inside of the "
        "function, and cannot be kept outside of it. Leave its name out of "
        "save and offload, or name it outside of the transform");
    TORCH_CHECK(
        !tensor.is_inference(),
        "checkpoint: the tensor named \"",
        name,
        "\" was made in inference mode, and cannot be saved for backward. "
        "Leave its name out of save and offload, or name a clone");
  }

  void keep_call(
      const Noted& noted,
      const std::vector<std::optional<SavedAt>>& saved,
      KeptByName& kept) {
    KeptByName::Call call{noted.call->id, noted.order, {}};
    const auto& counter = noted.tensor.unsafeGetTensorImpl()->version_counter();
    for (const auto& made : noted.call->results) {
      auto& result = call.results.emplace_back();
      for (const auto& plain : made.tensors) {
        const auto tensor = plain.make();
        if (plain.memory() == memory_of(noted.tensor)) {
          tensor.unsafeGetTensorImpl()->set_version_counter(counter);
        }
        result.tensors.push_back(keep_tensor(noted, tensor, saved, kept));
      }
      result.is_list = made.is_list;
      result.value = made.value;
    }
    kept.calls.push_back(std::move(call));
  }

  size_t keep_tensor(
      const Noted& noted,
      const at::Tensor& tensor,
      const std::vector<std::optional<SavedAt>>& saved,
      KeptByName& kept) const {
    const size_t place = kept.tensors.size();
    kept.tensors.push_back({noted.name, save(tensor, noted.name)});
    if (!has_plain_memory(tensor) || is_unpacked_once(kept.tensors[place])) {
      return place;
    }
    const auto where = Geometry::of(tensor);
    const bool is_packed = kept.tensors.back().saved.has_hooks();
    const auto [first, last] = saved_.equal_range(memory_of(tensor));
    for (auto found = first; found != last; ++found) {
      const size_t i = found->second;
      if (saved[i]->version != version_of(*tensor.unsafeGetTensorImpl())) {
        continue;
      }
      if (saved[i]->geometry == where) {
        kept.sources.try_emplace(i, place, std::nullopt);
      } else if (!is_packed && saved[i]->geometry.dtype == where.dtype) {
        kept.sources.try_emplace(i, place, saved[i]->geometry);
      }
    }
    return place;
  }

  /// True for a tensor that can be unpacked only once in a backward, because an
  /// outer checkpoint recomputes it, and for a tensor that other hooks than
  /// libgrad's packed.
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

  SavedVariable save(const at::Tensor& tensor, std::string_view name) const {
    const auto& offload = options_.offload;
    const bool respect = options_.respect_saved_tensors_hooks;
    if (std::find(offload.begin(), offload.end(), name) == offload.end()) {
      std::optional<NoHooks> none;
      if (!respect) {
        none.emplace();
      }
      return SavedVariable(tensor, false);
    }
    const SavedTensorHooks to_cpu(
        save_on_cpu(!tensor.is_cpu()), {.compose = respect});
    return SavedVariable(tensor, false);
  }

  const CheckpointOptions& options_;
  OpLog log_;
  uint32_t order_ = 0;
  std::vector<Noted> noted_;
  std::unordered_set<const void*> known_;  // calls and tensors in `noted_`
  std::unordered_multimap<const c10::StorageImpl*, size_t> saved_;
};

}  // namespace libgrad::detail
