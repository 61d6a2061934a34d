#include "base/text.h"

#include "base/json.h"
#include "check.h"

using namespace kiln;

namespace {

void only_the_shortest_form_of_a_character_is_utf8() {
  for (const char* good : {"", "a", "é", "€", "😀", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80"})
    check(is_utf8(good));
  for (const char* bad : {"\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "a\xe2\x82z"}) {
    check(!is_utf8(bad));
  }
}

void bytes_that_are_no_text_are_replaced() {
  check_equal(to_utf8("naïve"), "naïve");
  check_equal(to_utf8("a\xff\xc3z"), "a\xef\xbf\xbd\xef\xbf\xbdz");
  check_equal(to_utf8(std::string_view("a\0b", 3)),
              "a\xef\xbf\xbd"
              "b");
}

void json_never_prints_what_its_reader_refuses() {
  Json json;
  json.set("key \xff", std::string("value \xff\0 end", 12));
  const auto again = Json::parse(json.dump());
  check_ok(again);
  check_equal(*again->find("key \xef\xbf\xbd")->as_string(), "value \xef\xbf\xbd\xef\xbf\xbd end");
}

void a_cut_falls_between_characters() {
  check_equal(clip("abc", 5), "abc");
  check_equal(clip("abc", 2), "ab");
  check_equal(clip("aé", 2), "a");
  check_equal(clip("aé", 3), "aé");
  check_equal(clip("😀", 3), "");
  check_equal(clip("", 0), "");
}

void one_line_has_no_control_characters() {
  check(is_one_line("shot 7 – ö"));
  for (const char* bad : {"a\nb", "\x1b[31m", "\x7f", "\xff"}) check(!is_one_line(bad));
}

void a_refusal_is_one_line_and_not_endless() {
  check_equal(fail(Code::invalid, "job 7 – ö").value().message, "job 7 – ö");
  check_equal(fail(Code::invalid, "a\nb\x1b[31m\xff").value().message,
              "a\xef\xbf\xbd"
              "b\xef\xbf\xbd[31m\xef\xbf\xbd");
  const auto cut = fail(Error{Code::invalid, std::string(1'999, 'a') + "ööö"}).value().message;
  check(cut.size() <= 2'000 && is_one_line(cut) && cut.ends_with("…"));
}

}  // namespace

int main() {
  return kiln::test::run(
      "text",
      {{"only the shortest form of a character is UTF-8", only_the_shortest_form_of_a_character_is_utf8},
       {"bytes that are no text are replaced", bytes_that_are_no_text_are_replaced},
       {"JSON never prints what its reader refuses", json_never_prints_what_its_reader_refuses},
       {"a cut falls between characters", a_cut_falls_between_characters},
       {"one line has no control characters", one_line_has_no_control_characters},
       {"a refusal is one line and not endless", a_refusal_is_one_line_and_not_endless}});
}
