/// Python code that torch.compile leaves as it is.

#pragma once

#include "bindings/bindings.h"

/// While it lives, this thread compiles no function that is called, but for
/// those that were given to torch.compile themselves. A function that runs
/// twice must do the same, and forward may be called by one that is compiled
/// where backward is not.
///
/// Source: torch.compiler.disable. To be made and destroyed with the GIL.
class Eagerly {
 public:
  Eagerly() : before_(set(py::none())) {}
  Eagerly(const Eagerly&) = delete;
  Eagerly& operator=(const Eagerly&) = delete;
  ~Eagerly() {
    const py::error_scope error;  // of what ran
    set(before_);
  }

 private:
  static py::object set(const py::object& callback) {
    static const auto& set_eval_frame = *new py::object(  // never let go
        py::module_::import("torch._C._dynamo.eval_frame")
            .attr("set_eval_frame"));
    return set_eval_frame(callback);
  }

  py::object before_;
};
