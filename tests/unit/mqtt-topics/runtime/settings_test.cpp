#include "runtime/settings.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using kiln::Code;
using kiln::Status;
using namespace kiln::runtime;  // NOLINT

namespace {

// A file that goes with the test.
struct File {
  explicit File(const std::string& text) {
    std::string name = (fs::temp_directory_path() / "kiln-settings-XXXXXX").string();
    const int fd = ::mkstemp(name.data());
    check(fd >= 0);
    ::close(fd);
    path = name;
    std::ofstream(path) << text;
  }
  ~File() { fs::remove(path); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  fs::path path;
};

struct Values {
  std::string name;
  std::vector<std::string> tags;
  std::uint32_t slots = 0;
  double limit_c = 0;
};
Settings settings(Values& values) {
  return {
      {"name", text_setting([&](const std::string& value) -> Status {
         if (value.empty()) return kiln::fail(Code::invalid, "a name is expected");
         values.name = value;
         return {};
       })},
      {"slots", number_setting(values.slots, 0, 8)},
      {"heat.limit_c", amount_setting(values.limit_c, 0, 100)},
      {"heat.tags", texts_setting([&](std::vector<std::string> value) -> Status {
         values.tags = std::move(value);
         return {};
       })},
  };
}

void settings_are_read_with_and_without_a_section() {
  const File file("name = \"a\"\nslots = 3\n[heat]\nlimit_c = 70.5\ntags = [\"x\", \"y\"]\n");
  Values values;
  check_ok(read_settings(file.path, settings(values)));
  check_equal(values.name, "a");
  check_equal(values.slots, 3U);
  check_equal(values.limit_c, 70.5);
  check_equal(values.tags.size(), 2U);
  check_equal(values.tags.at(1), "y");
  const File whole("heat.limit_c = 70\nheat.tags = []\n");
  check_ok(read_settings(whole.path, settings(values)));
  check_equal(values.limit_c, 70.0);
  check(values.tags.empty());
}

void a_wrong_line_is_named_with_what_would_be_right() {
  const struct {
    const char* text;
    int line;
    const char* message;
  } cases[] = {
      {"nam = \"a\"", 1, "no setting is called 'nam'; there are: heat.limit_c, heat.tags, name, slots"},
      {"\n[farm]\nslots = 1", 2, "no setting is called 'farm'"},
      {"[heat]\nlimit = 1", 2, "no setting is called 'heat.limit'"},
      {"name = 7", 1, "name: a text in quotes is expected"},
      {"name = \"\"", 1, "name: a name is expected"},
      {"slots = 9", 1, "slots: a whole number from 0 to 8 is expected"},
      {"slots = 1.5", 1, "slots: a whole number from 0 to 8 is expected"},
      {"slots = true", 1, "slots: a whole number from 0 to 8 is expected"},
      {"[heat]\nlimit_c = nan", 2, "heat.limit_c: a number from 0 to 100 is expected"},
      {"[heat]\nlimit_c = \"1\"", 2, "heat.limit_c: a number from 0 to 100 is expected"},
      {"[heat]\ntags = \"x\"", 2, "heat.tags: a list of texts is expected"},
      {"[heat]\ntags = [\"x\", 1]", 2, "heat.tags: a list of texts is expected"},
      {"name = 2026-11-26", 1, "name: a text in quotes is expected"},
      {"slots = 1\nslots = 2", 2, ""},
      {"[:", 1, ""},
  };
  for (const auto& one : cases) {
    const File file(one.text);
    Values values;
    const auto read = read_settings(file.path, settings(values));
    check(!read.has_value());
    check_equal(kiln::to_string(read.error().code), kiln::to_string(Code::invalid));
    check_contains(read.error().message, fmt::format("{}:{}: ", file.path.string(), one.line));
    check_contains(read.error().message, one.message);
  }
  Values values;
  check_contains(read_settings("/no/such/file", settings(values)).error().message, "/no/such/file: ");
}

}  // namespace

int main() {
  return kiln::test::run(
      "settings",
      {{"settings are read with and without a section", settings_are_read_with_and_without_a_section},
       {"a wrong line is named with what would be right", a_wrong_line_is_named_with_what_would_be_right}});
}
