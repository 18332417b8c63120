/// libgrad/torch/dispatch/shared.h -- one object for all extensions of a
/// process.
///
/// Relies on (covered by tests/memory/test_hooks_extensions.py): one extension
/// can find and call an operator that another one defines. Extensions hide
/// their symbols, so each has its own copy of a header's variable.

#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include <cstdint>
#include <optional>
#include <string>

namespace libgrad::detail {

/// The T that the first extension made by `make()`. It is never destroyed. The
/// operator libgrad::`name` returns it; the number in `name` must change with
/// T.
template <class T, T* (*make)()>
T& shared_by_extensions(const std::string& name) {
  auto& dispatcher = c10::Dispatcher::singleton();
  const c10::OperatorName found_as("libgrad::" + name, "");
  auto op = dispatcher.findSchema(found_as);
  if (!op) {
    auto& library = *new torch::Library(  // never unregistered
        torch::Library::FRAGMENT,
        "libgrad",
        std::nullopt,
        __FILE__,
        __LINE__);
    library.def((name + "() -> int").c_str(), [] {
      static T* const made = make();
      return reinterpret_cast<int64_t>(made);
    });
    op = dispatcher.findSchema(found_as);
  }
  return *reinterpret_cast<T*>(op->typed<int64_t()>().call());
}

}  // namespace libgrad::detail
