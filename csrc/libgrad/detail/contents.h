/// libgrad/detail/contents.h -- what is in a tensor, as a number to compare.

#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <cstring>

namespace libgrad::detail {

/// A hash of `size` bytes: two products of 64 by 64 bits for every 32 bytes,
/// each of which depends on what came before.
inline uint64_t hash_bytes(const void* data, size_t size) {
  constexpr uint64_t kKeys[4] = {
      0x9e3779b97f4a7c15,
      0xbf58476d1ce4e5b9,
      0x94d049bb133111eb,
      0xd6e8feb86659fd93};
  const auto mix = [](uint64_t a, uint64_t b) {
    const auto product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^
           static_cast<uint64_t>(product >> 64);
  };
  const auto* at = static_cast<const char*>(data);
  uint64_t state[4] = {size ^ kKeys[0], kKeys[1], kKeys[2], kKeys[3]};
  const auto block = [&](const char* bytes) {
    uint64_t word[8];
    std::memcpy(word, bytes, sizeof word);
    for (int lane = 0; lane < 4; ++lane) {
      state[lane] =
          mix(word[2 * lane] ^ kKeys[lane], word[2 * lane + 1] ^ state[lane]);
    }
  };
  for (; size >= 64; size -= 64, at += 64) {
    block(at);
  }
  char rest[64] = {};
  std::memcpy(rest, at, size);
  block(rest);
  return mix(state[0] ^ kKeys[3], state[1] ^ kKeys[2]) ^
         mix(state[2] ^ kKeys[1], state[3] ^ kKeys[0]);
}

/// The same by operators, wherever `bytes` are: a number of its device. Each
/// byte, or four of them, counts by its place. Sums wrap around.
inline at::Tensor hash_on_device(const at::Tensor& bytes) {
  constexpr int64_t kChunk = int64_t{1} << 22;
  const auto words = bytes.numel() % 4 == 0 ? bytes.view(at::kInt) : bytes;
  auto hash = at::zeros({}, bytes.options().dtype(at::kLong));
  for (int64_t first = 0; first < words.numel(); first += kChunk) {
    const auto count = std::min(kChunk, words.numel() - first);
    const auto part = words.narrow(0, first, count).to(at::kLong);
    const auto place = at::arange(first + 1, first + count + 1, part.options());
    const auto key = place * int64_t{0x1e3779b97f4a7c15};
    const auto mixed = (part ^ key) * (key * 2 + 1);
    hash = hash + (mixed ^ mixed.bitwise_right_shift(29)).sum();
  }
  return hash;
}

/// What was in a tensor.
class Content {
 public:
  Content() = default;

  /// Needs a tensor with memory.
  explicit Content(const at::Tensor& tensor) {
    const at::DisableRecordFunctionGuard nobody_sees;
    const at::NoGradGuard no_grad;
    const c10::impl::ExcludeDispatchKeyGuard plain(
        c10::autograd_dispatch_keyset_with_ADInplaceOrView |
        c10::DispatchKeySet(c10::DispatchKey::TESTING_ONLY_GenericMode));
    if (tensor.device().is_cpu()) {
      const auto dense =
          tensor.is_non_overlapping_and_dense() ? tensor : tensor.contiguous();
      hash_ = hash_bytes(dense.const_data_ptr(), dense.nbytes());
    } else {
      device_hash_ =
          hash_on_device(tensor.contiguous().view({-1}).view(at::kByte));
    }
  }

  /// True for equal contents; waits for the device.
  bool operator==(const Content& other) const {
    if (device_hash_.defined() && other.device_hash_.defined()) {
      const at::DisableRecordFunctionGuard nobody_sees;
      return at::equal(device_hash_, other.device_hash_);
    }
    return device_hash_.defined() == other.device_hash_.defined() &&
           hash_ == other.hash_;
  }

  /// True for tensors that this can be told of.
  static bool can_read(const at::Tensor& tensor) {
    const auto& impl = *tensor.unsafeGetTensorImpl();
    return tensor.layout() == at::kStrided && impl.has_storage() &&
           !tensor.is_nested() && !tensor.is_meta() &&
           !impl.has_symbolic_sizes_strides() &&
           !impl.key_set().has(c10::DispatchKey::Python) && !tensor.is_neg() &&
           !tensor.is_conj() && tensor.numel() > 0 &&
           impl.unsafe_storage().data() != nullptr;
  }

 private:
  uint64_t hash_ = 0;
  at::Tensor device_hash_;
};

}  // namespace libgrad::detail
