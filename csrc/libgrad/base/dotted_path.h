/// libgrad/base/dotted_path.h -- paths of modules and names of parameters.

#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace libgrad::detail {

/// How many parts "encoder.layers.3" has: 3; none has 0.
inline size_t count_parts(std::string_view path) {
  return path.empty() ? 0
                      : static_cast<size_t>(std::ranges::count(path, '.')) + 1;
}

/// "encoder.layers" of "encoder.layers.3.linear1" for 2; all when it has less.
inline std::string_view first_parts(std::string_view path, size_t count) {
  size_t end = 0;
  for (size_t i = 0; i < count && end != path.npos; ++i) {
    end = path.find('.', i == 0 ? 0 : end + 1);
  }
  return path.substr(0, end);
}

/// "encoder.linear1" of "encoder.linear1.weight"; empty when it has one part.
inline std::string_view without_last_part(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == path.npos ? std::string_view() : path.substr(0, dot);
}

/// The first parts that some paths have in common.
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
