#include "runtime/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <regex>

#include "check.h"
#include "runtime/clock.h"
#include "runtime/fd.h"
#include "runtime/process.h"

using namespace kiln;

namespace {

// What `speak` writes to stderr.
std::string heard(void (*speak)()) {
  auto pipe = runtime::make_pipe();
  check_ok(pipe);
  const runtime::Fd before(::dup(STDERR_FILENO));
  ::dup2(pipe->write.get(), STDERR_FILENO);
  speak();
  ::dup2(before.get(), STDERR_FILENO);
  pipe->write.reset();
  std::string text;
  char c = 0;
  while (::read(pipe->read.get(), &c, 1) == 1) text += c;
  return text;
}

void a_line_has_time_level_room_and_text() {
  const auto text = heard([] { log::info("fleet", "node {} is back", "n1"); });
  if (!std::regex_match(text,
                        std::regex("[0-2][0-9]:[0-5][0-9]:[0-6][0-9] info  fleet: node n1 is back\n"))) {
    print_error("%s", text.c_str());
    check(false);
  }
}

void quieter_levels_are_dropped() {
  const auto text = heard([] {
    log::debug("x", "one");
    log::set_level(log::Level::warn);
    log::info("x", "two");
    log::warn("x", "three");
    log::error("x", "four");
    log::set_level(log::Level::debug);
    log::debug("x", "five");
    log::set_level(log::Level::info);
  });
  for (const char* part : {"warn  x: three\n", "error x: four\n", "debug x: five\n"})
    check_contains(text, part);
  for (const char* part : {"one", "two"}) check(text.find(part) == std::string::npos);
}

void what_others_say_stays_on_its_line() {
  check_equal(log::line(log::Level::info, "x", "a\nb\x1b[31m\x7f"), "info  x: a\\nb\\x1b[31m\\x7f");
  check_equal(log::line(log::Level::info, "x", "bad \xff byte"), "info  x: bad \xef\xbf\xbd byte");
  check_equal(log::line(log::Level::info, "x", "naïve"), "info  x: naïve");
  check(log::line(log::Level::info, "x", std::string(1'000'000, 'x')).size() < 10'000);
}

void levels_have_names() {
  for (const auto level : {log::Level::debug, log::Level::info, log::Level::warn, log::Level::error}) {
    check(*log::parse_level(to_string(level)) == level);
  }
  check_equal(log::parse_level("loud").error().message,
              "'loud' is no log level: debug, info, warn or error is expected");
}

void now_moves_on_both_scales() {
  constexpr std::int64_t year_2026_ms = 1'767'225'600'000;
  const auto a = runtime::now();
  const auto b = runtime::now();
  check(b.mono_ms >= a.mono_ms);
  check(a.mono_ms > 0);
  check(a.unix_ms > year_2026_ms - 1'000'000'000'000);
}

}  // namespace

int main() {
  ::unsetenv("JOURNAL_STREAM");
  return kiln::test::run("log",
                         {{"a line has time, level, room and text", a_line_has_time_level_room_and_text},
                          {"quieter levels are dropped", quieter_levels_are_dropped},
                          {"what others say stays on its line", what_others_say_stays_on_its_line},
                          {"levels have names", levels_have_names},
                          {"now moves on both scales", now_moves_on_both_scales}});
}
