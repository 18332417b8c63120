/// libgrad/hooks.h -- hooks on tensors that are saved for backward, and on
/// gradients.

#pragma once

#include <libgrad/gradient_hooks.h>
#include <libgrad/hooks/disk.h>
#include <libgrad/hooks/options.h>
#include <libgrad/hooks/pinned_copy.h>
#include <libgrad/torch/saved/hook_engine.h>

#include <filesystem>
#include <optional>

namespace libgrad {

/// Packs the tensors that this thread, and threads that work for it, save for
/// backward while this object lives. Works in a process without Python, too.
///
///     libgrad::SavedTensorHooks guard{
///         [](const at::Tensor& t) { return t.to(at::kHalf); },
///         [](const at::Tensor& t) { return t.to(at::kFloat); }};
///
/// Of nested hooks, Python's among them, the innermost are used. To be
/// destroyed by the thread that made it, the innermost first. Throws where
/// torch refuses hooks, with torch's message.
///
/// Source: torch.autograd.graph.saved_tensors_hooks.
class SavedTensorHooks {
 public:
  template <class Pack, class Unpack>
  SavedTensorHooks(
      Pack pack, Unpack unpack, SavedTensorHooksOptions options = {})
      : SavedTensorHooks(
            PackHooks(std::move(pack), std::move(unpack)), std::move(options)) {
  }

  explicit SavedTensorHooks(
      PackHooks hooks, SavedTensorHooksOptions options = {}) {
    detail::HookEngine::install();
    if (options.only) {
      ops_.emplace();
    }
    pushed_.emplace(detail::make_hooks(std::move(hooks), std::move(options)));
  }
  SavedTensorHooks(const SavedTensorHooks&) = delete;
  SavedTensorHooks& operator=(const SavedTensorHooks&) = delete;

 private:
  std::optional<detail::CurrentOpScope> ops_;
  std::optional<detail::PushedHooks> pushed_;
};

/// Hooks that keep floating-point tensors in `dtype`, if that is smaller:
/// kBFloat16 and kHalf take half the memory, and give gradients of that
/// precision.
///
///     libgrad::SavedTensorHooks guard{libgrad::compress(at::kBFloat16)};
inline PackHooks compress(at::ScalarType dtype) {
  TORCH_CHECK(
      at::isFloatingType(dtype),
      "compress: dtype must be one of floating point, such as kBFloat16, but "
      "is ",
      dtype);
  using Compressed = std::pair<at::Tensor, at::ScalarType>;
  return {
      [dtype](const at::Tensor& tensor) -> Compressed {
        const bool smaller = at::isFloatingType(tensor.scalar_type()) &&
                             tensor.itemsize() > c10::elementSize(dtype);
        return {smaller ? tensor.to(dtype) : tensor, tensor.scalar_type()};
      },
      [](const Compressed& packed) {
        const auto& [tensor, before] = packed;
        return tensor.scalar_type() == before ? tensor : tensor.to(before);
      }};
}

/// Hooks that keep tensors in the memory of the host. Without `pin_memory`,
/// tensors of the CPU stay as they are.
///
/// With `pin_memory`, tensors are copied into pinned memory by a side stream,
/// one for each device, while the program and its current stream go on. In
/// backward the current stream waits for the copies back. Without an
/// accelerator the tensors are copied all the same.
///
/// A tensor that the side stream copies must not be changed in place before
/// backward, which throws c10::Error then, as without hooks. Its memory on the
/// device is free for others once it is copied. While a graph of the device is
/// captured, and for memory that is not of the device's own allocator, the
/// current stream copies, and the host does not wait either.
///
/// Source: torch.autograd.graph.save_on_cpu.
inline PackHooks save_on_cpu(bool pin_memory = false) {
  if (pin_memory) {
    return {detail::copy_to_pinned, detail::copy_back};
  }
  using Offloaded = std::pair<at::Tensor, at::Device>;
  return {
      [](const at::Tensor& tensor) -> Offloaded {
        return {tensor.cpu(), tensor.device()};
      },
      [](const Offloaded& packed) {
        return packed.first.to(packed.second, packed.first.scalar_type());
      }};
}

/// Hooks that keep tensors in a file in the folder `path`: for graphs that are
/// larger than the memory. The file has no name, so it is gone once the graph
/// is, or once the process has ended, however it ends. Sparse, nested and
/// quantized tensors, those of subclasses and those without elements stay as
/// they are.
///
/// Throws c10::Error when `path` is not a folder that can be written to. An
/// operator that saves a tensor throws c10::Error when there is no more room;
/// nothing that was saved before is lost.
inline PackHooks save_on_disk(const std::filesystem::path& path) {
  const auto files = std::make_shared<detail::PageFiles>(path.string());
  return {
      [files](const at::Tensor& tensor) {
        return detail::PagedTensor(files->get(), tensor);
      },
      [](const detail::PagedTensor& paged) { return paged.read(); }};
}

/// The former name of `save_on_cpu`.
[[deprecated("use libgrad::save_on_cpu")]]
inline PackHooks offload_to_cpu(bool pin_memory = false) {
  return save_on_cpu(pin_memory);
}

/// The former name of `save_on_disk`.
[[deprecated("use libgrad::save_on_disk")]]
inline PackHooks offload_to_disk(const std::filesystem::path& path) {
  return save_on_disk(path);
}

}  // namespace libgrad
