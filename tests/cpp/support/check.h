/// check.h -- a test framework of one screen. Include it in the one source of
/// a program: it has the main(). The names of c10's own macros (CHECK) are
/// avoided.

#pragma once

#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <typeinfo>
#include <vector>

namespace check {

struct Test {
  const char* name;
  void (*run)();
};
inline std::vector<Test> tests;

struct Registration {
  Registration(const char* name, void (*run)()) {
    tests.push_back({name, run});
  }
};

[[noreturn]] inline void fail(int line, const std::string& why) {
  throw std::runtime_error("line " + std::to_string(line) + ": " + why);
}

/// Fails unless `body` throws an `Error`, of just this type, that says `part`.
template <class Error, class Body>
void throws(int line, const std::string& part, const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string text = error.what();
    if (typeid(error) != typeid(Error) || text.find(part) == text.npos) {
      fail(line, "expected '" + part + "', got " + text);
    }
    return;
  }
  fail(line, "nothing was thrown, expected '" + part + "'");
}

}  // namespace check

#define TEST(name)                                               \
  static void name();                                            \
  static const check::Registration register_##name(#name, name); \
  static void name()
#define EXPECT(...) \
  ((__VA_ARGS__) ? void() : check::fail(__LINE__, "not so: " #__VA_ARGS__))
#define EXPECT_THROWS(Error, part, ...) \
  check::throws<Error>(__LINE__, part, [&] { (void)(__VA_ARGS__); })

int main() {
  int failed = 0;
  for (const auto& test : check::tests) {
    try {
      test.run();
      std::printf("ok %s\n", test.name);
    } catch (const std::exception& error) {
      ++failed;
      const std::string text = error.what();
      const auto why = text.substr(0, text.find("\nException raised from"));
      std::printf("FAIL %s: %s\n", test.name, why.c_str());
    }
  }
  return failed != 0 || check::tests.empty();
}
