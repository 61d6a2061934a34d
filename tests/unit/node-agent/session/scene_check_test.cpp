#include "session/scene_check.h"

#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>

#include "check.h"

namespace fs = std::filesystem;
using kiln::payloads::FailureScope;
using kiln::session::BlenderVersion;
using kiln::session::check_scene;
using kiln::session::parse_blend_header;
using kiln::session::parse_version;
using kiln::session::read_blend_header;

namespace {

void the_installed_version_is_found_in_what_blender_says() {
  const struct {
    const char* output;
    const char* version;  // "": none
  } cases[] = {
      {"Blender 3.4.1\n", "3.4.1"},
      {"Blender 4.2.3 LTS\n\tbuild date: 2024-10-14\n", "4.2.3"},
      {"Blender 5.0.0 Alpha\n", "5.0.0"},
      {"Blender 2.93\n", "2.93.0"},
      {"Warning: ALSA lib\nBlender 3.6.5\n", "3.6.5"},
      {"Blender\n", ""},
      {"Blender abc\n", ""},
      {"Blender 99999999999.1\n", ""},
      {"", ""},
  };
  for (const auto& one : cases) {
    const auto version = parse_version(one.output);
    check_equal(version ? version->str() : "", one.version);
  }
}

void a_header_of_every_age_tells_who_saved_the_file() {
  const struct {
    const char* header;
    const char* version;
  } cases[] = {
      {"BLENDER-v304RENDH", "3.4.0"},
      {"BLENDER_v279REND", "2.79.0"},
      {"BLENDER-V249xxxx", "2.49.0"},
      {"BLENDER-v402", "4.2.0"},
      {"BLENDER17-01v0500REND", "5.0.0"},
      {"BLENDER17-01v0", ""},
      {"BLENDER-v3x4", ""},
      {"BLENDER-v3", ""},
      {"BLENDER", ""},
      {"\x89PNG", ""},
      {"", ""},
  };
  for (const auto& one : cases) {
    const auto version = parse_blend_header(one.header);
    check_equal(version ? version->str() : "", one.version);
  }
}

struct Folder {
  Folder() {
    std::string name = (fs::temp_directory_path() / "kiln-scenes-XXXXXX").string();
    KILN_ASSERT(::mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { fs::remove_all(path); }
  Folder(const Folder&) = delete;
  fs::path write(const std::string& name, const std::string& bytes) const {
    std::ofstream(path / name, std::ios::binary) << bytes;
    return path / name;
  }
  fs::path path;
};

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(bytes.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}
std::string zstd(const std::string& bytes) {
  std::string out(::ZSTD_compressBound(bytes.size()), '\0');
  out.resize(::ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 1));
  return out;
}

void compressed_files_are_read_as_well() {
  const Folder folder;
  std::string blend = "BLENDER-v304RENDH";
  for (int i = 0; i < 300'000; ++i) blend += static_cast<char>(i * 2654435761U >> 24U);
  for (const auto& bytes : {blend, gzip(blend), zstd(blend)}) {
    const auto version = read_blend_header(folder.write("a.blend", bytes));
    check_ok(version);
    check_equal(version->str(), "3.4.0");
  }
  for (const auto& bytes :
       {std::string(), std::string("BLEN"), gzip(blend).substr(0, 12), zstd(blend).substr(0, 8),
        gzip("no scene at all, but long enough"), std::string("\x1f\x8b\xff\xff")}) {
    check(!read_blend_header(folder.write("a.blend", bytes)).has_value());
  }
}

void what_blender_cannot_open_is_said_before_it_tries() {
  const Folder folder;
  const BlenderVersion blender{3, 4, 1};
  const auto code = [&](const fs::path& path) {
    const auto check = check_scene(path, blender);
    return check.failure ? check.failure->code : std::string();
  };
  check_equal(code(folder.write("same.blend", "BLENDER-v304RENDH")), "");
  check_equal(code(folder.write("old.blend", "BLENDER_v279RENDH")), "");
  check_equal(code(folder.write("empty.blend", "")), "bad-scene");
  check_equal(code(folder.path / "absent.blend"), "missing-scene");

  const auto newer = check_scene(folder.write("newer.blend", "BLENDER-v402RENDH"), blender);
  check(newer.failure.has_value());
  check_equal(newer.failure->code, "newer-blender");
  check(newer.failure->scope == FailureScope::job);
  check_contains(newer.failure->message,
                 "newer.blend was saved by Blender 4.2, this is 3.4.1: install Blender 4.2");

  const auto minor = check_scene(folder.write("minor.blend", "BLENDER-v306RENDH"), blender);
  check(!minor.failure.has_value());
  check_contains(minor.warning, "saved by Blender 3.6");
}

}  // namespace

int main() {
  return kiln::test::run(
      "scene_check",
      {{"the installed version is found in what Blender says",
        the_installed_version_is_found_in_what_blender_says},
       {"a header of every age tells who saved the file", a_header_of_every_age_tells_who_saved_the_file},
       {"compressed files are read as well", compressed_files_are_read_as_well},
       {"what Blender cannot open is said before it tries",
        what_blender_cannot_open_is_said_before_it_tries}});
}
