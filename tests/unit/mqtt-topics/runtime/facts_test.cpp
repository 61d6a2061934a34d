#include "runtime/facts.h"

#include <cstdlib>

#include "check.h"
#include "runtime/files.h"

namespace fs = std::filesystem;
namespace runtime = kiln::runtime;

namespace {

void a_first_line_comes_without_the_space_at_its_end() {
  char name[] = "/tmp/kiln-facts-XXXXXX";
  const fs::path folder = ::mkdtemp(name);
  const std::pair<const char*, const char*> cases[] = {
      {"aa:bb\n", "aa:bb"}, {"none", "none"}, {"x y \t\r\nz\n", "x y"},
      {"\nsecond", ""},     {"", ""},         {"  \n", ""},
  };
  for (const auto& [text, line] : cases) {
    check_ok(runtime::write_file_atomically(folder / "file", text));
    check_equal(runtime::first_line(folder / "file"), line);
  }
  check_equal(runtime::first_line(folder / "none"), "");
  fs::remove_all(folder);
}

void a_value_is_that_of_its_own_key() {
  const char* text = "VERSION_OF=no\nVERSION=1.0+2\n OTHER=x\nEMPTY=\nLAST=a=b";
  const std::pair<const char*, const char*> cases[] = {
      {"VERSION", "1.0+2"}, {"OTHER", ""}, {"EMPTY", ""}, {"LAST", "a=b"}, {"OF", ""}, {"NONE", ""},
  };
  for (const auto& [key, value] : cases) check_equal(runtime::value_of(text, key), value);
  check_equal(runtime::value_of("", "VERSION"), "");
}

}  // namespace

int main() {
  return kiln::test::run("facts", {{"a first line comes without the space at its end",
                                    a_first_line_comes_without_the_space_at_its_end},
                                   {"a value is that of its own key", a_value_is_that_of_its_own_key}});
}
