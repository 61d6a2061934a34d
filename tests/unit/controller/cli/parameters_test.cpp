#include "cli/parameters.h"

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
                                  {"limits and pairs are read", limits_and_pairs_are_read}});
}
