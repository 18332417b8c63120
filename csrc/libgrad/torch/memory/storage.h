/// libgrad/torch/memory/storage.h -- the bytes of its storage that a tensor
/// spans, and addresses that are not reused.
///
/// Relies on (covered by tests/graph/test_why.py): a weak reference keeps the
/// address of a TensorImpl or StorageImpl from being reused, but does not keep
/// its contents.

#pragma once

#include <c10/core/TensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <algorithm>
#include <cstdint>
#include <limits>

namespace libgrad::detail {

/// An address that is not reused while this object lives.
using Kept = c10::weak_intrusive_ptr<c10::intrusive_ptr_target>;

inline Kept keep_address(c10::intrusive_ptr_target* target) {
  c10::raw::weak_intrusive_ptr::incref(target);
  return Kept::reclaim(target);
}

/// The bytes of a storage from a tensor's first, `begin`, to behind its last,
/// `end`.
struct Span {
  int64_t begin = 0;
  int64_t end = std::numeric_limits<int64_t>::max();

  bool meets(const Span& other) const {
    return begin < other.end && other.begin < end;
  }
  /// Becomes the smallest span that contains both.
  void add(const Span& other) {
    if (begin == end) {
      *this = other;
    } else if (other.begin != other.end) {
      begin = std::min(begin, other.begin);
      end = std::max(end, other.end);
    }
  }
};

/// The bytes of its storage that `tensor` spans; all bytes if they are not
/// known.
inline Span span_of(const c10::TensorImpl& tensor) {
  if (tensor.is_nested()) {
    return {};
  }
  const auto offset = tensor.sym_storage_offset_default().maybe_as_int();
  const auto sizes = tensor.sym_sizes_default();
  const auto strides = tensor.sym_strides_default();
  if (!offset || sizes.size() != strides.size()) {
    return {};
  }
  int64_t last = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto size = sizes[i].maybe_as_int();
    const auto stride = strides[i].maybe_as_int();
    if (!size || !stride) {
      return {};
    }
    if (*size == 0) {
      return {0, 0};
    }
    last += (*size - 1) * *stride;
  }
  const auto itemsize = static_cast<int64_t>(tensor.dtype().itemsize());
  return {*offset * itemsize, (*offset + last + 1) * itemsize};
}

/// True when `tensor`, of `nbytes`, fills a storage of `storage_nbytes`.
inline bool fills(
    const c10::TensorImpl& tensor, int64_t nbytes, int64_t storage_nbytes) {
  return nbytes == storage_nbytes && !tensor.is_nested() &&
         !tensor.has_symbolic_sizes_strides() &&
         tensor.is_non_overlapping_and_dense_default();
}

}  // namespace libgrad::detail
