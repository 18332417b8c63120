/// libgrad/base/huge_pages.h -- large lists on large pages.

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#if __has_include(<sys/mman.h>)
#include <sys/mman.h>
#endif

namespace libgrad::detail {

/// Reserves room for `count` entries, and asks the system, where it can be
/// asked, for large pages: a fault for each small one is a quarter of the time
/// of a snapshot of a million nodes.
template <class T>
void reserve_pages(std::vector<T>& list, size_t count) {
  list.reserve(count);
#ifdef MADV_HUGEPAGE
  constexpr uintptr_t kPage = uintptr_t{2} << 20;
  const auto begin = reinterpret_cast<uintptr_t>(list.data());
  const auto first = (begin + kPage - 1) / kPage * kPage;
  const auto last = (begin + count * sizeof(T)) / kPage * kPage;
  if (first < last) {  // advice: nothing is lost where it is refused
    madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
  }
#endif
}

}  // namespace libgrad::detail
