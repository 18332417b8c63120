/// libgrad/doctor/remedy.h -- what to do about a saved tensor that was written
/// to.

#pragma once

#include <libgrad/doctor/finding.h>

#include <ATen/core/dispatch/Dispatcher.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// " at file.py:3"; empty where the line is not known.
inline std::string at_line(const CallSite& call) {
  return call.file.empty()
             ? std::string()
             : " at " + call.file + ":" + std::to_string(call.line);
}

/// The parts of "aten::add_.Tensor".
struct OperatorName {
  std::string space;     // "aten"
  std::string base;      // "add_"
  std::string overload;  // "Tensor"

  explicit OperatorName(std::string_view name) {
    const auto colons = name.find("::");
    if (colons != name.npos) {
      space = name.substr(0, colons);
      name.remove_prefix(colons + 2);
    }
    const auto dot = name.find('.');
    base = name.substr(0, dot);
    if (dot != name.npos) {
      overload = name.substr(dot + 1);
    }
  }

  bool in_place() const { return base.ends_with('_') && !base.ends_with("__"); }

  /// "add" for "add_", if this operator exists.
  std::optional<std::string> twin() const {
    auto name = base;
    if (in_place()) {
      name.pop_back();
    } else if (!base.starts_with("_foreach_")) {
      return std::nullopt;
    }
    auto& dispatcher = c10::Dispatcher::singleton();
    for (const auto& text : {overload, std::string()}) {
      if (dispatcher.findSchema({space + "::" + name, text})) {
        return name;
      }
    }
    return std::nullopt;
  }
};

/// The Python code to use instead of an operator in place, and the code to
/// replace; empty where it is not known.
inline std::string python_forms(std::string_view base) {
  constexpr std::pair<std::string_view, std::string_view> kForms[] = {
      {"add_", "x = x + y, not x += y"},
      {"sub_", "x = x - y, not x -= y"},
      {"mul_", "x = x * y, not x *= y"},
      {"div_", "x = x / y, not x /= y"},
      {"pow_", "x = x ** y, not x **= y"},
      {"relu_", "relu(x), or inplace=False"},
      {"fill_", "torch.where or torch.cat, not x[i] = number"},
      {"copy_", "torch.cat, torch.stack or torch.where, not x[i] = y"},
      {"zero_", "torch.zeros_like(x)"}};
  for (const auto& [name, form] : kForms) {
    if (name == base) {
      return std::string(form);
    }
  }
  return "";
}

/// Advice on how to avoid one write.
class Remedy {
 public:
  Remedy(const Finding& finding, const FindingWrite& write)
      : finding_(finding),
        write_(write),
        name_(write.call.op) {}

  std::string text() const {
    if (write_.library.starts_with("torch.optim.")) {
      return "call backward before the optimizer's step" + where() +
             ", or run forward again after it";
    }
    if (finding_.field.starts_with("running_") ||
        name_.base.find("batch_norm") != std::string::npos) {
      return "the statistics of a batch norm layer were changed" + where() +
             " between forward and backward: call backward first (under "
             "DistributedDataParallel, pass broadcast_buffers=False)";
    }
    if (write_.library.starts_with("torch.nn.init.")) {
      return "initialize" + where() + " before forward, or after backward";
    }
    return in_general();
  }

 private:
  std::string where() const { return at_line(write_.call); }

  std::string in_general() const {
    std::string text;
    if (finding_.is_leaf) {
      return "call backward before `" + name_.base + "`" + where() +
             ", or run forward again after it";
    }
    if (name_.base == "copy_" || name_.base == "fill_") {
      text = "make a new tensor instead of writing by `" + name_.base + "`" +
             where() + " (" + python_forms(name_.base) + ")";
    } else if (name_.overload == "out" || name_.overload.ends_with("_out")) {
      text =
          "let " + name_.base + where() + " return a new tensor, without out=";
    } else if (const auto twin = name_.twin()) {
      text = "use `" + *twin + "` instead of `" + name_.base + "`" + where();
      if (const auto forms = python_forms(name_.base); !forms.empty()) {
        text += " (" + forms + ")";
      }
    } else if (write_.library.ends_with("inplace")) {
      text = "do not work in place" + where();
    } else {
      text = "do not write into this tensor" + where();
    }
    return text + "; or write into a copy, by clone()";
  }

  const Finding& finding_;
  const FindingWrite& write_;
  OperatorName name_;
};

/// What to do about `finding`, in a sentence or two.
inline std::string advice_for(const Finding& finding) {
  if (finding.writes.empty()) {
    return finding.silent
               ? "find what writes into its memory there (NumPy, DLPack, a "
                 "pointer), and give that a clone()"
               : "nobody recorded the write: run forward, and all up to "
                 "backward, inside doctor()";
  }
  std::vector<std::string> texts;
  for (const auto& write : finding.writes) {
    auto text = Remedy(finding, write).text();
    if (std::find(texts.begin(), texts.end(), text) == texts.end()) {
      texts.push_back(std::move(text));
    }
  }
  constexpr size_t kMost = 3;
  std::string advice;
  for (size_t i = 0; i < std::min(texts.size(), kMost); ++i) {
    advice += (i == 0 ? "" : "\n") + texts[i];
  }
  if (texts.size() > kMost) {
    advice += "\n(and so on, for the other writes)";
  }
  return advice;
}

}  // namespace libgrad::detail
