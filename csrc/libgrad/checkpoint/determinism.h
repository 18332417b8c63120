/// libgrad/checkpoint/determinism.h -- compares what two runs of a function
/// saved.

#pragma once

#include <ATen/core/Tensor.h>

#include <span>
#include <string>
#include <vector>

namespace libgrad::detail {

/// A tensor's shape, dtype and device.
struct Metadata {
  std::vector<int64_t> shape;
  at::ScalarType dtype;
  c10::Device device;
  bool operator==(const Metadata&) const = default;
};

inline Metadata metadata_of(const at::Tensor& tensor) {
  return {
      tensor.is_nested() ? std::vector<int64_t>() : tensor.sizes().vec(),
      tensor.scalar_type(),
      tensor.device()};
}

inline std::string in_words(const Metadata& tensor) {
  return c10::str(
      tensor.dtype, " ", at::IntArrayRef(tensor.shape), " on ", tensor.device);
}

/// How the saved tensors `now` differ from those in forward, in words; empty if
/// they do not. Without `each` only their number is compared.
inline std::string metadata_difference(
    std::span<const Metadata> saved,
    const std::vector<at::Tensor>& now,
    bool each) {
  if (now.size() != saved.size()) {
    return c10::str(
        "A different number of tensors was saved during the original forward "
        "and recomputation.\nNumber of tensors saved during forward: ",
        saved.size(),
        "\nNumber of tensors saved during recomputation: ",
        now.size(),
        now.size() > saved.size()
            ? ", which is trying to save more tensors during recomputation "
              "than during the original forward pass"
            : "",
        ".\nThe function must do the same each time: it must not depend on "
        "what changes meanwhile");
  }
  std::string text;
  for (size_t i = 0; each && i < now.size(); ++i) {
    if (const auto again = metadata_of(now[i]); again != saved[i]) {
      text += c10::str(
          "\ntensor at position ",
          i,
          ":\nsaved metadata: ",
          in_words(saved[i]),
          "\nrecomputed metadata: ",
          in_words(again));
    }
  }
  return text.empty()
             ? text
             : "Recomputed values for the following tensors have different "
               "metadata than during the forward pass." +
                   text +
                   "\nThe function must do the same each time, or the check of "
                   "determinism be off";
}

}  // namespace libgrad::detail
