/// libgrad/record/calls.h -- records the nodes that a call made, when the call
/// ends.
///
/// Relies on (covered by tests/cpp/graph/test_record.cpp):
/// - the dispatcher, and Python's Function.apply, report every call to the
///   callbacks of RecordFunction; engine threads take over the callbacks of the
///   thread that started the backward;
/// - sequence_number::peek() is the number that the thread's next node gets;
/// - a node's thread_id() is RecordFunction::currentThreadId() of its maker.

#pragma once

#include <libgrad/record/origins.h>

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>

#include <memory>
#include <utility>

namespace libgrad::detail {

/// The memory of one object, kept by a thread for the next object.
struct SpareMemory {
  void* memory = nullptr;
  ~SpareMemory() { ::operator delete(std::exchange(memory, nullptr)); }
};
inline thread_local SpareMemory spare_memory;

/// The sequence number of the first node that a call can make.
class Started final : public at::ObserverContext {
 public:
  explicit Started(uint64_t next) : next(next) {}
  uint64_t next;

  /// There is one object for each call: the thread reuses the memory of the
  /// last one.
  static void* operator new(size_t size) {
    return spare_memory.memory != nullptr
               ? std::exchange(spare_memory.memory, nullptr)
               : ::operator new(size);
  }
  static void operator delete(void* memory) {
    ::operator delete(std::exchange(spare_memory.memory, memory));
  }
};

inline std::unique_ptr<at::ObserverContext> call_starts(
    const at::RecordFunction&) {
  return std::make_unique<Started>(at::sequence_number::peek());
}

/// Records the nodes that a call made, except those that calls inside it made.
inline void call_ends(
    const at::RecordFunction& call, at::ObserverContext* context) {
  const auto first = static_cast<const Started*>(context)->next;
  const auto last = at::sequence_number::peek();
  const auto thread = at::RecordFunction::currentThreadId();
  if (first >= last || call.threadId() != thread) {
    return;
  }
  Origins::instance().settle(
      thread, first, last, call.name(), call.overload_name(), where_called());
}

}  // namespace libgrad::detail
