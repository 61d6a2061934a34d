#include "files/thumbnails.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <thread>

#include "check.h"
#include "controller/files/exr_made.h"
#include "controller/store/scratch.h"
#include "runtime/process.h"

namespace fs = std::filesystem;
using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::Layout;
using files::Thumbnails;
using test::Scratch;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int width = 640;
constexpr int height = 320;

struct Shelf {
  Scratch scratch;
  Layout layout;
  Thumbnails thumbnails;
  JobId job = test::job_id(1);
  explicit Shelf(const Thumbnails::Bounds& bounds = {})
      : layout(scratch / "data"), thumbnails(layout, bounds) {
    check_ok(layout.create());
  }
  [[nodiscard]] fs::path frame(const std::string& path) const {
    const auto file = layout.output(job) / path;
    fs::create_directories(file.parent_path());
    return file;
  }
  void put(const std::string& path, const std::string& bytes) const {
    std::ofstream(frame(path), std::ios::binary) << bytes;
  }
  [[nodiscard]] fs::path cached(const std::string& path) const {
    return layout.thumbnails(job) / (path + ".jpg");
  }
};

std::string vips(const std::vector<std::string>& arguments) {
  std::vector<std::string> argv = {"vips"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const auto ran = runtime::run_capture(argv);
  check_ok(ran);
  if (!ran->status.ok()) print_error("%s\n", ran->output.c_str());
  check(ran->status.ok());
  return ran->output;
}

// The red value of a pixel, of 255.
double red(const fs::path& picture, int x, int y) {
  return std::strtod(vips({"getpoint", picture.string(), std::to_string(x), std::to_string(y)}).c_str(),
                     nullptr);
}

// JPEG and the last bit of a conversion cost a little.
void check_near(double got, double want) {
  if (std::abs(got - want) > 2) print_error("got %f, want %f\n", got, want);
  check(std::abs(got - want) <= 2);
}

void linear_light_is_shown_as_it_looks() {
  // 0.18 is mid grey, 118 in sRGB; 1 and what is brighter is white; half the picture is transparent.
  const auto value = [](const std::string& channel, int x, int y) {
    const float alpha = y < height / 2 ? 1.0F : 0.0F;
    const float light = x < width / 2 ? 0.18F : 4.0F;
    return channel.back() == 'A' ? alpha : light * alpha;
  };
  const struct {
    std::string name;
    std::vector<std::string> channels;
    double transparent;
  } cases[] = {
      {"rgba.exr", {"A", "B", "G", "R"}, 119},  // grey behind it
      {"rgb.exr", {"B", "G", "R"}, 0},
      {"layers.exr",
       {"View Layer.Combined.A", "View Layer.Combined.B", "View Layer.Combined.G", "View Layer.Combined.R"},
       0},
  };
  const Shelf shelf;
  for (const auto& one : cases) {
    shelf.put(one.name, test::exr(one.channels, width, height, value));
    Thumbnails thumbnails(shelf.layout);
    check_ok(thumbnails.open(shelf.job, one.name));
    const auto made = shelf.cached(one.name);
    check_near(red(made, 80, 40), 118);
    check_near(red(made, 240, 40), 255);
    check_near(red(made, 80, 120), one.transparent);
  }
}

void a_thumbnail_is_320_wide_and_a_small_picture_stays_small() {
  Shelf shelf;
  vips({"black", shelf.frame("big.png").string(), "1000", "500", "--bands", "4"});
  vips({"black", shelf.frame("small.png").string(), "100", "50", "--bands", "3"});
  for (const std::string name : {"big.png", "small.png"}) check_ok(shelf.thumbnails.open(shelf.job, name));
  check_near(red(shelf.cached("big.png"), 319, 159), 119);  // transparent: the grey behind it
  check_near(red(shelf.cached("small.png"), 99, 49), 0);
  const auto outside =
      runtime::run_capture({"vips", "getpoint", shelf.cached("big.png").string(), "320", "0"});
  check_ok(outside);
  check(!outside->status.ok());
}

void a_kind_that_libvips_does_not_trust_goes_through_ffmpeg() {
  Shelf shelf;
  // Targa: uncompressed, 24 bits, top left first.
  std::string targa("\0\0\x02\0\0\0\0\0\0\0\0\0", 12);
  targa += std::string("\x40\0\x20\0\x18\x20", 6) + std::string(64UL * 32 * 3, '\x80');
  shelf.put("frame.tga", targa);
  check_ok(shelf.thumbnails.open(shelf.job, "frame.tga"));
  check_near(red(shelf.cached("frame.tga"), 10, 10), 128);
}

void a_name_full_of_options_is_a_name() {
  Shelf shelf;
  const std::string name = "a [page=3]/%s:b,c[Q=1].png";
  vips({"black", (shelf.scratch / "p.png").string(), "64", "32"});
  fs::rename(shelf.scratch / "p.png", shelf.frame(name));
  check_ok(shelf.thumbnails.open(shelf.job, name));
  check(fs::exists(shelf.cached(name)));
}

ino_t inode(const files::OpenFile& file) {
  struct stat facts = {};
  check_equal(::fstat(file.fd.get(), &facts), 0);
  return facts.st_ino;
}

void a_thumbnail_is_made_once_and_again_for_another_frame() {
  Shelf shelf;
  vips({"black", shelf.frame("a.png").string(), "64", "32"});
  const auto first = shelf.thumbnails.open(shelf.job, "a.png");
  check_ok(first);
  check_equal(inode(*shelf.thumbnails.open(shelf.job, "a.png")), inode(*first));
  // Whatever the clocks say: a frame from the future, and one from the past.
  for (const auto when : {1h, -2h}) {
    fs::last_write_time(shelf.frame("a.png"), fs::file_time_type::clock::now() + when);
    const auto next = shelf.thumbnails.open(shelf.job, "a.png");
    check_ok(next);
    check(inode(*next) != inode(*first));
    check_equal(inode(*shelf.thumbnails.open(shelf.job, "a.png")), inode(*next));
  }
  check(fs::is_empty(shelf.layout.workshop()));
}

void a_broken_picture_is_said_and_remembered() {
  Shelf shelf;
  shelf.put("bad.png", "\x89PNG\r\n\x1a\n and then nothing");
  const auto bad = shelf.thumbnails.open(shelf.job, "bad.png");
  check(!bad.has_value());
  check(bad.error().code == Code::invalid);
  check_contains(bad.error().message, "bad.png");
  check_contains(bad.error().message, "vipsthumbnail");
  // Not tried again: the program could not even be found now.
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto again = shelf.thumbnails.open(shelf.job, "bad.png");
  ::setenv("PATH", path.c_str(), 1);
  check(!again.has_value());
  check(again.error() == bad.error());
  // But a newer frame is.
  vips({"black", shelf.frame("bad.png").string(), "64", "32"});
  check_ok(shelf.thumbnails.open(shelf.job, "bad.png"));
}

void a_missing_program_is_named_with_its_package() {
  Shelf shelf;
  shelf.put("a.png", "\x89PNG\r\n\x1a\n");
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nowhere", 1);
  const auto none = shelf.thumbnails.open(shelf.job, "a.png");
  ::setenv("PATH", path.c_str(), 1);
  check(!none.has_value());
  check(none.error().code == Code::unsupported);
  check_contains(none.error().message, "apt-get install libvips-tools");
}

void a_picture_that_takes_too_long_is_given_up() {
  Thumbnails::Bounds bounds;
  bounds.timeout = 1ms;
  Shelf shelf(bounds);
  vips({"black", shelf.frame("a.png").string(), "4000", "4000"});
  const auto none = shelf.thumbnails.open(shelf.job, "a.png");
  check(!none.has_value());
  check(none.error().code == Code::timeout);
  check(fs::is_empty(shelf.layout.workshop()));
}

void a_picture_that_wants_too_much_memory_fails_alone() {
  Thumbnails::Bounds bounds;
  bounds.memory_bytes = 16U << 20U;
  Shelf shelf(bounds);
  vips({"black", shelf.frame("a.png").string(), "64", "32"});
  const auto none = shelf.thumbnails.open(shelf.job, "a.png");
  check(!none.has_value());
  check(none.error().code == Code::invalid);
}

void many_who_ask_for_the_same_one_get_it() {
  Shelf shelf;
  vips({"black", shelf.frame("a.png").string(), "640", "320"});
  vips({"black", shelf.frame("b.png").string(), "640", "320"});
  std::vector<int> bad(8, 0);
  std::vector<std::thread> threads;
  threads.reserve(bad.size());
  for (std::size_t i = 0; i < bad.size(); ++i) {
    threads.emplace_back([&shelf, &mine = bad[i], i] {
      if (!shelf.thumbnails.open(shelf.job, i % 2 == 0 ? "a.png" : "b.png")) ++mine;
    });
  }
  for (auto& thread : threads) thread.join();
  for (const int count : bad) check_equal(count, 0);
}

void what_is_not_there_or_no_picture_is_said() {
  Shelf shelf;
  shelf.put("notes.txt", "hello");
  check(shelf.thumbnails.open(shelf.job, "none.png").error().code == Code::not_found);
  check(shelf.thumbnails.open(test::job_id(9), "none.png").error().code == Code::not_found);
  check(shelf.thumbnails.open(shelf.job, "../../x").error().code == Code::invalid);
  check(shelf.thumbnails.open(shelf.job, "notes.txt").error().code == Code::unsupported);
}

}  // namespace

int main() {
  return test::run(
      "thumbnails",
      {{"linear light is shown as it looks", linear_light_is_shown_as_it_looks},
       {"a thumbnail is 320 wide and a small picture stays small",
        a_thumbnail_is_320_wide_and_a_small_picture_stays_small},
       {"a kind that libvips does not trust goes through ffmpeg",
        a_kind_that_libvips_does_not_trust_goes_through_ffmpeg},
       {"a name full of options is a name", a_name_full_of_options_is_a_name},
       {"a thumbnail is made once and again for another frame",
        a_thumbnail_is_made_once_and_again_for_another_frame},
       {"a broken picture is said and remembered", a_broken_picture_is_said_and_remembered},
       {"a missing program is named with its package", a_missing_program_is_named_with_its_package},
       {"a picture that takes too long is given up", a_picture_that_takes_too_long_is_given_up},
       {"a picture that wants too much memory fails alone", a_picture_that_wants_too_much_memory_fails_alone},
       {"many who ask for the same one get it", many_who_ask_for_the_same_one_get_it},
       {"what is not there or no picture is said", what_is_not_there_or_no_picture_is_said}});
}
