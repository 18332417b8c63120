/// libgrad/doctor/finding.h -- a saved tensor that has changed since, as plain
/// data.

#pragma once

#include <ATen/core/ScalarType.h>
#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace libgrad {

/// A call of an operator: its name, the line of the program that called it and
/// the module that was running, as far as they were recorded.
struct CallSite {
  std::string op = {};      // "aten::add_.Tensor"; empty when not known
  std::string file = {};    // empty when not known
  int64_t line = 0;         // 0 when not known
  std::string module = {};  // "encoder.layers.3"
};

/// An operator that wrote into a saved tensor.
struct FindingWrite {
  CallSite call;
  std::string library;  // function that was called: "torch.nn.init.normal_"
  int64_t before = -1;  // the tensor's version
  int64_t after = -1;
};

/// A tensor that a node saved for backward, and that has changed since.
struct Finding {
  std::string node;              // "ExpBackward0"
  int64_t id = 0;                // its index in the nodes of `graph`
  int64_t order = 0;             // its position in backward, from 0
  std::string field;             // "result"
  std::optional<int64_t> index;  // its index, where the field is a list
  std::vector<int64_t> shape;    // -1 for a symbolic size
  at::ScalarType dtype = at::ScalarType::Undefined;
  c10::Device device = c10::Device(c10::kCPU);
  int64_t saved_version = -1;
  int64_t version = -1;
  bool silent = false;  // the version is the same, the contents are not
  CallSite saved_by;    // the call that made the node
  std::string made_by;  // the node that made the tensor; empty for none
  CallSite made_at;     // the call that made it, or else last wrote to it
  bool is_leaf = false;
  std::string leaf;                  // a leaf's name, where one was given
  std::vector<FindingWrite> writes;  // in the order of time
  int64_t unseen = 0;     // version changes that no known write explains
  CallSite unchanged_at;  // if silent: where it was last seen unchanged
  CallSite changed_at;    // if silent: where it was first seen changed
  std::string advice;     // what to do
};

}  // namespace libgrad
