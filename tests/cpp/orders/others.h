/// others.h -- the reports of other headers than gradcheck.h.

#pragma once

#include "orders/reports.h"

namespace orders {

/// What the doctor, a drawing and a question print.
inline void print_others() {
  const libgrad::Doctor doctor;
  const auto x = points(at::kDouble);
  const auto y = x.exp();
  const auto loss = (y * 2).sum();
  y.mul_(3);
  std::puts(libgrad::to_text(libgrad::diagnose({loss})).c_str());
  const auto graph = libgrad::graph({loss}, {.params = {{"x", x}}});
  std::puts(libgrad::to_text(graph).c_str());
  std::puts(libgrad::why(graph, x).text.c_str());
}

}  // namespace orders
