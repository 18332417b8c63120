/// libgrad/record/calls.h -- the nodes that a call makes, as it ends.
///
/// Relies on (covered by tests/cpp/graph/test_record.cpp):
/// - the dispatcher, and Python's Function.apply, announce every call to the
///   callbacks of RecordFunction, which threads of the engine take over from
///   the thread that started it;
/// - sequence_number::peek() is the number that the thread's next node gets;
/// - a node's thread_id() is RecordFunction::currentThreadId() of its maker.

#pragma once

#include <libgrad/record/origins.h>

#include <ATen/SequenceNumber.h>
#include <ATen/record_function.h>

#include <memory>
#include <utility>

namespace libgrad::detail {

/// Memory of one object, kept by a thread for the next one.
struct SpareMemory {
  void* memory = nullptr;
  ~SpareMemory() { ::operator delete(std::exchange(memory, nullptr)); }
};
inline thread_local SpareMemory spare_memory;

/// Number of the first node that a call can have made.
class Started final : public at::ObserverContext {
 public:
  explicit Started(uint64_t next) : next(next) {}
  uint64_t next;

  /// One is made for each call: the thread keeps what it used for the last.
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

/// What a call has made, less what calls inside it have, is its own.
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
