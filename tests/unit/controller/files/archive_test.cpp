#include "files/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "check.h"
#include "controller/store/scratch.h"
#include "runtime/process.h"

namespace fs = std::filesystem;
using namespace kiln;  // NOLINT(google-build-using-namespace)
using files::Archive;
using files::OutputFile;
using test::Scratch;

namespace {

constexpr std::int64_t some_time_s = 1'795'000'001;

files::Archive::Open opener(const fs::path& root) {
  return [root](const std::string& path) { return files::open_below(root, path); };
}

Archive::Sink into(const fs::path& path) {
  auto out = std::make_shared<std::ofstream>(path, std::ios::binary);
  return [out](std::string_view bytes) -> Status {
    out->write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    out->flush();
    return {};
  };
}

// Python's zipfile is a reader that we did not write: names, times, contents and checksums, line by line.
std::string read_back(const fs::path& zip) {
  const char* script =
      "import sys, zipfile\n"
      "z = zipfile.ZipFile(sys.argv[1])\n"
      "assert z.testzip() is None\n"
      "for i in z.infolist():\n"
      "    t = '%d-%02d-%02d %02d:%02d:%02d' % i.date_time\n"
      "    print(i.filename, i.file_size, oct(i.external_attr >> 16), t, z.read(i)[:8] if i.file_size < 99 "
      "else '')\n";
  const auto ran = runtime::run_capture({"python3", "-c", script, zip.string()});
  check_ok(ran);
  if (!ran->status.ok()) print_error("%s\n", ran->output.c_str());
  check(ran->status.ok());
  return ran->output;
}

OutputFile file_in(const fs::path& root, const std::string& path, const std::string& content) {
  fs::create_directories((root / path).parent_path());
  std::ofstream(root / path, std::ios::binary) << content;
  return {path, content.size(), some_time_s};
}

void an_archive_holds_what_it_was_made_of_and_has_the_size_it_said() {
  const Scratch scratch;
  const auto root = scratch / "output";
  const auto archive = Archive::plan({file_in(root, "a.png", "pixels"), file_in(root, "shot/empty.txt", ""),
                                      file_in(root, "shot/größe.exr", std::string(1'000'000, 'x'))},
                                     opener(root));
  check_ok(archive);
  check_ok(archive->write(into(scratch / "a.zip")));
  check_equal(fs::file_size(scratch / "a.zip"), archive->size());
  check_equal(read_back(scratch / "a.zip"),
              "a.png 6 0o100644 2026-11-18 11:06:40 b'pixels'\n"
              "shot/empty.txt 0 0o100644 2026-11-18 11:06:40 b''\n"
              "shot/größe.exr 1000000 0o100644 2026-11-18 11:06:40 \n");
}

// A reader that sees the bytes once, in order, and none of the directory at the end.
void an_archive_can_be_read_while_it_arrives() {
  const Scratch scratch;
  const auto root = scratch / "output";
  const auto archive =
      Archive::plan({file_in(root, "a.png", "pixels"), file_in(root, "b.png", "more")}, opener(root));
  std::string bytes;
  const auto collect = [&bytes](std::string_view more) -> Status {
    bytes += more;
    return {};
  };
  check_ok(archive->write(collect));
  const auto number = [&bytes](std::size_t at, int size) {
    std::uint64_t value = 0;
    for (int i = size - 1; i >= 0; --i)
      value = value << 8U | static_cast<std::uint8_t>(bytes[at + static_cast<std::size_t>(i)]);
    return value;
  };
  std::string names;
  std::size_t at = 0;
  for (; number(at, 4) == 0x04034b50;
       at += 30 + number(at + 26, 2) + number(at + 28, 2) + number(at + 18, 4)) {
    check_equal(number(at + 6, 2) & 8U, 0U);  // no data descriptor: size and checksum stand before the bytes
    check_equal(number(at + 8, 2), 0U);       // stored
    names += bytes.substr(at + 30, number(at + 26, 2)) + " ";
  }
  check_equal(names, "a.png b.png ");
  check_equal(number(at, 4), 0x02014b50U);
}

void a_hundred_thousand_files_need_a_wider_directory() {
  const Scratch scratch;
  const auto root = scratch / "output";
  const auto one = file_in(root, "a.png", "x");
  std::vector<OutputFile> files(70'000, one);
  for (std::size_t i = 0; i < files.size(); ++i) files[i].path = fmt::format("frame_{:06}.png", i);
  const auto archive =
      Archive::plan(files, [&root](const std::string&) { return files::open_below(root, "a.png"); });
  check_ok(archive);
  check_ok(archive->write(into(scratch / "a.zip")));
  check_equal(fs::file_size(scratch / "a.zip"), archive->size());
  const auto listed = runtime::run_capture(
      {"python3", "-c",
       "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); print(len(z.infolist()), z.testzip())",
       (scratch / "a.zip").string()});
  check_ok(listed);
  check_equal(listed->output, "70000 None\n");
}

// A file and an offset beyond 4 GiB: endless zeros in, a hole out, so that it costs no disk.
void files_beyond_4_gib_are_whole() {
  const Scratch scratch;
  const auto root = scratch / "output";
  std::vector<OutputFile> files = {{"a.exr", (4ULL << 30U) + 5, some_time_s}, file_in(root, "b.png", "end")};
  const auto open = [&](const std::string& path) -> Result<files::OpenFile> {
    if (path == "b.png") return files::open_below(root, path);
    return files::OpenFile{runtime::Fd(::open("/dev/zero", O_RDONLY | O_CLOEXEC)), files[0].size, 0};
  };
  const auto archive = Archive::plan(files, open);
  check_ok(archive);
  const runtime::Fd zip(::open((scratch / "a.zip").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  std::uint64_t written = 0;
  const auto sink = [&](std::string_view bytes) -> Status {
    constexpr std::size_t larger_than_headers = 4096;
    if (bytes.size() < larger_than_headers) {
      check(::pwrite(zip.get(), bytes.data(), bytes.size(), static_cast<off_t>(written)) ==
            static_cast<ssize_t>(bytes.size()));
    }
    written += bytes.size();
    return {};
  };
  check_ok(archive->write(sink));
  check_equal(written, archive->size());
  const auto listed = runtime::run_capture(
      {"python3", "-c",
       "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1])\n"
       "print([(i.filename, i.file_size, i.header_offset) for i in z.infolist()], z.read('b.png'))",
       (scratch / "a.zip").string()});
  check_ok(listed);
  check_equal(listed->output, fmt::format("[('a.exr', {}, 0), ('b.png', 3, {})] b'end'\n", files[0].size,
                                          files[0].size + 30 + 5 + 20 + 9));
}

void a_file_that_changes_ends_the_archive() {
  const Scratch scratch;
  const auto root = scratch / "output";
  const auto archive = Archive::plan({file_in(root, "a.png", "pixels")}, opener(root));
  file_in(root, "a.png", "pix");
  const auto status = archive->write([](std::string_view) { return Status(); });
  check(!status.has_value());
  check(status.error().code == Code::conflict);
  check_contains(status.error().message, "a.png");
}

void a_reader_that_leaves_ends_the_archive() {
  const Scratch scratch;
  const auto root = scratch / "output";
  const auto archive = Archive::plan({file_in(root, "a.png", "pixels")}, opener(root));
  const auto status =
      archive->write([](std::string_view) -> Status { return fail(Code::unavailable, "gone"); });
  check(!status.has_value());
  check_equal(status.error().message, "gone");
}

void no_files_make_no_archive() {
  const auto archive = Archive::plan({}, opener("/"));
  check(!archive.has_value());
  check(archive.error().code == Code::not_found);
}

}  // namespace

int main() {
  return test::run(
      "archive",
      {{"an archive holds what it was made of and has the size it said",
        an_archive_holds_what_it_was_made_of_and_has_the_size_it_said},
       {"an archive can be read while it arrives", an_archive_can_be_read_while_it_arrives},
       {"a hundred thousand files need a wider directory", a_hundred_thousand_files_need_a_wider_directory},
       {"files beyond 4 GiB are whole", files_beyond_4_gib_are_whole},
       {"a file that changes ends the archive", a_file_that_changes_ends_the_archive},
       {"a reader that leaves ends the archive", a_reader_that_leaves_ends_the_archive},
       {"no files make no archive", no_files_make_no_archive}});
}
