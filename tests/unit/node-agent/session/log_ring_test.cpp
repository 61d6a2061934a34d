#include "session/log_ring.h"

#include "check.h"

using kiln::session::LogRing;

namespace {

void a_short_log_is_kept_whole() {
  LogRing log(4096);
  log.add("one");
  log.add("");
  log.add("two");
  check_equal(log.text(), "one\n\ntwo\n");
}

void of_a_long_log_the_beginning_and_the_end_stay() {
  LogRing log(1000);
  for (int i = 0; i < 1000; ++i) log.add(fmt::format("line {}", i));
  const auto text = log.text();
  check(text.size() <= 1000 + 40);
  check(text.starts_with("line 0\nline 1\n"));
  check(text.ends_with("line 998\nline 999\n"));
  check_contains(text, " lines left out]\n");
}

void whatever_a_renderer_prints_becomes_utf8_of_bounded_lines() {
  LogRing log;
  log.add("caf\xe9");
  log.add(std::string(100'000, 'x'));
  check_contains(log.text(), "caf\xef\xbf\xbd\n");
  check(log.text().size() < 5000);
}

}  // namespace

int main() {
  return kiln::test::run("log_ring", {{"a short log is kept whole", a_short_log_is_kept_whole},
                                      {"of a long log the beginning and the end stay",
                                       of_a_long_log_the_beginning_and_the_end_stay},
                                      {"whatever a renderer prints becomes UTF-8 of bounded lines",
                                       whatever_a_renderer_prints_becomes_utf8_of_bounded_lines}});
}
