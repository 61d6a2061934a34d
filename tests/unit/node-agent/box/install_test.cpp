#include "box/install.h"

#include <stdlib.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;

namespace {

void only_a_file_of_the_agents_is_installed() {
  std::string name = (fs::temp_directory_path() / "kiln-box-XXXXXX").string();
  check(::mkdtemp(name.data()) != nullptr);
  const fs::path folder = fs::canonical(name);
  fs::create_directories(folder / "agent/updates");
  fs::create_directories(folder / "agent-of-another");
  std::ofstream(folder / "agent/updates/2.raucb") << "x";
  std::ofstream(folder / "outside.raucb") << "x";
  std::ofstream(folder / "agent-of-another/x.raucb") << "x";
  fs::create_symlink("../outside.raucb", folder / "agent/link.raucb");
  const auto request = [&](const std::string& path) {
    return kiln::box::requested_bundle(fmt::format(R"({{"bundle": "{}"}})", path), folder / "agent");
  };
  const auto good = request((folder / "agent/updates/2.raucb").string());
  check_ok(good);
  check_equal(good->string(), (folder / "agent/updates/2.raucb").string());
  for (const auto& path : {folder / "outside.raucb", folder / "agent/../outside.raucb",
                           folder / "agent/link.raucb", folder / "agent", folder / "agent/none.raucb",
                           folder / "agent-of-another/x.raucb", fs::path(), fs::path("/dev/null")}) {
    check(!request(path.string()).has_value());
  }
  for (const char* text : {"", "x", "[]", "{}", R"({"bundle": 3})", R"({"bundle": ["/"]})"}) {
    check(!kiln::box::requested_bundle(text, folder / "agent").has_value());
  }
  fs::remove_all(folder);
}

void raucs_progress_is_read() {
  const struct {
    const char* line;
    int percent;  // -1: none
  } cases[] = {{"  0% Installing", 0},
               {" 40% Checking slot root.1 (B)", 40},
               {"100% Installing done.", 100},
               {"installing", -1},
               {"", -1},
               {"   ", -1},
               {"101% x", -1},
               {"7", -1},
               {"LastError: 5%", -1}};
  for (const auto& one : cases) {
    const auto got = kiln::box::progress_of(one.line);
    check_equal(got ? static_cast<int>(*got) : -1, one.percent);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "install", {{"only a file of the agent's is installed", &only_a_file_of_the_agents_is_installed},
                  {"RAUC's progress is read", &raucs_progress_is_read}});
}
