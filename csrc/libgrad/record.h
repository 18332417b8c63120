/// libgrad/record.h -- where nodes come from: operator, source, module.

#pragma once

#include <libgrad/record/calls.h>
#include <libgrad/record/origins.h>

#include <atomic>
#include <source_location>
#include <string_view>

namespace libgrad {

/// While a Record lives, each node that this thread makes (or an engine thread
/// that it starts) is remembered with the operator that made it. A `graph`
/// taken then or later has these operators, until the next Record begins.
///
///     libgrad::Record record;
///     auto loss = model(x);
///     libgrad::graph({loss}).nodes[0].origin.op;  // "aten::sum"
///
/// To be destroyed by the thread that made it.
class Record {
 public:
  Record() {
    if (depth_++ == 0) {
      if (records_.fetch_add(1) == 0) {
        detail::Origins::instance().clear();
      }
      handle_ = at::addThreadLocalCallback(
          at::RecordFunctionCallback(detail::call_starts, detail::call_ends)
              .scopes({at::RecordScope::FUNCTION}));
    }
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() {
    if (--depth_ == 0) {
      at::removeCallback(handle_);
      records_.fetch_sub(1);
    }
  }

 private:
  static inline thread_local int depth_ = 0;  // nested Records
  static inline thread_local at::CallbackHandle handle_ = 0;
  static inline std::atomic<int> records_ = 0;  // Records of all threads
};

/// While a Scope lives, the nodes that this thread makes under a Record come
/// from `module` (inside the module of the Scope around it) and from this line.
///
///     libgrad::Scope scope("encoder");
class Scope {
 public:
  explicit Scope(
      std::string_view module,
      std::source_location where = std::source_location::current())
      : before_(detail::here) {
    auto& origins = detail::Origins::instance();
    std::string path(origins.text(before_.module));
    if (!path.empty() && !module.empty()) {
      path += '.';
    }
    path += module;
    detail::here = {
        {where.file_name(), static_cast<int32_t>(where.line())},
        origins.number(path)};
  }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope() { detail::here = before_; }

 private:
  detail::Here before_;
};

}  // namespace libgrad
