/// libgrad/detail/identity.h -- which tensors a snapshot was taken of, without
/// keeping them.
///
/// Relies on (covered by tests/graph/test_why.py): a weak reference keeps the
/// address of a TensorImpl or StorageImpl from being used again, but not what
/// it held.

#pragma once

#include <c10/util/intrusive_ptr.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace libgrad::detail {

/// An address that nothing else gets while it is here.
using Kept = c10::weak_intrusive_ptr<c10::intrusive_ptr_target>;

inline Kept keep_address(c10::intrusive_ptr_target* target) {
  c10::raw::weak_intrusive_ptr::incref(target);
  return Kept::reclaim(target);
}

/// Bytes of a storage, from the first that a tensor has to behind its last.
struct Span {
  int64_t begin = 0;
  int64_t end = std::numeric_limits<int64_t>::max();

  bool meets(const Span& other) const {
    return begin < other.end && other.begin < end;
  }
  /// Becomes the smallest that has both.
  void add(const Span& other) {
    if (begin == end) {
      *this = other;
    } else if (other.begin != other.end) {
      begin = std::min(begin, other.begin);
      end = std::max(end, other.end);
    }
  }
};

/// Tensors and storages by number and address.
struct GraphIdentity {
  struct Leaf {
    Kept tensor;
    uint32_t node;
  };
  struct Memory {
    Kept storage;
    uint32_t place;  // in Graph::storages
  };
  struct Part {
    uint32_t saved;  // its place in Graph::saved
    Span span;
  };

  std::vector<void*> nodes;  // by id; never followed: a node may be gone
  std::vector<Leaf> leaves;
  std::vector<Memory> memories;  // those that not only the graph holds
  std::vector<Part> parts;       // saved tensors that do not fill such a memory
};

}  // namespace libgrad::detail
