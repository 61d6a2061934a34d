#include "session/frame_check.h"

#include <zlib.h>

#include <cstdint>
#include <functional>

#include "check.h"

using kiln::session::check_picture;

namespace {

std::string big(std::uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
  return out;
}
std::string little(std::uint64_t value, unsigned bytes) {
  std::string out;
  for (unsigned i = 0; i < bytes; ++i) out += i < 8 ? static_cast<char>(value >> (8 * i)) : '\0';
  return out;
}

// ---- a whole file of each kind, 20 x 10 pixels ---------------------------------------------------------

std::string png_chunk(const std::string& name, const std::string& body) {
  const auto named = name + body;
  return big(body.size(), 4) + named +
         big(::crc32(0, reinterpret_cast<const Bytef*>(named.data()), static_cast<uInt>(named.size())), 4);
}
std::string png() {
  return "\x89PNG\r\n\x1a\n" + png_chunk("IHDR", big(20, 4) + big(10, 4) + std::string("\x08\x02\0\0\0", 5)) +
         png_chunk("tEXt", "Date") + png_chunk("IDAT", std::string(50, 'a')) +
         png_chunk("IDAT", std::string(50, 'b')) + png_chunk("IEND", "");
}

std::string jpeg() {
  const auto segment = [](char marker, const std::string& body) {
    return std::string("\xff") + marker + big(body.size() + 2, 2) + body;
  };
  return "\xff\xd8" + segment('\xe0', "JFIF....") + segment('\xdb', std::string(65, 'q')) +
         segment('\xc0', "\x08" + big(10, 2) + big(20, 2) + std::string(10, 'c')) +
         segment('\xc4', std::string(20, 'h')) + segment('\xda', std::string(10, 's')) +
         std::string(100, 'x') + "\xff\xd9";
}

std::string exr_attribute(const std::string& name, const std::string& type, const std::string& value) {
  return name + '\0' + type + '\0' + little(value.size(), 4) + value;
}
std::string exr_header(char compression, const std::string& more = "") {
  const auto window = little(0, 4) + little(0, 4) + little(19, 4) + little(9, 4);
  return exr_attribute("compression", "compression", std::string(1, compression)) +
         exr_attribute("dataWindow", "box2i", window) + exr_attribute("displayWindow", "box2i", window) +
         more + '\0';
}
// The offset table, and the chunks that it points to.
std::string exr_chunks(std::size_t begin, std::size_t count, const std::string& before_size) {
  std::string table;
  std::string chunks;
  for (std::size_t i = 0; i < count; ++i) {
    table += little(begin + 8 * count + chunks.size(), 8);
    chunks += before_size + little(30, 4) + std::string(30, 'p');
  }
  return table + chunks;
}
const std::string exr_magic = "\x76\x2f\x31\x01";
std::string exr_scanlines(char compression, std::size_t chunks) {
  const auto head = exr_magic + little(2, 4) + exr_header(compression);
  return head + exr_chunks(head.size(), chunks, little(0, 4));
}
std::string exr_tiles() {
  const auto head =
      exr_magic + little(0x202, 4) +
      exr_header(3, exr_attribute("tiles", "tiledesc", little(8, 4) + little(8, 4) + little(0, 1)));
  return head + exr_chunks(head.size(), 6, little(0, 16));  // 3 x 2 tiles
}
std::string exr_parts() {
  const auto part = exr_header(0, exr_attribute("chunkCount", "int", little(2, 4)));
  const auto head = exr_magic + little(0x1002, 4) + part + part + '\0';
  // Two tables, then the chunks of both.
  const auto chunk = little(0, 4) + little(0, 4) + little(30, 4) + std::string(30, 'p');
  std::string tables;
  for (std::size_t i = 0; i < 4; ++i) tables += little(head.size() + 32 + i * chunk.size(), 8);
  return head + tables + chunk + chunk + chunk + chunk;
}

std::string tiff(bool is_big_endian) {
  const auto number = [&](std::uint64_t value, unsigned bytes) {
    return is_big_endian ? big(value, bytes) : little(value, bytes);
  };
  const auto entry = [&](unsigned tag, unsigned type, unsigned count, std::uint64_t value) {
    auto text = number(tag, 2) + number(type, 2) + number(count, 4);
    return text + (type == 3 && count == 1 ? number(value, 2) + number(0, 2) : number(value, 4));
  };
  const std::string strips(200, 's');
  const std::size_t after = 8 + strips.size();
  // Two strips: their offsets and lengths lie between the pixels and the directory.
  const auto values = number(8, 4) + number(108, 4) + number(100, 4) + number(100, 4);
  return (is_big_endian ? std::string("MM\0*", 4) : std::string("II*\0", 4)) +
         number(after + values.size(), 4) + strips + values + number(4, 2) + entry(256, 3, 1, 20) +
         entry(257, 3, 1, 10) + entry(273, 4, 2, after) + entry(279, 4, 2, after + 8);
}

std::string targa(bool has_runs) {
  const auto head = little(0, 2) + std::string(1, has_runs ? '\x0a' : '\x02') + std::string(9, '\0') +
                    little(20, 2) + little(10, 2) + std::string("\x18\0", 2);
  if (!has_runs) return head + std::string(600, 't');
  std::string packets;
  for (int i = 0; i < 10; ++i)
    packets += std::string("\x89rgb", 4) + "\x09" + std::string(30, 't');  // 10 alike, 10 apart
  return head + packets;
}

std::string bmp() {
  return "BM" + little(54 + 600, 4) + little(0, 4) + little(54, 4) + little(40, 4) + little(20, 4) +
         little(10, 4) + little(1, 2) + little(24, 2) + little(0, 24) + std::string(600, 'b');
}

std::string webp(const std::string& body) {
  return "RIFF" + little(4 + body.size(), 4) + "WEBP" + body;
}
std::string webp_lossy() {
  return webp("VP8 " + little(30, 4) + std::string("\0\0\0\x9d\x01\x2a", 6) + little(20, 2) + little(10, 2) +
              std::string(20, 'w'));
}
std::string webp_lossless() {
  return webp("VP8L" + little(30, 4) + "\x2f" + little(19U | 9U << 14U, 4) + std::string(25, 'w'));
}
std::string webp_extended() {
  return webp("VP8X" + little(10, 4) + little(0, 4) + little(19, 3) + little(9, 3));
}

std::string hdr() {
  std::string rows;
  for (int i = 0; i < 10; ++i) {
    rows += std::string("\x02\x02\0\x14", 4);
    for (int channel = 0; channel < 4; ++channel)
      rows += std::string("\x8a") + "r" + "\x0a" + std::string(10, 'h');
  }
  return "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 10 +X 20\n" + rows;
}

const struct {
  const char* what;
  const char* format;
  const char* extension;
  std::string bytes;
} files[] = {
    {"png", "PNG", ".png", png()},
    {"jpeg", "JPEG", ".jpg", jpeg()},
    {"exr, a chunk a line", "OPEN_EXR", ".exr", exr_scanlines(0, 10)},
    {"exr, zip", "OPEN_EXR", ".exr", exr_scanlines(3, 1)},
    {"exr, tiles", "OPEN_EXR", ".exr", exr_tiles()},
    {"exr, parts", "OPEN_EXR", ".exr", exr_parts()},
    {"tiff, little-endian", "TIFF", ".tif", tiff(false)},
    {"tiff, big-endian", "TIFF", ".tif", tiff(true)},
    {"targa", "TARGA", ".tga", targa(false)},
    {"targa with runs", "TARGA", ".tga", targa(true)},
    {"bmp", "BMP", ".bmp", bmp()},
    {"webp, lossy", "WEBP", ".webp", webp_lossy()},
    {"webp, lossless", "WEBP", ".webp", webp_lossless()},
    {"webp, extended", "WEBP", ".webp", webp_extended()},
    {"hdr", "HDR", ".hdr", hdr()},
};

// ---- the promises
// -------------------------------------------------------------------------------------------

void a_whole_file_passes_with_its_size() {
  for (const auto& one : files) {
    const auto picture = check_picture(one.bytes, one.extension);
    if (!picture) print_error("%s: %s\n", one.what, picture.error().message.c_str());
    check(picture.has_value());
    check_equal(picture->format, one.format);
    check_equal(picture->width, 20U);
    check_equal(picture->height, 10U);
  }
}

void a_file_cut_at_any_byte_fails() {
  for (const auto& one : files) {
    for (std::size_t size = 0; size < one.bytes.size(); ++size) {
      const auto picture = check_picture(std::string_view(one.bytes).substr(0, size), one.extension);
      if (picture) print_error("%s passes when cut to %zu of %zu bytes\n", one.what, size, one.bytes.size());
      check(!picture.has_value());
    }
  }
}

void a_disk_that_filled_up_leaves_zeros_that_fail() {
  for (const auto& one : files)
    check(!check_picture(std::string(one.bytes.size(), '\0'), one.extension).has_value());
  auto unfinished = exr_scanlines(0, 10);
  unfinished.replace(unfinished.find("pppp") - 8 - 80, 80,
                     std::string(80, '\0'));  // the table is written last
  check(!check_picture(unfinished, ".exr").has_value());
}

void a_wrong_byte_in_a_png_is_found() {
  const auto whole = png();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    check(!check_picture(damaged, ".png").has_value());
  }
}

