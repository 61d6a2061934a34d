#include "box/kiln_toml.h"

#include <stdlib.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using kiln::box::ReadSettings;

namespace {

ReadSettings read(const std::string& text) {
  std::string name = (fs::temp_directory_path() / "kiln-box-XXXXXX").string();
  check(::mkdtemp(name.data()) != nullptr);
  const fs::path folder = name;
  fs::create_directories(folder / "zones/Europe");
  std::ofstream(folder / "zones/Europe/Berlin") << "x";
  std::ofstream(folder / "kiln.toml", std::ios::binary) << text;
  auto out = kiln::box::read_kiln_toml(folder / "kiln.toml", folder / "copy", folder / "zones");
  fs::remove_all(folder);
  return out;
}

void every_setting_is_taken() {
  const auto got = read(R"(
controller = "https://farm:8780"
ca_fingerprint = "AAAA-BBBB-CCCC-DDDD"
join_token = "kiln-join-Abc-123"
name = "shelf-3"
address = "192.168.1.50/24"
gateway = "192.168.1.1"
dns = ["192.168.1.1", "fd00::1"]
ssh_key = "ssh-ed25519 AAAAC3Nz you@desk"
timezone = "Europe/Berlin"
tags = ["basement", "rtx"]
factory_reset = "today"
)");
  check_equal(got.problems.size(), 0U);
  check_equal(got.settings.name, "shelf-3");
  const auto agent = kiln::box::agent_toml(got.settings, got.settings.name);
  for (const char* line : {"controller = \"https://farm:8780\"\n", "join_token = \"kiln-join-Abc-123\"\n",
                           "name = \"shelf-3\"\n", "tags = [\"basement\", \"rtx\"]\n", "ca_fingerprint = \"",
                           "status_file = \"/run/kiln-agent/status.json\"\n"}) {
    check_contains(agent, line);
  }
  const auto network = kiln::box::network_file(got.settings);
  for (const char* line :
       {"Address=192.168.1.50/24\n", "Gateway=192.168.1.1\n", "DNS=192.168.1.1\n", "DNS=fd00::1\n"}) {
    check_contains(network, line);
  }
  check(network.find("DHCP") == network.npos);
}

void an_empty_file_is_dhcp_and_no_mistake() {
  const auto got = read("# nothing\n");
  check_equal(got.problems.size(), 0U);
  check_equal(kiln::box::network_file(got.settings), "");
  check_equal(kiln::box::read_kiln_toml("/nonexistent/kiln.toml", "/nonexistent/copy").problems.size(), 0U);
}

void a_wrong_line_is_named_and_the_rest_counts() {
  const struct {
    const char* line;
    const char* says;
  } cases[] = {
      {"name = \"Shelf 3\"", "kiln.toml:2: name: 'Shelf 3' is wrong: a name has 1 to 32 of a-z, 0-9 and -"},
      {"name = 3", "kiln.toml:2: name: a name has"},
      {"nmae = \"shelf\"", "kiln.toml:2: no setting is called 'nmae'; there are: address, "},
      {"address = \"192.168.1.50\"", "kiln.toml:2: address: "},
      {"address = \"192.168.1.50/33\"", "as in \"192.168.1.50/24\""},
      {"address = \"192.168.1.256/24\"", "as in \"192.168.1.50/24\""},
      {"gateway = \"router\"", "kiln.toml:2: gateway: "},
      {"dns = [\"router\"]", "kiln.toml:2: dns: 'router' is no address"},
      {"dns = \"192.168.1.1\"", "a list of addresses is expected"},
      {"timezone = \"Berlin\"", "as in \"Europe/Berlin\""},
      {"timezone = \"../../etc/passwd\"", "as in \"Europe/Berlin\""},
      {"ssh_key = \"hunter2\"", "copy the line of your .pub file"},
      {"ssh_key = \"ssh-rsa A\\nssh-rsa B\"", "copy the line of your .pub file"},
      {"controller = \"ftp://farm\"", "write the controller's address as \"https://farm:8780\""},
      {"controller = farm", "kiln.toml:2: "},
      {"controller = \"https://farm:99999\"", "write the controller's address"},
      {"controller = \"https://farm:8780/page\"", "write the controller's address"},
      {"controller = \"https://[farm]\"", "write the controller's address"},
      {"join_token = \"abc\"", "copy the token as `kiln node token` shows it"},
      {"tags = [\"a b\"]", "at most 16 tags"},
      {"join_token = \"a b\"", "copy the token as"},
      {"name \"x\"", "kiln.toml:2: "},
      {"[[[", "kiln.toml:2: "},
  };
  for (const auto& one : cases) {
    const auto got = read(fmt::format("factory_reset = \"kept\"\n{}\nsshkey = 1\n", one.line));
    check_equal(got.problems.size(), 2U);
    const auto& first =
        got.problems[0].find("sshkey") == std::string::npos ? got.problems[0] : got.problems[1];
    check_contains(first, one.says);
    check_equal(got.settings.factory_reset, "kept");
  }
}

void a_wrong_line_of_trust_lets_it_join_nobody() {
  check(read("").may_join);
  check(read("name = \"Shelf 3\"\n").may_join);
  check(!read("name = \"a\"\nca_fingerprint = \"abc\"\n").may_join);
  check(!read("a = \"\"\"\n\n\n").may_join);
}

void what_windows_editors_write_is_read() {
  const auto got = read("\xEF\xBB\xBF# settings\r\nname = \"shelf-3\"\r\n");
  check_equal(got.problems.size(), 0U);
  check_equal(got.settings.name, "shelf-3");
}

void a_file_that_is_none_ends() {
  for (const auto& text :
       {std::string(5000, '['), std::string("\0\0\0\0", 4), std::string("a = \"\"\"\n\n\n"),
        std::string(1000, '\n') + "=", std::string(200'000, 'x')}) {
    check(!read(text).problems.empty());
  }
}

void texts_cannot_leave_their_place() {
  kiln::box::BoxSettings settings;
  settings.tags = {"a\"b\\c"};
  check_contains(kiln::box::agent_toml(settings, "x"), R"(tags = ["a\"b\\c"])");
}

}  // namespace

int main() {
  return kiln::test::run(
      "kiln.toml", {{"every setting is taken", &every_setting_is_taken},
                    {"an empty file is DHCP and no mistake", &an_empty_file_is_dhcp_and_no_mistake},
                    {"a wrong line is named and the rest counts", &a_wrong_line_is_named_and_the_rest_counts},
                    {"a wrong line of trust lets it join nobody", &a_wrong_line_of_trust_lets_it_join_nobody},
                    {"what Windows' editors write is read", &what_windows_editors_write_is_read},
                    {"a file that is none ends", &a_file_that_is_none_ends},
                    {"texts cannot leave their place", &texts_cannot_leave_their_place}});
}
