// CMocka for C++. Include this after every other header: cmocka.h defines `fail`, `skip` and `mock` as
// macros, which break <ios> and our own fail().
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

extern "C" {
#include <cmocka.h>
}
#undef fail
#undef skip
#undef mock

namespace kiln::test {

// `check(condition)`, with the source line on failure.
#define check(condition) _assert_true((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

template <class A, class B>
void check_equal_at(const A& got, const B& want, const char* expression, const char* file, int line) {
  if (got == want) return;
  if constexpr (fmt::is_formattable<A>::value && fmt::is_formattable<B>::value) {
    print_error("%s\n  got:  %s\n  want: %s\n", expression, fmt::format("{}", got).c_str(),
                fmt::format("{}", want).c_str());
  }
  _assert_true(0, expression, file, line);
}
#define check_equal(got, want) \
  ::kiln::test::check_equal_at((got), (want), #got " == " #want, __FILE__, __LINE__)

// The result holds a value; its error is printed otherwise.
#define check_ok(result)                                                                \
  do {                                                                                  \
    const auto& check_ok_result = (result);                                             \
    if (!check_ok_result) print_error("%s\n", check_ok_result.error().message.c_str()); \
    check(check_ok_result.has_value());                                                 \
  } while (false)

inline void check_contains_at(std::string_view text, std::string_view part, const char* file, int line) {
  if (text.find(part) != std::string_view::npos) return;
  print_error("'%s' does not contain '%s'\n", std::string(text).c_str(), std::string(part).c_str());
  _assert_true(0, "contains", file, line);
}
#define check_contains(text, part) ::kiln::test::check_contains_at((text), (part), __FILE__, __LINE__)

// int main() { return kiln::test::run("frames", {{"10-1 is refused with the way to write it", &backwards},
// …}); }
struct Case {
  const char* promise;
  void (*body)();
};
inline int run(const char* group, std::initializer_list<Case> cases) {
  std::vector<CMUnitTest> tests;
  for (const auto& one : cases) {
    const auto call = [](void** state) { reinterpret_cast<void (*)()> (*state)(); };
    tests.push_back({one.promise, call, nullptr, nullptr, reinterpret_cast<void*>(one.body)});
  }
  return _cmocka_run_group_tests(group, tests.data(), tests.size(), nullptr, nullptr) == 0 ? 0 : 1;
}

}  // namespace kiln::test
