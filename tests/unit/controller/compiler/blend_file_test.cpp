#include "compiler/blend_file.h"

#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

// check.h last
#include "check.h"

using namespace kiln;
using compiler::Compression;
using compiler::inspect;

namespace {

// ---- files made here --------------------------------------------------------------------------------------

enum class Kind { small_8, small_4, large_8 };

std::string number(std::uint64_t value, std::size_t bytes, bool big_endian) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) {
    text += static_cast<char>(value >> (8 * (big_endian ? bytes - 1 - i : i)) & 0xffU);
  }
  return text;
}

std::string block(std::string code, std::string_view data, Kind kind = Kind::small_8,
                  bool big_endian = false) {
  code.resize(4);
  const auto len = [&](std::size_t bytes) { return number(data.size(), bytes, big_endian); };
  const auto any = [&](std::size_t bytes) { return number(1, bytes, big_endian); };
  std::string head;
  if (kind == Kind::small_8) head = code + len(4) + any(8) + any(4) + any(4);
  if (kind == Kind::small_4) head = code + len(4) + any(4) + any(4) + any(4);
  if (kind == Kind::large_8) head = code + any(4) + any(8) + len(8) + any(8);
  return head + std::string(data);
}

std::string blocks(Kind kind = Kind::small_8, bool big_endian = false) {
  // Bigger than the reader's buffers, and hard to pack.
  std::string noise;
  std::uint32_t state = 7;
  for (int i = 0; i < 300'000; ++i)
    noise += static_cast<char>((state = state * 1664525U + 1013904223U) >> 24U);
  return block("REND", "12345678", kind, big_endian) + block("SC", "", kind, big_endian) +
         block("DATA", noise, kind, big_endian) + block("ENDB", "", kind, big_endian);
}
std::string scene() {
  return "BLENDER-v304" + blocks();
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  check(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(text.size() + 1024, '\0');
  std::string in = text;
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  check(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}
std::string zstd_frame(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const auto size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3);
  check(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}
// As Blender writes: a frame for each stretch, and a seek table in a skippable frame.
std::string zstd(const std::string& text, std::size_t stretch = 100'000) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += stretch)
    out += zstd_frame(std::string_view(text).substr(at, stretch));
  return out + "\x5e\x2a\x4d\x18" + number(17, 4, false) + std::string(17, 'x');
}

Result<compiler::BlendFile> look(std::string_view bytes, std::size_t at_most = 1'000'000) {
  return inspect([&](std::span<char> out) {
    const auto count = std::min({out.size(), bytes.size(), at_most});
    bytes.copy(out.data(), count);
    bytes.remove_prefix(count);
    return count;
  });
}

// ---- promises
// -----------------------------------------------------------------------------------------------

void every_form_of_the_file_is_read() {
  const struct {
    std::string bytes;
    std::string version;
    Compression compression;
  } cases[] = {
      {scene(), "3.4", Compression::none},
      {"BLENDER-v279" + blocks(), "2.79", Compression::none},
      {"BLENDER_v249" + blocks(Kind::small_4), "2.49", Compression::none},
      {"BLENDER_V249" + blocks(Kind::small_4, true), "2.49", Compression::none},
      {"BLENDER-V263" + blocks(Kind::small_8, true), "2.63", Compression::none},
      {"BLENDER-v405" + blocks(), "4.5", Compression::none},
      {"BLENDER17-01v0500" + blocks(Kind::large_8), "5.0", Compression::none},
      {gzip("BLENDER-v293" + blocks()), "2.93", Compression::gzip},
      {zstd(scene()), "3.4", Compression::zstd},
      {zstd("BLENDER17-01v0501" + blocks(Kind::large_8)), "5.1", Compression::zstd},
      {zstd_frame(scene()), "3.4", Compression::zstd},  // packed by hand: no seek table
      {zstd_frame("BLENDER-v304" + block("DATA", std::string(1'000'000, 'a')) + block("ENDB", "")), "3.4",
       Compression::zstd},  // a few bytes that hold a lot
      {"BLENDER-v280" + block("REND", "1") + "ENDB", "2.80", Compression::none},  // a bare end mark
      {scene() + "whatever follows", "3.4", Compression::none},
  };
  for (const auto& one : cases) {
    for (const std::size_t at_most : {std::size_t{1'000'000}, std::size_t{4'099}}) {
      const auto file = look(one.bytes, at_most);
      check_ok(file);
      check(file->compression == one.compression);
      const auto major = std::to_string(file->major);
      check(one.version.starts_with(major + "."));
      check_equal(file->major * 100 + file->minor,
                  file->major * 100 + std::stoi(one.version.substr(major.size() + 1)));
    }
  }
}

void what_is_no_scene_is_named() {
  const struct {
    std::string bytes;
    const char* says;
  } cases[] = {
      {"", "the file is empty"},
      {"\x89PNG\r\n\x1a\n and so on and so on", "a PNG picture"},
      {"PK\x03\x04 and so on and so on and so on", "a ZIP archive"},
      {"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"},
      {"<!DOCTYPE html><html>404", "a web page"},
      {"Kaydara FBX Binary  \x20\x20", "import it into Blender"},
      {std::string("\0\5\x16\7", 4) + std::string(30, '\0'), "macOS"},
      {std::string(40, 'x'), "something else"},
      {"BLEND", "something else"},
      {gzip("not a scene at all, but packed"), "something else"},
      {zstd_frame("not a scene at all, but packed"), "something else"},
      {"BLENDERxv304" + blocks(), "is of a kind that this Kiln does not know"},
      {"BLENDER-vabc" + blocks(), "is of a kind that this Kiln does not know"},
      {"BLENDER17-02v0600" + blocks(), "'BLENDER17-02v0600' is of a kind that this Kiln does not know"},
      {"BLENDER\xff\xfe\xfd\xfc\xfb" + blocks(), "is of a kind"},
  };
  for (const auto& one : cases) {
    const auto file = look(one.bytes);
    check(!file.has_value());
    check(file.error().code == Code::invalid);
    check_contains(file.error().message, one.says);
  }
}

void a_file_cut_off_anywhere_is_noticed() {
  const auto whole = scene();
  for (const std::string& bytes : {whole, gzip(whole), zstd(whole), zstd_frame(whole)}) {
    const bool is_plain = bytes == whole;
    // All short lengths, then some; the end mark's own head and a packed end may be missing.
    const auto enough = is_plain ? whole.size() - 20 : bytes.size() - 3'000;
    for (std::size_t length = 7; length < enough; length += length < 60 ? 1 : 9'973) {
      const auto file = look(std::string_view(bytes).substr(0, length));
      check(!file.has_value());
      check_contains(file.error().message, "cop");  // copy it again
    }
  }
  const auto inside = look(std::string_view(whole).substr(0, 1'000));
  check_equal(inside.error().message,
              "the scene is cut off: it ends inside a block (DATA) after 1000 bytes; copy it again");
  const auto no_end = look(std::string_view(whole).substr(0, whole.size() - 24));
  check_contains(no_end.error().message, "it ends without its end mark");
}

void a_damaged_file_is_refused() {
  auto no_block = scene();
  no_block[12 + 24 + 8] = '\x01';  // where the second block's name should be
  check_contains(look(no_block).error().message, "there is no block at byte 44");
  auto packed = zstd(scene());
  for (std::size_t i = 50'000; i < 50'400; ++i) packed[i] = '\x55';
  const auto zstd_result = look(packed);
  auto zipped = gzip(scene());
  for (std::size_t i = 50'000; i < 50'400; ++i) zipped[i] = '\x55';
  const auto gzip_result = look(zipped);
  // Noise in noise may unpack to noise; what must not happen is a crash, or an answer other than these.
  for (const auto* one : {&zstd_result, &gzip_result}) {
    if (!*one) check_contains(one->error().message, "damaged");
  }
}

void a_block_longer_than_any_file_ends_the_walk() {
  const auto head = std::string("DATA") + number(1, 4, false) + number(1, 8, false);
  const auto huge = "BLENDER17-01v0500" + head + number(~0ULL, 8, false) + number(1, 8, false);
  check_contains(look(huge + std::string(100, 'x')).error().message, "damaged");
  const auto big = "BLENDER17-01v0500" + head + number(64ULL << 30U, 8, false) + number(1, 8, false);
  const auto too_large = look(big + std::string(100, 'x'));
  check(too_large.error().code == Code::too_large);
  check_contains(too_large.error().message, "more than 64 GiB");
}

void only_a_newer_major_version_is_not_tried() {
  const compiler::BlendFile file{3, 6, Compression::none};
  check(compiler::can_open("3.4.1", file));
  check(compiler::can_open("4.2", file));
  check(!compiler::can_open("2.93.1", file));
  check(compiler::can_open("", file));
  check(compiler::can_open("unknown", file));
}

void real_scenes_are_read() {
  const char* named = std::getenv("KILN_SCENES");
  const std::filesystem::path scenes = named != nullptr ? named : KILN_SCENES_DEFAULT;
  const struct {
    const char* path;
    int major;
    int minor;
    Compression compression;
  } cases[] = {{"suzanne_animated/suzanne_animated.blend", 3, 6, Compression::none},
               {"the_column/the_column.blend", 2, 79, Compression::none},
               {"opencue_sample/sample.blend", 3, 3, Compression::none},
               {"armory_light_area/light_area.blend", 2, 93, Compression::gzip},
               {"armory_ui_script3d/ui_script3d.blend", 2, 93, Compression::gzip}};
  for (const auto& one : cases) {
    std::ifstream in(scenes / one.path, std::ios::binary);
    if (!in) continue;  // not in this checkout: the files made above stand for them
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    const auto file = look(bytes);
    check_ok(file);
    check((*file == compiler::BlendFile{one.major, one.minor, one.compression}));
    // The same packed, and cut.
    if (one.compression == Compression::none) check_ok(look(zstd(bytes)));
    check(!look(std::string_view(bytes).substr(0, bytes.size() / 2)).has_value());
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "blend_file",
      {{"every form of the file is read", every_form_of_the_file_is_read},
       {"what is no scene is named", what_is_no_scene_is_named},
       {"a file cut off anywhere is noticed", a_file_cut_off_anywhere_is_noticed},
       {"a damaged file is refused", a_damaged_file_is_refused},
       {"a block longer than any file ends the walk", a_block_longer_than_any_file_ends_the_walk},
       {"only a newer major version is not tried", only_a_newer_major_version_is_not_tried},
       {"real scenes are read", real_scenes_are_read}});
}
