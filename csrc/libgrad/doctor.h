/// libgrad/doctor.h -- who changed the tensor that backward needs.

#pragma once

#include <libgrad/doctor/find_stale.h>
#include <libgrad/doctor/finding.h>
#include <libgrad/doctor/report.h>
#include <libgrad/doctor/spy.h>
#include <libgrad/graph.h>
#include <libgrad/record.h>

#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace libgrad {

/// Options of `diagnose`.
struct DiagnoseOptions {
  /// Names for leaves: {{"weight", w}}.
  std::vector<std::pair<std::string, at::Tensor>> params = {};
};

/// The tensors that nodes behind `tensors` saved for backward and that were
/// written to since, those first that backward meets first; empty when there
/// are none. Nothing runs and nothing is changed. What a `Doctor` saw is told:
/// which operators wrote, and where; without one, versions and nodes only.
/// Under a Doctor with `silent`, contents are compared, too.
///
///     auto y = x.exp();
///     y.add_(1);
///     libgrad::diagnose({y.sum()})[0].node;  // "ExpBackward0"
///
/// Throws c10::Error when there is no tensor, or one does not require grad.
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

/// Findings in some lines: the first whole, the others by name.
inline std::string to_text(const std::vector<Finding>& findings) {
  return detail::findings_text(findings);
}

/// Options of `Doctor`.
struct DoctorOptions {
  /// Remember what is in saved tensors, so that `diagnose` finds those that
  /// were changed while their version was not: by `.data`, by a pointer, by a
  /// fused optimizer.
  bool silent = false;
};

/// While it lives, this thread's operators are watched: which made each node,
/// which wrote into which memory, and where. `libgrad::backward` and `grad` say
/// it in their error when a tensor that they need was written to, and
/// `diagnose` says it before. Lines and modules are those of the `Scope`.
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
    std::istringstream lines(to_text(findings));
    for (std::string line; std::getline(lines, line);) {
      error.add_context(line);
    }
  }

  static inline thread_local int depth_ = 0;
  Record record_;
  detail::SpyScope spy_;
  std::optional<detail::ContentsScope> contents_;
};

/// While it lives, no operator of this thread (or of a thread of the engine
/// that it starts) can write into the memory of a tensor, also not through a
/// view of it: that throws c10::Error where it is tried, and nothing is
/// written. Writes past the operators, such as by a pointer, are not seen.
///
///     libgrad::Freeze freeze(weight);
///     weight.add_(1);  // throws
///
/// Throws c10::Error when the tensor has no memory of its own kind (sparse,
/// nested, meta). To be destroyed by the thread that made it.
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
