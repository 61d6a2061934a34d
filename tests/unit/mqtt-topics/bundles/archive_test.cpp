#include "bundles/archive.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "../../node-agent/telemetry/tree.h"
#include "archives.h"
#include "runtime/fd.h"
#include "runtime/files.h"
// check.h last
#include "check.h"

using namespace kiln;
using namespace kiln::test;
namespace fs = std::filesystem;

namespace {

Result<bundles::Contents> examine(const fs::path& file, const bundles::Bounds& bounds = {}) {
  const auto open = runtime::open_file(file, O_RDONLY);
  check_ok(open);
  return bundles::examine(open->get(), "blender", bounds);
}

unsigned mode_of(const fs::path& path) {
  struct stat facts {};
  check(::lstat(path.c_str(), &facts) == 0);
  return facts.st_mode & 07777U;
}

void every_kind_of_archive_is_read_and_unpacked_alike() {
  for (const auto pack : {Pack::tar, Pack::tar_gz, Pack::tar_xz, Pack::tar_zst, Pack::zip}) {
    const Tree box;
    const auto file = box.root() / "a";
    write_archive(file, honest(), pack);
    const auto contents = examine(file);
    check_ok(contents);
    check_equal(contents->program, "blender-4.2.1-linux-x64/blender");
    check_equal(contents->bytes, 100'028U);
    const auto folder = box.root() / "unpacked";
    check_ok(runtime::make_folders(folder));
    const auto unpacked = bundles::unpack(file, folder, "blender");
    check_ok(unpacked);
    check_equal(unpacked->bytes, contents->bytes);
    const auto top = folder / "blender-4.2.1-linux-x64";
    check_equal(content_of(top / "blender"), "#!/bin/sh\necho hello\n");
    check_equal(content_of(top / "4.2/up"), std::string(100'000, 'l'));
    check_equal(fs::read_symlink(top / "lib/libfoo.so").string(), "libfoo.so.1");
    check_equal(mode_of(top / "blender"), 0555U);
    check_equal(mode_of(top / "readme.html"), 0444U);
    check_equal(mode_of(top / "lib"), 0555U);
    check_ok(bundles::remove_tree(folder));
    check(!fs::exists(folder));
  }
}

void modes_that_give_rights_are_not_unpacked() {
  const Tree box;
  write_archive(box.root() / "a", {{"blender", "x", AE_IFREG, 06777}, {"./data/", "", AE_IFDIR, 01777}});
  check_ok(runtime::make_folders(box.root() / "out"));
  check_ok(bundles::unpack(box.root() / "a", box.root() / "out", "blender"));
  check_equal(mode_of(box.root() / "out/blender"), 0555U);
  check_equal(mode_of(box.root() / "out/data"), 0555U);
  check_ok(bundles::remove_tree(box.root() / "out"));
}

void what_would_leave_the_folder_is_refused_and_writes_nothing_outside() {
  const struct {
    const char* name;
    std::vector<Packed> entries;
    const char* said;
  } cases[] = {
      {"a path up", {{"blender", "x"}, {"../evil", "x"}}, "outside of its folder"},
      {"a path up in the middle", {{"blender", "x"}, {"a/../../evil", "x"}}, "outside of its folder"},
      {"an absolute path", {{"blender", "x"}, {"/tmp/kiln-evil", "x"}}, "outside of its folder"},
      {"an absolute link",
       {{"blender", "x"}, {"link", "", AE_IFLNK, 0777, "/etc"}},
       "leads out of the archive"},
      {"a link up",
       {{"blender", "x"}, {"a/link", "", AE_IFLNK, 0777, "../../etc"}},
       "leads out of the archive"},
      {"a link that goes down and up",
       {{"blender", "x"}, {"d", "", AE_IFLNK, 0777, "."}, {"e", "", AE_IFLNK, 0777, "d/d/../../.."}},
       "leads out of the archive"},
      {"a file below a link",
       {{"blender", "x"}, {"d", "", AE_IFLNK, 0777, "."}, {"d/evil", "x"}},
       "which is no folder"},
      {"a folder in place of a link",
       {{"blender", "x"}, {"d", "", AE_IFLNK, 0777, "."}, {"d", "", AE_IFDIR}},
       "stands there twice"},
      {"a file in place of a link",
       {{"blender", "x"}, {"d", "", AE_IFLNK, 0777, "blender"}, {"d", "x"}},
       "stands there twice"},
      {"a hard link to what is not there",
       {{"blender", "x"}, {"h", "", AE_IFREG, 0644, "", "/etc/passwd"}},
       "no file before it"},
      {"a hard link through a link",
       {{"blender", "x"}, {"l", "", AE_IFLNK, 0777, "blender"}, {"h", "", AE_IFREG, 0644, "", "l"}},
       "no file before it"},
      {"a device", {{"blender", "x"}, {"null", "", AE_IFCHR}}, "is a device"},
      {"a disk", {{"blender", "x"}, {"sda", "", AE_IFBLK}}, "is a device"},
      {"a FIFO", {{"blender", "x"}, {"pipe", "", AE_IFIFO}}, "is a device"},
      {"a backslash", {{"blender", "x"}, {"a\\b", "x"}}, "is no path"},
  };
  for (const auto& one : cases) {
    const Tree box;
    const auto file = box.root() / "a";
    write_archive(file, one.entries, Pack::tar);
    const auto contents = examine(file);
    if (contents) print_error("%s\n", one.name);
    check(!contents.has_value());
    check(contents.error().code == Code::invalid);
    check_contains(contents.error().message, one.said);
    check_ok(runtime::make_folders(box.root() / "in/out"));
    check(!bundles::unpack(file, box.root() / "in/out", "blender").has_value());
    check(!fs::exists(box.root() / "in/evil"));
    check(!fs::exists(box.root() / "evil"));
    check(!fs::exists("/tmp/kiln-evil"));
  }
}

void links_within_are_fine_and_hard_links_are_the_same_file() {
  const Tree box;
  write_archive(box.root() / "a",
                {{"b/blender", "x"},
                 {"b/same", "", AE_IFREG, 0755, "", "b/blender"},
                 {"b/c/link", "", AE_IFLNK, 0777, "../../b/blender"}},
                Pack::tar);
  check_ok(runtime::make_folders(box.root() / "out"));
  check_ok(bundles::unpack(box.root() / "a", box.root() / "out", "blender"));
  check_equal(content_of(box.root() / "out/b/same"), "x");
  check_equal(content_of(box.root() / "out/b/c/link"), "x");
  check_ok(bundles::remove_tree(box.root() / "out"));
}

void bounds_hold_before_the_disk_is_full() {
  const Tree box;
  write_archive(box.root() / "bomb", {{"blender", std::string(5'000'000, '0')}}, Pack::tar_xz);
  check(fs::file_size(box.root() / "bomb") < 20'000);
  const auto large = examine(box.root() / "bomb", {.max_entries = 10, .max_bytes = 1'000'000});
  check(!large.has_value());
  check(large.error().code == Code::too_large);
  std::vector<Packed> many{{"blender", "x"}};
  for (int i = 0; i < 20; ++i) many.push_back({"f" + std::to_string(i), "x"});
  write_archive(box.root() / "many", many);
  check(examine(box.root() / "many", {.max_entries = 10, .max_bytes = 1'000'000}).error().code ==
        Code::too_large);
}

void what_is_no_archive_or_a_damaged_one_is_said() {
  const Tree box;
  box.write("text", std::string(10'000, 'x'));
  check_contains(examine(box.root() / "text").error().message, "tar (plain, gzip");
  box.write("empty", "");
  check(!examine(box.root() / "empty").has_value());
  write_archive(box.root() / "whole", honest(), Pack::tar_xz);
  const auto bytes = content_of(box.root() / "whole");
  box.write("cut", bytes.substr(0, bytes.size() / 2));
  check_contains(examine(box.root() / "cut").error().message, "cannot be read");
  auto flipped = bytes;
  flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 1);
  box.write("flipped", flipped);
  check(!examine(box.root() / "flipped").has_value());
}

void an_archive_without_the_program_says_what_it_lacks() {
  const struct {
    std::vector<Packed> entries;
    const char* said;
  } cases[] = {{{{"readme", "x"}}, "holds no executable 'blender'"},
               {{{"b/blender", "x", AE_IFREG, 0644}}, "is not executable"},
               {{{"b/blender.exe", "x"}}, "a build for Windows"},
               {{{"blender", "", AE_IFDIR}}, "holds no executable 'blender'"}};
  for (const auto& one : cases) {
    const Tree box;
    write_archive(box.root() / "a", one.entries);
    const auto contents = examine(box.root() / "a");
    check(!contents.has_value());
    check_contains(contents.error().message, one.said);
  }
  const Tree box;
  write_archive(box.root() / "a", {{"b/lib/blender", "x"}, {"b/blender", "x"}});
  check_equal(examine(box.root() / "a")->program, "b/blender");
}

void work_ends_when_it_is_cancelled() {
  const Tree box;
  write_archive(box.root() / "a", honest());
  const auto open = runtime::open_file(box.root() / "a", O_RDONLY);
  check(bundles::examine(open->get(), "blender", {}, [] { return true; }).error().code == Code::timeout);
}

}  // namespace

int main() {
  return kiln::test::run(
      "archive",
      {{"every kind of archive is read and unpacked alike", every_kind_of_archive_is_read_and_unpacked_alike},
       {"modes that give rights are not unpacked", modes_that_give_rights_are_not_unpacked},
       {"what would leave the folder is refused and writes nothing outside",
        what_would_leave_the_folder_is_refused_and_writes_nothing_outside},
       {"links within are fine, and hard links are the same file",
        links_within_are_fine_and_hard_links_are_the_same_file},
       {"bounds hold before the disk is full", bounds_hold_before_the_disk_is_full},
       {"what is no archive or a damaged one is said", what_is_no_archive_or_a_damaged_one_is_said},
       {"an archive without the program says what it lacks",
        an_archive_without_the_program_says_what_it_lacks},
       {"work ends when it is cancelled", work_ends_when_it_is_cancelled}});
}
