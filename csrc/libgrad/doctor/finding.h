/// libgrad/doctor/finding.h -- a saved tensor that is no more what it was, as
/// plain data.

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
  std::string library;  // what the program called: "torch.nn.init.normal_"
  int64_t before = -1;  // the tensor's version
  int64_t after = -1;
};

/// A tensor that a node saved for backward and that is another one now.
struct Finding {
  std::string node;              // "ExpBackward0"
  int64_t id = 0;                // its place in the nodes of `graph`
  int64_t order = 0;             // when backward runs it, from 0
  std::string field;             // "result"
  std::optional<int64_t> index;  // its place, where the field is a list
  std::vector<int64_t> shape;    // -1 for a size that is a symbol
  at::ScalarType dtype = at::ScalarType::Undefined;
  c10::Device device = c10::Device(c10::kCPU);
  int64_t saved_version = -1;
  int64_t version = -1;
  bool silent = false;  // the version is the same, the numbers are not
  CallSite saved_by;    // the call that made the node
  std::string made_by;  // the node that made the tensor; empty for none
  CallSite made_at;     // its call; where no node did, the last that wrote
  bool is_leaf = false;
  std::string leaf;                  // a leaf's name, where one was given
  std::vector<FindingWrite> writes;  // in the order of time
  int64_t unseen = 0;     // changes of the version that no write explains
  CallSite unchanged_at;  // of silent ones: where it was still the same
  CallSite changed_at;    // and where it was another
  std::string advice;     // what to do
};

}  // namespace libgrad
