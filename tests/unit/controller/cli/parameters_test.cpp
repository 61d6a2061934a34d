#include "cli/parameters.h"

#include <cstdlib>

#include "folder.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::cli;

namespace {

void parameters_are_names_and_values() {
  const test::Folder folder;
  const auto file = folder.write("v.yaml", "A: from file\nB: 0x10\nC: 1.50\n");
  const auto values = read_parameters({"A=x=y", "file://" + file.string(), "B="});
  check_ok(values);
  check((*values == Values{{"A", "from file"}, {"B", ""}, {"C", "1.50"}}));
  for (const auto* wrong : {"A", "=x", "80", "file:///nonexistent"})
    check(!read_parameters({wrong}).has_value());
  check_contains(read_parameters({"80"}).error().message, "--priority");
  const auto list = folder.write("l.yaml", "[1, 2]");
  check_contains(read_parameters({"file://" + list.string()}).error().message, "names with their values");
}

void luggage_holds_each_path_once() {
  const test::Folder folder;
  folder.write("a/x.txt", "1");
  folder.write("a/b/y.txt", "2");
  const auto other = folder.write("x.txt", "3");
  Luggage luggage;
  check_ok(luggage.add(folder.path() / "a", "in"));
  check_ok(luggage.add(folder.path() / "a/x.txt", "in/x.txt"));  // the same file
  check_contains(luggage.add(other, "in/x.txt").error().message, "would both be in/x.txt");
  check(!luggage.add(folder.path() / "none", "n").has_value());
  std::filesystem::create_directory(folder.path() / "empty");
  check_contains(luggage.add(folder.path() / "empty", "e").error().message, "there is no file in it");
  const auto pack = luggage.take();
  check_equal(pack.files.size(), 2U);
  check_equal(pack.files[0].path, "in/b/y.txt");
}

void a_start_is_a_time_or_a_while() {
  ::setenv("TZ", "UTC", 1);
  ::tzset();
  constexpr std::int64_t noon = 1795780800'000;  // 2026-11-27 12:00
  const struct {
    const char* text;
    std::int64_t start;
  } cases[] = {{"+2h", noon + 7'200'000},    {"+30m", noon + 1'800'000},
               {"+1d", noon + 86'400'000},   {"2026-11-27 22:00", noon + 36'000'000},
               {"22:00", noon + 36'000'000}, {"06:30", noon + 66'600'000}};
  for (const auto& one : cases) {
    const auto start = read_start(one.text, noon);
    check_ok(start);
    check_equal(*start, one.start);
  }
  for (const auto* wrong :
       {"", "+", "+h", "2h", "+99999h", "tomorrow", "25:00", "2026-11-27", "2026-11-27 22:00x"})
    check(!read_start(wrong, noon).has_value());
}

void limits_and_pairs_are_read() {
  check((*read_limit("nuke") == payloads::LimitUse{"nuke", 1}));
  check((*read_limit("nuke=3") == payloads::LimitUse{"nuke", 3}));
  for (const auto* wrong : {"", "=1", "Nuke", "nuke=", "nuke=0", "nuke=x"})
    check(!read_limit(wrong).has_value());
  check((*read_pair("B:A") == payloads::FrameByFrame{"B", "A"}));
  for (const auto* wrong : {"", "B", ":A", "B:"}) check(!read_pair(wrong).has_value());
}

}  // namespace

int main() {
  return test::run("parameters", {{"parameters are names and values", parameters_are_names_and_values},
                                  {"luggage holds each path once", luggage_holds_each_path_once},
                                  {"a start is a time or a while", a_start_is_a_time_or_a_while},
                                  {"limits and pairs are read", limits_and_pairs_are_read}});
}
