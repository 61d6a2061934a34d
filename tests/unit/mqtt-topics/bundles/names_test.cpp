#include "bundles/names.h"

// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::test;

namespace {

void a_files_name_says_which_renderer_it_is() {
  const struct {
    const char* file;
    const char* name;
  } cases[] = {{"blender-4.2.1-linux-x64.tar.xz", "blender-4.2.1"},
               {"/home/ada/Blender-3.6.14-linux-x64.tar.xz", "blender-3.6.14"},
               {"blender-2.93.18-linux-x64.tar.gz", "blender-2.93.18"},
               {"blender-2.79b-linux-glibc219-x86_64.tar.bz2", "blender-2.79"},
               {"blender-4.3.0-alpha+main.d0d0-linux.x86_64-release.tar.xz", "blender-4.3.0-alpha"},
               {"blender-5.0.0-rc1-linux-x64.zip", "blender-5.0.0-rc1"},
               {"studio-blender-4.2.tar.zst", "studio-blender-4.2"}};
  for (const auto& one : cases) {
    const auto name = bundles::name_of_file(one.file);
    check_ok(name);
    check_equal(name->str(), one.name);
  }
}

void what_says_nothing_or_another_system_is_refused() {
  const struct {
    const char* file;
    const char* said;
  } cases[] = {{"blender.tar.xz", "--name and --version"},
               {"4.2.1.tar.xz", "--name and --version"},
               {"", "--name and --version"},
               {"-4.2.tar.xz", "--name and --version"},
               {"blender-4.2.1-windows-x64.zip", "another system"},
               {"blender-4.2.1-macos-arm64.dmg", "another system"}};
  for (const auto& one : cases) check_contains(bundles::name_of_file(one.file).error().message, one.said);
}

void names_fit_into_a_path_and_a_url() {
  check_ok(bundles::check_name({"blender", "4.2.1-rc1"}));
  for (const bundles::Name& one : {bundles::Name{"", "4.2"},
                                   {"blender", ""},
                                   {"blender", "new"},
                                   {"Blender", "4.2"},
                                   {"../b", "4"},
                                   {"b/c", "4"},
                                   {"blender", "4..2"},
                                   {"blender", std::string(60, '1')},
                                   {"4blender", "4"}})
    check_contains(bundles::check_name(one).error().message, "blender-4.2.1");
}

}  // namespace

int main() {
  return kiln::test::run(
      "names",
      {{"a file's name says which renderer it is", a_files_name_says_which_renderer_it_is},
       {"what says nothing or another system is refused", what_says_nothing_or_another_system_is_refused},
       {"names fit into a path and a URL", names_fit_into_a_path_and_a_url}});
}
