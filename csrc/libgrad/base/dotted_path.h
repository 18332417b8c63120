/// libgrad/base/dotted_path.h -- dotted paths of modules and parameters.

#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// The number of parts of a path: 3 for "encoder.layers.3", 0 for an empty
/// path.
inline size_t count_parts(std::string_view path) {
  return path.empty() ? 0
                      : static_cast<size_t>(std::ranges::count(path, '.')) + 1;
}

/// The first `count` parts: "encoder.layers" for "encoder.layers.3.linear1" and
/// 2; the whole path if it has fewer parts.
inline std::string_view first_parts(std::string_view path, size_t count) {
  size_t end = 0;
  for (size_t i = 0; i < count && end != path.npos; ++i) {
    end = path.find('.', i == 0 ? 0 : end + 1);
  }
  return path.substr(0, end);
}

/// "encoder.linear1" for "encoder.linear1.weight"; empty for a single part.
inline std::string_view without_last_part(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == path.npos ? std::string_view() : path.substr(0, dot);
}

/// The longest common prefix of some paths, in whole parts.
class CommonPath {
 public:
  void add(std::string_view path) {
    if (!common_) {
      common_ = std::string(path);
      return;
    }
    size_t parts = count_parts(*common_);
    while (first_parts(*common_, parts) != first_parts(path, parts)) {
      --parts;
    }
    common_ = parts == 0 ? "" : std::string(first_parts(*common_, parts));
  }

  std::string path() const { return common_.value_or(""); }

 private:
  std::optional<std::string> common_;
};

}  // namespace libgrad::detail
