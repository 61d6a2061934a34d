#include "daemon/programs.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using namespace kiln::agent;  // NOLINT

namespace {

// A folder that goes with the test.
struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "kiln-programs-XXXXXX").string();
    check(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  [[nodiscard]] std::string program(const char* name, const char* script) const {
    const auto file = path / name;
    std::ofstream(file) << "#!/bin/sh\n" << script << "\n";
    ::chmod(file.c_str(), 0755);
    return file.string();
  }
  fs::path path;
};

void the_version_is_found_in_a_programs_words() {
  const struct {
    const char* output;
    const char* version;
  } cases[] = {
      {"ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers", "5.1.9"},
      {"POV-Ray 3.7.0.10.unofficial\n\nThis is an unofficial version compiled by:", "3.7.0.10"},
      {"povray: cannot open the user configuration file /root/.povray/3.7/povray.conf: No such file or "
       "directory\n"
       "POV-Ray 3.7.0.10.unofficial",
       "3.7.0.10"},
      {"oiiotool 2.4.7.1 -- simple image processing", "2.4.7.1"},
      {"Blender 3.4.1\n\tbuild date: ?", "3.4.1"},
      {"tool v4.2", "4.2"},
      {"built for deb12.1 on x86_64: 1.0", "1.0"},
      {"(3.5)", "3.5"},
      {"version 12", ""},
      {"1. one", ""},
      {"", ""},
      {"1.", ""},
      {"1..2", ""},
  };
  for (const auto& one : cases) check_equal(find_version(one.output), one.version);
  check_equal(find_version("1." + std::string(1000, '2')).size(), 32U);
}

void a_program_is_asked_in_either_way() {
  const Folder folder;
  const struct {
    const char* name;
    const char* script;
    const char* version;  // "": left out
  } cases[] = {
      {"gnu", "echo gnu 1.2", "1.2"},
      {"old", "[ \"$1\" = -version ] && echo old 3.4 && exit; echo no 9.9; exit 1", "3.4"},
      {"stderr", "echo pov 3.7 >&2", "3.7"},
      {"fails", "echo 1.2; exit 1", ""},
      {"silent", "exit 0", ""},
  };
  for (const auto& one : cases) {
    const auto found = detect_program(folder.program(one.name, one.script));
    check_equal(found.has_value(), *one.version != '\0');
    if (!found) continue;
    check_equal(found->name, one.name);
    check_equal(found->version, one.version);
  }
  check(!detect_program("no-such-program-of-kiln"));
}

void what_is_installed_later_is_found_then_and_asked_once() {
  const Folder folder;
  Config config;
  config.blender = (folder.path / "blender").string();
  config.programs = {(folder.path / "early").string(), (folder.path / "late").string()};
  (void)folder.program("early", "echo x >> \"$0.asked\"; echo 1.2");
  Programs programs(config);
  check_equal(programs.look().size(), 1U);
  check(!programs.has_blender());
  (void)folder.program("late", "echo 2.0");
  (void)folder.program("blender", "echo Blender 3.4.1");
  const auto& found = programs.look();
  check_equal(found.size(), 3U);
  check_equal(found[0].name, "blender");  // first, so that nothing is cut off before it
  check_equal(found[1].name, "early");
  check_equal(found[2].name, "late");
  check(programs.has_blender());
  check_equal(fs::file_size(folder.path / "early.asked"), 2U);
}

}  // namespace

int main() {
  return kiln::test::run(
      "programs", {{"the version is found in a program's words", the_version_is_found_in_a_programs_words},
                   {"a program is asked in either way", a_program_is_asked_in_either_way},
                   {"what is installed later is found then, and asked once",
                    what_is_installed_later_is_found_then_and_asked_once}});
}
