// Whether a picture shows anything.
#include "session/blank_check.h"

#include <zlib.h>

#include <cstdint>

#include "check.h"

using kiln::payloads::Blank;
using kiln::session::find_blank;

namespace {

constexpr int width = 7, height = 40;

std::string number(std::uint64_t value, unsigned bytes, bool big) {
  std::string out(bytes, '\0');
  for (unsigned i = 0; i < bytes; ++i) out[big ? bytes - 1 - i : i] = static_cast<char>(value >> (8 * i));
  return out;
}
std::string zipped(const std::string& plain) {
  std::string out(::compressBound(plain.size()), '\0');
  uLongf size = out.size();
  KILN_ASSERT(::compress(reinterpret_cast<Bytef*>(out.data()), &size,
                         reinterpret_cast<const Bytef*>(plain.data()), plain.size()) == Z_OK);
  out.resize(size);
  return out;
}

// ---- PNG

std::string png_chunk(const std::string& name, const std::string& body) {
  return number(body.size(), 4, true) + name + body +
         number(0, 4, true);  // the checksum was looked at before
}
// `kind` as PNG has it: 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA. pixel(x, y): a pixel's bytes. Each row is
// filtered another way.
template <class Pixel>
std::string png(char depth, char kind, const Pixel& pixel, char interlace = 0) {
  std::string rows, above;
  for (int y = 0; y < height; ++y) {
    std::string row;
    for (int x = 0; x < width; ++x) row += pixel(x, y);
    const std::size_t step = row.size() / width;
    above.resize(row.size());
    const int filter = y % 5;
    rows += static_cast<char>(filter);
    for (std::size_t i = 0; i < row.size(); ++i) {
      const int left = i >= step ? static_cast<unsigned char>(row[i - step]) : 0;
      const int up = static_cast<unsigned char>(above[i]);
      const int corner = i >= step ? static_cast<unsigned char>(above[i - step]) : 0;
      const int guess = left + up - corner;
      const int to_left = std::abs(guess - left), to_up = std::abs(guess - up),
                to_corner = std::abs(guess - corner);
      const int paeth = to_left <= to_up && to_left <= to_corner ? left : to_up <= to_corner ? up : corner;
      const int take = filter == 1   ? left
                       : filter == 2 ? up
                       : filter == 3 ? (left + up) / 2
                       : filter == 4 ? paeth
                                     : 0;
      rows += static_cast<char>(static_cast<unsigned char>(row[i]) - take);
    }
    above = row;
  }
  const auto packed = zipped(rows);
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR", number(width, 4, true) + number(height, 4, true) + depth + kind + '\0' + '\0' +
                               interlace) +
         png_chunk("IDAT", packed.substr(0, packed.size() / 2)) +
         png_chunk("IDAT", packed.substr(packed.size() / 2)) + png_chunk("IEND", "");
}
std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

void a_png_is_looked_through() {
  const auto plain = [](std::string pixel) { return [pixel](int, int) { return pixel; }; };
  // Of the last pixel alone.
  const auto last = [](std::string pixel, std::string others) {
    return [=](int x, int y) { return x == width - 1 && y == height - 1 ? pixel : others; };
  };
  const struct {
    std::string file;
    Blank blank;
  } cases[] = {
      {png(8, 2, plain(bytes({0, 0, 0}))), Blank::black},
      {png(8, 2, plain(bytes({2, 1, 2}))), Blank::black},  // dithered
      {png(8, 2, plain(bytes({0, 0, 3}))), Blank::no},
      {png(8, 2, last(bytes({0, 9, 0}), bytes({0, 0, 0}))), Blank::no},
      {png(8, 2,
           [](int x, int y) {
             return bytes({x * 30, y * 6, 77});
           }),
       Blank::no},
      {png(8, 2,
           [](int x, int y) {
             return bytes({(x + y) % 3, (x * y) % 3, 1});
           }),
       Blank::black},
      {png(8, 6, plain(bytes({0, 0, 0, 255}))), Blank::black},
      {png(8, 6, plain(bytes({0, 0, 0, 0}))), Blank::transparent},
      {png(8, 6, plain(bytes({200, 200, 200, 0}))), Blank::transparent},  // colour that nobody sees
      {png(8, 6, last(bytes({0, 0, 0, 255}), bytes({9, 9, 9, 0}))), Blank::black},
      {png(8, 6, last(bytes({9, 0, 0, 255}), bytes({0, 0, 0, 0}))), Blank::no},
      {png(8, 0, plain(bytes({0}))), Blank::black},
      {png(8, 0, last(bytes({40}), bytes({0}))), Blank::no},
      {png(8, 4, plain(bytes({0, 0}))), Blank::transparent},
      {png(16, 2, plain(bytes({2, 255, 0, 0, 0, 0}))), Blank::black},
      {png(16, 2, plain(bytes({3, 0, 0, 0, 0, 0}))), Blank::no},
      {png(16, 6, plain(bytes({0, 0, 0, 0, 0, 0, 0, 9}))), Blank::transparent},
      // Not looked at.
      {png(8, 3, plain(bytes({0}))), Blank::no},
      {png(8, 2, plain(bytes({0, 0, 0})), 1), Blank::no},
  };
  for (const auto& one : cases) check_equal(to_string(find_blank(one.file)), to_string(one.blank));
}

// ---- OpenEXR

