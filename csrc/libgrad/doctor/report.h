/// libgrad/doctor/report.h -- a finding of the doctor, for a person.

#pragma once

#include <libgrad/base/describe.h>
#include <libgrad/doctor/finding.h>
#include <libgrad/doctor/remedy.h>
#include <libgrad/torch/host.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace libgrad::detail {

/// A line of source; empty where it cannot be read.
inline std::string read_line(const std::string& file, int64_t line) {
  if (const auto read_source = host().read_source) {
    return read_source(file, line);
  }
  std::ifstream source(file);
  std::string text;
  for (int64_t i = 0; i < line; ++i) {
    if (!std::getline(source, text)) {
      return "";
    }
  }
  return text;
}

/// `text` without blanks around it.
inline std::string_view trim(std::string_view text) {
  constexpr auto kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  return first == text.npos
             ? std::string_view()
             : text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

/// "result", "saved_tensors[1]".
inline std::string field_of(const Finding& finding) {
  return finding.index
             ? finding.field + "[" + std::to_string(*finding.index) + "]"
             : finding.field;
}

/// "float32 [2, 3]".
inline std::string tensor_of(const Finding& finding) {
  const std::span<const int64_t> shape(finding.shape);
  auto text = type_words(finding.dtype, shape);
  if (!finding.device.is_cpu()) {
    text += " on " + finding.device.str();
  }
  return text;
}

/// A table of calls: what the call did, its operator, where it was, and the
/// source line.
class CallTable {
 public:
  void add(std::string who, const CallSite& call, std::string rest = "") {
    std::string where = "(line not recorded)";
    std::string source;
    if (!call.file.empty()) {
      where = call.file + ":" + std::to_string(call.line);
      source = trim(read_line(call.file, call.line));
    }
    if (!call.module.empty()) {
      where += " in " + call.module;
    }
    rows_.push_back(
        {std::move(who), call.op, std::move(where), source, std::move(rest)});
  }

  std::string text() const {
    size_t who = 0;
    size_t op = 0;
    for (const auto& row : rows_) {
      who = std::max(who, row.who.size());
      op = std::max(op, row.op.size());
    }
    std::string text;
    for (const auto& row : rows_) {
      text += "\n  " + padded(row.who, who) + "  " + padded(row.op, op) + "  " +
              row.where + row.rest;
      if (!row.source.empty()) {
        text += "\n  " + padded("", who) + "    " + row.source;
      }
    }
    return text;
  }

 private:
  struct Row {
    std::string who;
    std::string op;
    std::string where;
    std::string source;
    std::string rest;
  };

  static std::string padded(std::string_view text, size_t width) {
    std::string result(text);
    result.resize(std::max(width, text.size()), ' ');
    return result;
  }

  std::vector<Row> rows_;
};

/// One finding in some lines.
class FindingText {
 public:
  explicit FindingText(const Finding& finding) : finding_(finding) {}

  std::string run() {
    add_makers();
    add_writes();
    return headline() + table_.text() + notes() +
           "\n  what to do: " + indented(finding_.advice);
  }

 private:
  std::string headline() const {
    auto text = finding_.node + " needs `" + field_of(finding_) + "`, " +
                tensor_of(finding_);
    if (finding_.silent) {
      return text +
             ", as it was when it was saved; its numbers have changed, "
             "though its version has not (" +
             std::to_string(finding_.version) + ")";
    }
    return text + ", as it was at version " +
           std::to_string(finding_.saved_version) + "; it is at version " +
           std::to_string(finding_.version);
  }

  void add_makers() {
    const bool own = !finding_.made_by.empty() &&
                     finding_.made_by == finding_.node &&
                     finding_.made_at.file == finding_.saved_by.file &&
                     finding_.made_at.line == finding_.saved_by.line;
    const bool unknown = finding_.is_leaf && finding_.made_at.file.empty();
    if (!finding_.made_at.op.empty() && !own && !unknown) {
      table_.add("made by", finding_.made_at);
    }
    table_.add(own ? "made and saved by" : "saved by", finding_.saved_by);
  }

  void add_writes() {
    for (const auto& write : finding_.writes) {
      auto rest = write.before == write.after
                      ? std::string("  (the version stays ") +
                            std::to_string(write.after) + ")"
                      : "  (version " + std::to_string(write.before) + " to " +
                            std::to_string(write.after) + ")";
      if (!write.library.empty()) {
        rest += "  by " + write.library;
      }
      table_.add("written by", write.call, std::move(rest));
    }
    if (finding_.silent && finding_.writes.empty()) {
      table_.add("unchanged at", finding_.unchanged_at);
      table_.add("changed by", finding_.changed_at);
    }
  }

  std::string notes() const {
    std::string text;
    if (finding_.is_leaf) {
      text += finding_.made_by.empty() ? "\n  the tensor is a leaf"
                                       : "\n  the tensor is a view of a leaf";
      text += finding_.leaf.empty() ? "" : ", " + finding_.leaf;
    }
    if (finding_.silent && finding_.writes.empty()) {
      text +=
          "\n  no operator of PyTorch was seen to write there: it was done "
          "outside of PyTorch, between these lines";
    }
    if (finding_.unseen > 0) {
      text += "\n  " + std::to_string(finding_.unseen) +
              (finding_.unseen == 1 ? " write was" : " writes were") +
              " not recorded";
    }
    return text;
  }

  static std::string indented(std::string text) {
    for (size_t at = 0; (at = text.find('\n', at)) != text.npos; at += 5) {
      text.replace(at, 1, "\n    ");
    }
    return text;
  }

  const Finding& finding_;
  CallTable table_;
};

/// The first finding in full, the others in one line each.
inline std::string findings_text(const std::vector<Finding>& findings) {
  constexpr size_t kMost = 10;
  std::string text;
  for (size_t i = 0; i < findings.size(); ++i) {
    const auto& finding = findings[i];
    if (i == 0) {
      text = FindingText(finding).run();
      continue;
    }
    if (i == 1) {
      text += "\nbackward needs more that was written to:";
    }
    if (i > kMost) {
      text += "\n  and " + std::to_string(findings.size() - i) + " more";
      break;
    }
    text += "\n  " + finding.node + " needs `" + field_of(finding) + "`, " +
            tensor_of(finding) + at_line(finding.saved_by);
    if (!finding.writes.empty()) {
      const auto& call = finding.writes.back().call;
      text += "; written by " + call.op + at_line(call);
    }
  }
  return text;
}

/// True for LibTorch's error about a saved tensor that was written to.
inline bool speaks_of_a_write(std::string_view error) {
  return error.find("has been modified by an inplace operation") != error.npos;
}

/// Moves the finding that the error is about to the front. The error has its
/// shape and its versions: "... [torch.FloatTensor [3]], which is output 0 of
/// ExpBackward0, is at version 1; expected version 0 instead".
inline void put_first(std::vector<Finding>& findings, std::string_view error) {
  const auto is_meant = [&](const Finding& finding) {
    std::string shape = "[";
    for (size_t i = 0; i < finding.shape.size(); ++i) {
      shape += (i == 0 ? "" : ", ") + std::to_string(finding.shape[i]);
    }
    const auto versions = "is at version " + std::to_string(finding.version) +
                          "; expected version " +
                          std::to_string(finding.saved_version) + " ";
    return error.find(shape + "]]") != error.npos &&
           error.find(versions) != error.npos;
  };
  const auto meant = std::find_if(findings.begin(), findings.end(), is_meant);
  if (meant != findings.end()) {
    std::rotate(findings.begin(), meant, meant + 1);
  }
}

}  // namespace libgrad::detail
