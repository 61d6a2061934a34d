#include "daemon/config.h"

#include <stdlib.h>
#include <unistd.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using kiln::Code;
using kiln::agent::Config;

namespace {

// A file that goes with the test.
struct File {
  explicit File(const std::string& text) {
    std::string name = (fs::temp_directory_path() / "kiln-config-XXXXXX").string();
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

void a_controller_is_named_as_people_do() {
  const struct {
    const char* text;
    const char* url;
    const char* host;
  } cases[] = {
      {"http://farm:8780", "http://farm:8780", "farm"},
      {"http://farm:8780/", "http://farm:8780", "farm"},
      {"http://farm.lan", "http://farm.lan:80", "farm.lan"},
      {"farm", "https://farm:8780", "farm"},
      {"farm:9000", "https://farm:9000", "farm"},
      {"10.0.0.5", "https://10.0.0.5:8780", "10.0.0.5"},
      {"http://[::1]:8780", "http://[::1]:8780", "::1"},
      {"[fe80::1]", "https://[fe80::1]:8780", "fe80::1"},
  };
  for (const auto& one : cases) {
    const auto url = kiln::agent::parse_controller(one.text);
    check_ok(url);
    check_equal(*url, one.url);
    check_equal(kiln::agent::host_of(*url), one.host);
  }
}

void a_wrong_address_is_refused_with_a_right_one() {
  for (const char* text :
       {"", "http://", "ftp://farm", "http://farm:8780/api", "farm:", "farm:x", "farm:0", "farm:65536",
        "fe80::1", "[farm]", "[::1", "a b", "user@farm", "http://farm:1:2"}) {
    const auto url = kiln::agent::parse_controller(text);
    check(!url.has_value());
    check_contains(url.error().message, "write https://host:8780");
  }
  for (const char* text : {"", ":8783", "farm:", "farm:99999", "mqtt://farm"}) {
    const auto endpoint = kiln::agent::parse_endpoint(text);
    check(!endpoint.has_value());
    check_contains(endpoint.error().message, "write host:port");
  }
  check_equal(kiln::agent::parse_endpoint("farm")->str(), "farm:8783");
  check_equal(kiln::agent::parse_endpoint("[::1]:1883")->str(), "[::1]:1883");
}

void the_file_sets_everything() {
  const File file(R"(
controller = "farm"
name = "Box in the corner"
id = "box-7"
data = "/srv/kiln"
slots = 4
gpu_slots = 2
tags = ["basement", "rtx"]
blender = "/opt/blender/blender"
cache_gib = 200
sysfs = "/tmp/sys"
mqtt = "broker:1883"
[programs]
extra = ["povray", "/opt/tools/oiiotool"]
[power]
reboot = "systemctl reboot"
sleep = " systemctl  suspend "
)");
  Config config;
  check_ok(kiln::agent::read_file(file.path, config));
  check_equal(config.controller, "https://farm:8780");
  check_equal(config.name, "Box in the corner");
  check_equal(config.id->str(), "box-7");
  check_equal(config.data.string(), "/srv/kiln");
  check_equal(*config.slots, 4U);
  check_equal(*config.gpu_slots, 2U);
  check((config.tags == std::vector<std::string>{"basement", "rtx"}));
  check((config.programs == std::vector<std::string>{"povray", "/opt/tools/oiiotool"}));
  check((config.reboot == std::vector<std::string>{"systemctl", "reboot"}));
  check((config.sleep == std::vector<std::string>{"systemctl", "suspend"}));
  check_equal(config.blender, "/opt/blender/blender");
  check_equal(config.cache_gib, 200U);
  check_equal(config.sysfs.string(), "/tmp/sys");
  check_equal(config.mqtt->str(), "broker:1883");
}

void a_wrong_line_is_named_with_what_would_be_right() {
  const struct {
    const char* text;
    int line;
    const char* message;
  } cases[] = {
      {"slots = 65", 1, "slots: \"auto\" or a whole number from 0 to 64 is expected"},
      {"\nslots = \"2\"", 2, "slots: \"auto\" or a whole number from 0 to 64 is expected"},
      {"slots = 1.5", 1, "slots: \"auto\" or a whole number from 0 to 64 is expected"},
      {"slots = -1", 1, "slots: \"auto\" or a whole number from 0 to 64 is expected"},
      {"gpu_slots = 17", 1, "gpu_slots: \"auto\" or a whole number from 0 to 16 is expected"},
      {"tags = \"rtx\"", 1, "tags: a list of texts is expected"},
      {"tags = [\"RTX\"]", 1, "tags: 'RTX' is no tag: 1 to 32 of a-z, 0-9 and - are expected"},
      {"[programs]\nextra = [\"a/b\"]", 2, "programs.extra: 'a/b' is no program"},
      {"[programs]\nextra = [\"\"]", 2, "programs.extra: '' is no program"},
      {"[power]\nsleep = 1", 2, "power.sleep: a text in quotes is expected"},
      {"[power]\nhibernate = \"x\"", 2, "no setting is called 'power.hibernate'"},
      {"\n\ncontroler = \"x\"", 3, "no setting is called 'controler'; there are: blender, box.boot_id, "},
      {"[farm]\nslots = 1", 1, "no setting is called 'farm'"},
      {"controller = 7", 1, "controller: a text in quotes is expected"},
      {"controller = \"ftp://x\"", 1, "controller: 'ftp://x' is no controller's address"},
      {"id = \"Box 7\"", 1, "id: "},
      {"data = \"here\"", 1, "data: 'here' does not start with '/'"},
      {"name = \"a\\nb\"", 1, "name: one line"},
      {"blender = \"\"", 1, "blender: a program is expected"},
      {"cache_gib = 0", 1, "cache_gib: a whole number from 1 to"},
      {"mqtt = \"x:y\"", 1, "mqtt: 'x:y' is no broker's address"},
      {"slots = 1\nslots = 2", 2, ""},
      {"slots =", 1, ""},
  };
  for (const auto& one : cases) {
    const File file(one.text);
    Config config;
    const auto read = kiln::agent::read_file(file.path, config);
    check(!read.has_value());
    check_equal(kiln::to_string(read.error().code), kiln::to_string(Code::invalid));
    check_contains(read.error().message, fmt::format("{}:{}: ", file.path.string(), one.line));
    check_contains(read.error().message, one.message);
  }
  Config config;
  check_contains(kiln::agent::read_file("/no/such/file", config).error().message, "/no/such/file");
}

void flags_win_over_the_file() {
  const File file("slots = 4\ncontroller = \"farm\"\ncache_gib = 7\n");
  const auto name = file.path.string();
  const char* const argv[] = {"kiln-agent", "--config", name.c_str(), "--controller", "other", "--data",
                              "/srv/a",     "--slots",  "2",          "--mqtt",       "b:1",   "--check"};
  const auto config = kiln::agent::read_command_line(std::size(argv), argv);
  check_ok(config);
  check_equal(config->controller, "https://other:8780");
  check_equal(*config->slots, 2U);
  check(!config->gpu_slots);
  check_equal(config->cache_gib, 7U);
  check_equal(config->data.string(), "/srv/a");
  check_equal(config->mqtt->str(), "b:1");
  check(config->check);
}

void slots_are_a_number_or_left_to_the_agent() {
  const File file("slots = 4\ngpu_slots = 0\n");
  const auto name = file.path.string();
  const char* const argv[] = {"kiln-agent", "--config", name.c_str(), "--slots", "auto"};
  const auto config = kiln::agent::read_command_line(std::size(argv), argv);
  check_ok(config);
  check(!config->slots);
  check_equal(*config->gpu_slots, 0U);
  const File automatic("slots = \"auto\"\ngpu_slots = \"auto\"\n");
  Config read;
  read.slots = 1;
  check_ok(kiln::agent::read_file(automatic.path, read));
  check(!read.slots && !read.gpu_slots);
}

void a_wrong_flag_is_named() {
  const struct {
    std::vector<const char*> flags;
    const char* message;
  } cases[] = {
      {{"--controller", "ftp://x"}, "--controller: 'ftp://x' is no controller's address"},
      {{"--slots", "99"}, "--slots: \"auto\" or a whole number from 0 to 64 is expected"},
      {{"--slots", ""}, "--slots: "},
      {{"--gpu-slots", "-1"}, "--gpu-slots: "},
      {{"--cache-size", "x"}, "--cache-size"},
      {{"--id", "A"}, "--id: "},
      {{"--colour"}, "--colour"},
      {{"--data", ""}, "--data"},
  };
  for (const auto& one : cases) {
    std::vector<const char*> argv{"kiln-agent", "--config", "/dev/null"};
    argv.insert(argv.end(), one.flags.begin(), one.flags.end());
    const auto config = kiln::agent::read_command_line(static_cast<int>(argv.size()), argv.data());
    check(!config.has_value());
    check_contains(config.error().message, one.message);
  }
}

void the_data_folder_is_systemds_or_the_users() {
  ::setenv("STATE_DIRECTORY", "/var/lib/a:/var/lib/b", 1);
  check_equal(kiln::agent::default_data().string(), "/var/lib/a");
  ::unsetenv("STATE_DIRECTORY");
  check(kiln::agent::default_data().is_absolute());
}

}  // namespace

int main() {
  return kiln::test::run(
      "agent config",
      {{"a controller is named as people do", a_controller_is_named_as_people_do},
       {"a wrong address is refused with a right one", a_wrong_address_is_refused_with_a_right_one},
       {"the file sets everything", the_file_sets_everything},
       {"a wrong line is named with what would be right", a_wrong_line_is_named_with_what_would_be_right},
       {"flags win over the file", flags_win_over_the_file},
       {"slots are a number, or left to the agent", slots_are_a_number_or_left_to_the_agent},
       {"a wrong flag is named", a_wrong_flag_is_named},
       {"the data folder is systemd's or the user's", the_data_folder_is_systemds_or_the_users}});
}
