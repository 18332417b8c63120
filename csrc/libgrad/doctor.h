/// libgrad/doctor.h -- finds who changed a tensor that backward needs.

#pragma once

#include <libgrad/doctor/find_stale.h>
#include <libgrad/doctor/finding.h>
#include <libgrad/doctor/report.h>
#include <libgrad/doctor/spy.h>
#include <libgrad/graph.h>
#include <libgrad/record.h>
#include <libgrad/torch/saved/hook_engine.h>

#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `diagnose`.
struct DiagnoseOptions {
  /// Names for leaves: {{"weight", w}}.
  std::vector<std::pair<std::string, at::Tensor>> params = {};
};

/// The tensors that nodes behind `tensors` saved for backward and that were
/// written to since, in the order in which backward meets them; empty when
/// there are none. Nothing runs and nothing is changed. If a `Doctor` was
/// watching, a finding tells which operators wrote, and where; otherwise only
/// nodes and versions. Under a Doctor with `silent`, contents are compared,
/// too.
///
///     auto y = x.exp();
///     y.add_(1);
///     libgrad::diagnose({y.sum()})[0].node;  // "ExpBackward0"
///
/// Throws c10::Error when `tensors` is empty, or a tensor does not require
/// grad.
inline std::vector<Finding> diagnose(
    const torch::autograd::variable_list& tensors,
    const DiagnoseOptions& options = {}) {
  TORCH_CHECK(!tensors.empty(), "diagnose: expected at least one tensor");
  for (size_t i = 0; i < tensors.size(); ++i) {
    detail::check_root(tensors[i], i, "diagnose");
  }
  const auto roots = detail::edges(tensors, detail::root_edge);
  return detail::StaleFinder(roots, options.params).run();
}

/// A finding in some lines: the node and its saved tensor, who made it, who
/// wrote to it, and what to do.
inline std::string to_text(const Finding& finding) {
  return detail::FindingText(finding).run();
}

/// Findings in some lines: the first one in full, the others in one line each.
inline std::string to_text(const std::vector<Finding>& findings) {
  return detail::findings_text(findings);
}

/// Options of `Doctor`.
struct DoctorOptions {
  /// Remember the contents of saved tensors, so that `diagnose` finds tensors
  /// that changed while their version did not: by `.data`, by a pointer, by a
  /// fused optimizer.
  bool silent = false;
};

/// While a Doctor lives, it watches the operators of this thread: which
/// operator made each node, which one wrote into which memory, and where. When
/// a backward fails because a tensor that it needs was written to, the error
/// reports this, be it that of `libgrad::backward`, `loss.backward()` or
/// `torch::autograd::grad`; `diagnose` reports it beforehand. Lines and modules
/// are those of the `Scope`.
///
///     libgrad::Doctor doctor;
///     auto loss = model(x);
///     step(optimizer);
///     std::cout << libgrad::to_text(libgrad::diagnose({loss})) << '\n';
///
/// To be destroyed by the thread that made it.
class Doctor {
 public:
  explicit Doctor(const DoctorOptions& options = {}) {
    if (options.silent) {
      contents_.emplace();
    }
    ++depth_;
    detail::explain_error = explain;
    detail::HookEngine::install();
  }
  Doctor(const Doctor&) = delete;
  Doctor& operator=(const Doctor&) = delete;
  ~Doctor() { --depth_; }

 private:
  static void explain(
      const torch::autograd::edge_list& roots, c10::Error& error) {
    if (depth_ == 0 || !detail::speaks_of_a_write(error.msg())) {
      return;
    }
    const detail::StaleFinder::Names no_names;
    auto findings = detail::StaleFinder(roots, no_names).run();
    detail::put_first(findings, error.msg());
    const auto text = to_text(findings);
    if (std::string_view(error.what()).find(text.substr(0, text.find('\n'))) !=
        std::string_view::npos) {
      return;  // a backward inside this one explained it
    }
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      error.add_context(line);
    }
  }

  static inline thread_local int depth_ = 0;
  Record record_;
  detail::SpyScope spy_;
  std::optional<detail::ContentsScope> contents_;
};

/// While a Freeze lives, no operator of this thread (or of an engine thread
/// that it starts) can write into the memory of the tensor, also not through a
/// view: the attempt throws c10::Error, and nothing is written. Writes that
/// bypass the operators, such as by a pointer, are not seen.
///
///     libgrad::Freeze freeze(weight);
///     weight.add_(1);  // throws
///
/// Throws c10::Error when the tensor is undefined, or has no memory that can be
/// watched (sparse, nested). To be destroyed by the thread that made it.
class Freeze {
 public:
  explicit Freeze(const at::Tensor& tensor) : memory_(detail::freeze(tensor)) {}
  Freeze(const Freeze&) = delete;
  Freeze& operator=(const Freeze&) = delete;
  ~Freeze() { detail::Frozen::instance().remove(memory_); }

 private:
  detail::Frozen::Handle memory_;
  detail::SpyScope spy_;
};

}  // namespace libgrad
