/// Python code that torch.compile leaves as it is.

#pragma once

#include "bindings/bindings.h"

/// While it lives, this thread compiles no function that is called, except
/// functions that were given to torch.compile themselves. A function that runs
/// twice must do the same both times, but forward may be called by a compiled
/// function while backward is not.
///
/// Source: torch.compiler.disable. To be made and destroyed with the GIL.
class Eagerly {
 public:
  Eagerly() : before_(set(py::none())) {}
  Eagerly(const Eagerly&) = delete;
  Eagerly& operator=(const Eagerly&) = delete;
  ~Eagerly() {
    const py::error_scope error;  // keeps the error of the code that ran
    set(before_);
  }

 private:
  static py::object set(const py::object& callback) {
    static const auto& set_eval_frame = *new py::object(  // never released
        py::module_::import("torch._C._dynamo.eval_frame")
            .attr("set_eval_frame"));
    return set_eval_frame(callback);
  }

  py::object before_;
};