void no_damage_makes_the_check_read_astray() {
  // Under the address sanitizer this is the test; otherwise it is that it ends.
  std::uint32_t random = 1;
  const auto next = [&] { return random = random * 1664525U + 1013904223U; };
  for (const auto& one : files) {
    for (int round = 0; round < 3000; ++round) {
      auto damaged = one.bytes;
      for (int i = 0; i < 3; ++i) damaged[(next() >> 8U) % damaged.size()] = static_cast<char>(next() >> 16U);
      if (const auto picture = check_picture(damaged, one.extension)) check(picture->format.size() <= 8);
    }
  }
}

void formats_without_a_check_pass_unread() {
  const auto picture = check_picture("XPDS....", ".dpx");
  check_ok(picture);
  check_equal(picture->format, "");
  check_equal(picture->width, 0U);
  check(!check_picture("", ".dpx").has_value());
}

}  // namespace

int main() {
  return kiln::test::run(
      "frame_check",
      {{"a whole file passes with its size", a_whole_file_passes_with_its_size},
       {"a file cut at any byte fails", a_file_cut_at_any_byte_fails},
       {"a disk that filled up leaves zeros that fail", a_disk_that_filled_up_leaves_zeros_that_fail},
       {"a wrong byte in a PNG is found", a_wrong_byte_in_a_png_is_found},
       {"no damage makes the check read astray", no_damage_makes_the_check_read_astray},
       {"formats without a check pass unread", formats_without_a_check_pass_unread}});
}
