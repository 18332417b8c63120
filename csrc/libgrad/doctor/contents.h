/// libgrad/doctor/contents.h -- hashes of the contents of tensors.

#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/record_function.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <algorithm>
#include <cstring>

namespace libgrad::detail {

/// An integer of 128 bits: an extension of GCC and Clang.
__extension__ typedef unsigned __int128 WideInteger;

/// The XOR of both halves of a product of 64 by 64 bits.
inline uint64_t fold_product(uint64_t a, uint64_t b) {
  const auto product = static_cast<WideInteger>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// A hash of `size` bytes, in four lanes that the processor runs in parallel.
/// Each lane mixes 16 bytes at a time into its state, by one product.
class ByteHash {
 public:
  static uint64_t of(const void* data, size_t size) {
    ByteHash hash(size);
    const auto* at = static_cast<const char*>(data);
    for (; size >= 64; size -= 64, at += 64) {
      hash.take(at);
    }
    char rest[64] = {};
    std::memcpy(rest, at, size);
    hash.take(rest);
    return fold_product(hash.a_ ^ kB, hash.b_ ^ kA) ^
           fold_product(hash.c_ ^ kD, hash.d_ ^ kC);
  }

 private:
  static constexpr uint64_t kA = 0x9e3779b97f4a7c15;
  static constexpr uint64_t kB = 0xbf58476d1ce4e5b9;
  static constexpr uint64_t kC = 0x94d049bb133111eb;
  static constexpr uint64_t kD = 0xd6e8feb86659fd93;

  explicit ByteHash(size_t size) : a_(size ^ kA), b_(kB), c_(kC), d_(kD) {}

  void take(const char* bytes) {
    const auto word = [&](size_t i) {  // one by one, each into a register
      uint64_t word = 0;
      std::memcpy(&word, bytes + sizeof word * i, sizeof word);
      return word;
    };
    a_ = fold_product(word(0) ^ kA, word(1) ^ a_);
    b_ = fold_product(word(2) ^ kB, word(3) ^ b_);
    c_ = fold_product(word(4) ^ kC, word(5) ^ c_);
    d_ = fold_product(word(6) ^ kD, word(7) ^ d_);
  }

  uint64_t a_;
  uint64_t b_;
  uint64_t c_;
  uint64_t d_;
};

/// A hash by operators, as a scalar on the device of `bytes`. Each byte, or
/// each group of four bytes, is mixed with its place. Sums wrap around.
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

/// A hash of the contents of a tensor.
class Content {
 public:
  Content() = default;

  /// Needs a tensor that `can_read` accepts.
  explicit Content(const at::Tensor& tensor) {
    if (tensor.device().is_cpu() && tensor.is_non_overlapping_and_dense()) {
      hash_ = ByteHash::of(tensor.const_data_ptr(), tensor.nbytes());
    } else {
      read_copy(tensor);
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

  /// True for tensors whose contents can be read.
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
  /// Hashes a contiguous copy. No callback or spy sees the operators that this
  /// takes.
  void read_copy(const at::Tensor& tensor) {
    const at::DisableRecordFunctionGuard nobody_sees;
    const at::NoGradGuard no_grad;
    const c10::impl::ExcludeDispatchKeyGuard plain(
        c10::autograd_dispatch_keyset_with_ADInplaceOrView |
        c10::DispatchKeySet(c10::DispatchKey::TESTING_ONLY_GenericMode));
    const auto copy = tensor.contiguous();
    if (copy.device().is_cpu()) {
      hash_ = ByteHash::of(copy.const_data_ptr(), copy.nbytes());
    } else {
      device_hash_ = hash_on_device(copy.view({-1}).view(at::kByte));
    }
  }

  uint64_t hash_ = 0;
  at::Tensor device_hash_;
};

}  // namespace libgrad::detail
