// nlohmann/json.hpp -- stands in for the JSON library where there is none.
//
// ATen/functorch/Interpreter.h includes it for two functions that libgrad does
// not call, and the packages of torch do not ship it. A real one further down
// the include path is taken instead.

#pragma once
#pragma GCC system_header  // #include_next is an extension

#if defined(__has_include_next)
#if __has_include_next(<nlohmann/json.hpp>)
#define LIBGRAD_HAS_REAL_JSON
#include_next <nlohmann/json.hpp>
#endif
#endif

#ifndef LIBGRAD_HAS_REAL_JSON

#include <stdexcept>
#include <string>

namespace nlohmann {

/// What Interpreter.h names; using it says what is missing.
class json {
 public:
  template <class T>
  explicit json(const T&) {}

  static json parse(const std::string&) { missing(); }
  [[noreturn]] std::string dump() const { missing(); }
  template <class T>
  [[noreturn]] T get() const {
    missing();
  }

 private:
  [[noreturn]] static void missing() {
    throw std::logic_error(
        "libgrad's nlohmann/json.hpp holds no JSON library; put the real one "
        "on the include path");
  }
};

}  // namespace nlohmann

#endif
#undef LIBGRAD_HAS_REAL_JSON
