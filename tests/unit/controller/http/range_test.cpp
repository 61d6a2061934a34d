#include "http/range.h"

#include "check.h"

using kiln::http::ByteRange;
using Kind = ByteRange::Kind;

namespace {

void one_range_of_bytes_is_honoured() {
  const struct {
    const char* range;
    std::uint64_t size;
    Kind kind;
    std::uint64_t first, length;
  } cases[] = {
      {"bytes=0-0", 10, Kind::part, 0, 1},
      {"bytes=2-5", 10, Kind::part, 2, 4},
      {"bytes=2-", 10, Kind::part, 2, 8},
      {"bytes=2-99", 10, Kind::part, 2, 8},
      {"bytes=-3", 10, Kind::part, 7, 3},
      {"bytes=-99", 10, Kind::part, 0, 10},
      {"bytes=9-9", 10, Kind::part, 9, 1},
      {"bytes=10-", 10, Kind::unsatisfiable, 0, 0},
      {"bytes=-0", 10, Kind::unsatisfiable, 0, 0},
      {"bytes=0-", 0, Kind::unsatisfiable, 0, 0},
      {"bytes=5-2", 10, Kind::whole, 0, 0},
      {"bytes=0-1,4-5", 10, Kind::whole, 0, 0},
      {"bytes=-", 10, Kind::whole, 0, 0},
      {"bytes=a-b", 10, Kind::whole, 0, 0},
      {"bytes=+1-2", 10, Kind::whole, 0, 0},
      {"bytes=1", 10, Kind::whole, 0, 0},
      {"bytes=99999999999999999999-", 10, Kind::whole, 0, 0},
      {"lines=1-2", 10, Kind::whole, 0, 0},
      {"", 10, Kind::whole, 0, 0},
  };
  for (const auto& one : cases) {
    const auto part = kiln::http::parse_range(one.range, one.size);
    check(part.kind == one.kind);
    check_equal(part.first, one.first);
    check_equal(part.length, one.length);
  }
}

void an_etag_is_found_in_a_list() {
  const struct {
    const char* field;
    bool is_named;
  } cases[] = {{"\"a\"", true}, {"W/\"a\"", true}, {"\"b\", \"a\"", true}, {"*", true}, {"\"b\"", false},
               {"a", false},    {"", false},       {"\"a", false}};
  for (const auto& one : cases) check_equal(kiln::http::names_etag(one.field, "\"a\""), one.is_named);
  check(!kiln::http::names_etag("*", ""));
}

}  // namespace

int main() {
  return kiln::test::run("range", {{"one range of bytes is honoured", one_range_of_bytes_is_honoured},
                                   {"an etag is found in a list", an_etag_is_found_in_a_list}});
}