std::string exr_attribute(const std::string& name, const std::string& type, const std::string& value) {
  return name + '\0' + type + '\0' + number(value.size(), 4, false) + value;
}
struct ExrChannel {
  std::string name;
  int type;             // 1 half, 2 float
  std::uint32_t value;  // of every pixel, as bits
};
std::string exr(int compression, const std::vector<ExrChannel>& channels, std::uint32_t flags = 0) {
  const auto window =
      number(0, 4, false) + number(0, 4, false) + number(width - 1, 4, false) + number(height - 1, 4, false);
  std::string list;
  for (const auto& one : channels) {
    list += one.name + '\0' + number(static_cast<std::uint64_t>(one.type), 4, false) + number(0, 4, false) +
            number(1, 4, false) + number(1, 4, false);
  }
  std::string file =
      "\x76\x2f\x31\x01" + number(2 | flags, 4, false) + exr_attribute("channels", "chlist", list + '\0') +
      exr_attribute("compression", "compression", std::string(1, static_cast<char>(compression))) +
      exr_attribute("dataWindow", "box2i", window) + '\0';
  const int lines = compression == 3 ? 16 : 1;
  const int count = (height + lines - 1) / lines;
  std::string table, blocks;
  for (int block = 0; block < count; ++block) {
    std::string plain;
    for (int line = block * lines; line < std::min(height, (block + 1) * lines); ++line) {
      for (const auto& one : channels) {
        for (int x = 0; x < width; ++x) plain += number(one.value, one.type == 1 ? 2 : 4, false);
      }
    }
    std::string packed = plain;
    if (compression != 0) {
      std::string split;
      for (std::size_t i = 0; i < plain.size(); i += 2) split += plain[i];
      for (std::size_t i = 1; i < plain.size(); i += 2) split += plain[i];
      for (std::size_t i = split.size() - 1; i > 0; --i)
        split[i] = static_cast<char>(split[i] - split[i - 1] + 128);
      packed = zipped(split);
      if (packed.size() >= plain.size()) packed = plain;
    }
    table += number(file.size() + static_cast<std::size_t>(count) * 8 + blocks.size(), 8, false);
    blocks += number(static_cast<std::uint64_t>(block) * lines, 4, false) + number(packed.size(), 4, false) +
              packed;
  }
  return file + table + blocks;
}

void an_exr_is_looked_through() {
  constexpr std::uint32_t half_one = 0x3c00, half_faint = 0x0100, half_minus_one = 0xbc00, half_nan = 0x7e00;
  constexpr std::uint32_t float_one = 0x3f800000;
  const struct {
    std::vector<ExrChannel> channels;
    Blank blank;
  } cases[] = {
      {{{"B", 1, 0}, {"G", 1, 0}, {"R", 1, 0}}, Blank::black},
      {{{"B", 1, half_faint}, {"G", 1, half_minus_one}, {"R", 1, half_nan}}, Blank::black},
      {{{"B", 1, 0}, {"G", 1, half_one}, {"R", 1, 0}}, Blank::no},
      {{{"A", 1, half_one}, {"B", 1, 0}, {"G", 1, 0}, {"R", 1, 0}}, Blank::black},
      {{{"A", 1, 0}, {"B", 1, 0}, {"G", 1, 0}, {"R", 1, 0}}, Blank::transparent},
      {{{"A", 2, 0}, {"B", 2, 0}, {"G", 2, 0}, {"R", 2, float_one}}, Blank::no},
      {{{"A", 2, float_one}, {"B", 2, 0}, {"G", 2, 0}, {"R", 2, 0}}, Blank::black},
      {{{"Y", 2, float_one}}, Blank::no},
      // A layer's picture counts, its passes do not.
      {{{"L.Combined.A", 1, half_one},
        {"L.Combined.R", 1, 0},
        {"L.Depth.Z", 2, float_one},
        {"L.Normal.R", 2, float_one}},
       Blank::black},
      {{{"L.Depth.Z", 2, 0}}, Blank::no},
  };
  for (const int compression : {0, 2, 3}) {
    for (const auto& one : cases) {
      check_equal(to_string(find_blank(exr(compression, one.channels))), to_string(one.blank));
    }
  }
  const std::vector<ExrChannel> black = {{"R", 1, 0}};
  for (const int compression : {1, 4, 5, 9}) check(find_blank(exr(compression, black)) == Blank::no);
  for (const std::uint32_t flag : {0x200U, 0x800U, 0x1000U})
    check(find_blank(exr(3, black, flag)) == Blank::no);
}

void damage_and_other_files_are_not_blank() {
  const auto black = png(8, 6, [](int, int) { return bytes({0, 0, 0, 0}); });
  const auto dark = exr(3, {{"A", 1, 0}, {"R", 1, 0}});
  for (const auto& file : {black, dark}) {
    check(find_blank(file) == Blank::transparent);
    for (std::size_t cut = 0; cut < file.size(); ++cut) {
      const auto blank = find_blank(std::string_view(file).substr(0, cut));
      check(blank == Blank::no);
      auto damaged = file;
      damaged[cut] = static_cast<char>(damaged[cut] ^ 0x55);
      static_cast<void>(find_blank(damaged));  // reads no byte that is not there: run under the sanitizers
    }
  }
  for (const char* other : {"", "BM", "\xff\xd8\xff", "no picture"}) check(find_blank(other) == Blank::no);
}

}  // namespace

int main() {
  return kiln::test::run("blank_check",
                         {{"a PNG is looked through", a_png_is_looked_through},
                          {"an EXR is looked through", an_exr_is_looked_through},
                          {"damage and other files are not blank", damage_and_other_files_are_not_blank}});
}
