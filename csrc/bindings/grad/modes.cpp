#include "bindings/bindings.h"
#include "bindings/python/guards.h"

#include <ATen/PythonTorchFunctionTLS.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/autograd/anomaly_mode.h>

using torch::impl::py_context_manager;

namespace {

/// torch::autograd::DetectAnomalyGuard without its warning, which Python gives
/// at the line of the user.
class AnomalyGuard {
 public:
  explicit AnomalyGuard(bool check_nan)
      : enabled_(AnomalyMode::is_enabled()),
        check_nan_(AnomalyMode::should_check_nan()) {
    AnomalyMode::set_enabled(true, check_nan);
  }
  AnomalyGuard(const AnomalyGuard&) = delete;
  AnomalyGuard& operator=(const AnomalyGuard&) = delete;
  ~AnomalyGuard() { AnomalyMode::set_enabled(enabled_, check_nan_); }

 private:
  using AnomalyMode = torch::autograd::AnomalyMode;
  bool enabled_;
  bool check_nan_;
};

}  // namespace

void bind_modes(py::module_& m) {
  py_context_manager<at::AutoGradMode, bool>(m, "GradMode");
  py_context_manager<c10::InferenceMode, bool>(m, "InferenceMode");
  py_context_manager<AnomalyGuard, bool>(m, "DetectAnomaly");
  m.def("set_grad_enabled", &at::GradMode::set_enabled, "enabled"_a);
  m.def(
      "is_torch_function_mode_enabled", &at::impl::torch_function_mode_enabled);
  m.def("is_grad_enabled", &at::GradMode::is_enabled);
  m.def("is_inference_mode_enabled", &c10::InferenceMode::is_enabled);
}
