#include "runtime/beneath.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "runtime/files.h"

#include "check.h"

using kiln::Code;
using kiln::runtime::Beneath;
namespace fs = std::filesystem;

namespace {

// theirs/: written by somebody hostile. ours/: a secret, and where things are moved to.
struct Bench {
  Bench() {
    auto pattern = (fs::temp_directory_path() / "kiln-beneath-XXXXXX").native();
    check(::mkdtemp(pattern.data()) != nullptr);
    root = pattern;
    for (const auto* one : {"theirs/a/b", "ours/kept"}) fs::create_directories(root / one);
    write("theirs/a/b/frame.png", "picture");
    write("theirs/top", "top");
    write("ours/secret", "secret");
    fs::create_symlink(root / "ours", root / "theirs/out");
    fs::create_symlink(root / "ours/secret", root / "theirs/a/link.png");
    check(::mkfifo((root / "theirs/pipe").c_str(), 0600) == 0);
  }
  ~Bench() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  void write(const std::string& path, const std::string& text) const { std::ofstream(root / path) << text; }
  [[nodiscard]] std::string text(const std::string& path) const {
    return kiln::runtime::read_file(root / path, 100).value_or("none");
  }
  [[nodiscard]] Beneath theirs() const { return *Beneath::open(root / "theirs"); }
  [[nodiscard]] Beneath kept() const { return *Beneath::open(root / "ours/kept"); }
  fs::path root;
};

void files_are_listed_and_links_are_not() {
  const Bench bench;
  const auto files = bench.theirs().files();
  check_ok(files);
  check(*files == std::vector<std::string>({"a/b/frame.png", "top"}));
}

void a_file_moves_and_replaces() {
  const Bench bench;
  bench.write("ours/kept/1.png", "before");
  check_ok(bench.theirs().move_file("a/b/frame.png", bench.kept(), "1.png"));
  check_equal(bench.text("ours/kept/1.png"), "picture");
  check(!fs::exists(bench.root / "theirs/a/b/frame.png"));
  check(bench.theirs().move_file("a/b/frame.png", bench.kept(), "1.png").error().code == Code::not_found);
}

void what_is_no_file_does_not_move() {
  const Bench bench;
  for (const auto* one : {"a/link.png", "pipe", "a"}) {
    const auto moved = bench.theirs().move_file(one, bench.kept(), "x");
    check(!moved && moved.error().code == Code::invalid);
    check(!fs::exists(fs::symlink_status(bench.root / "ours/kept/x")));
  }
  check_equal(bench.text("ours/secret"), "secret");
}

void no_link_is_followed_on_the_way() {
  const Bench bench;
  check(bench.theirs().move_file("out/secret", bench.kept(), "x").error().code == Code::denied);
  check(bench.theirs().make_folders("out/new").error().code == Code::denied);
  check(!fs::exists(bench.root / "ours/new"));
  check(bench.theirs().folder("out").error().code == Code::denied);
  check(Beneath::open(bench.root / "theirs/out").error().code == Code::denied);
  for (const auto* one : {"../ours", "a/../../ours", "/etc"})
    check(bench.theirs().folder(one).error().code == Code::invalid);
  check(bench.theirs().move_file("../ours/secret", bench.kept(), "x").error().code == Code::invalid);
}

void folders_are_made_and_entered() {
  const Bench bench;
  const auto made = bench.theirs().make_folders("a/new/deep");
  check_ok(made);
  check_ok(bench.theirs().move_file("top", *made, "moved"));
  check_equal(bench.text("theirs/a/new/deep/moved"), "top");
  check_ok(bench.theirs().make_folders(""));
}

}  // namespace

int main() {
  return kiln::test::run("beneath",
                         {
                             {"files are listed and links are not", &files_are_listed_and_links_are_not},
                             {"a file moves and replaces", &a_file_moves_and_replaces},
                             {"what is no file does not move", &what_is_no_file_does_not_move},
                             {"no link is followed on the way", &no_link_is_followed_on_the_way},
                             {"folders are made and entered", &folders_are_made_and_entered},
                         });
}
