#include "session/blank_check.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "session/bytes.h"
#include "session/exr_header.h"

namespace kiln::session {

namespace {

using payloads::Blank;

constexpr std::uint64_t max_block_bytes = 1ULL
                                          << 30U;  // of one decoded piece: no picture of Blender's has more

// What has been seen so far.
struct Seen {
  bool has_alpha = false;
  bool any_opaque = false;
  [[nodiscard]] Blank blank() const { return has_alpha && !any_opaque ? Blank::transparent : Blank::black; }
};

// Inflates piece by piece.
class Inflater {
 public:
  Inflater() { is_ready_ = ::inflateInit(&stream_) == Z_OK; }
  ~Inflater() {
    if (is_ready_) ::inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  void feed(std::string_view bytes) {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
  }
  // Appends to out[filled…]; false when nothing more comes of what was fed.
  bool fill(std::vector<std::uint8_t>& out, std::size_t& filled) {
    if (!is_ready_ || filled == out.size()) return false;
    stream_.next_out = out.data() + filled;
    stream_.avail_out = static_cast<uInt>(out.size() - filled);
    const int result = ::inflate(&stream_, Z_NO_FLUSH);
    const auto now = out.size() - stream_.avail_out;
    const bool moved = now > filled;
    filled = now;
    return moved && (result == Z_OK || result == Z_STREAM_END);
  }

 private:
  z_stream stream_{};
  bool is_ready_ = false;
};

// ---- PNG (ISO/IEC 15948)
// -----------------------------------------------------------------------------------

constexpr std::uint8_t darkest = 2;  // of 255, sRGB: what dithering makes of black

std::uint8_t paeth(int left, int up, int corner) {
  const int guess = left + up - corner;
  const int to_left = std::abs(guess - left), to_up = std::abs(guess - up),
            to_corner = std::abs(guess - corner);
  if (to_left <= to_up && to_left <= to_corner) return static_cast<std::uint8_t>(left);
  return static_cast<std::uint8_t>(to_up <= to_corner ? up : corner);
}

// Undoes a row's filter in place; both rows begin with the filter's byte. False for a filter that is none.
bool unfilter(std::vector<std::uint8_t>& row, const std::vector<std::uint8_t>& above, std::size_t pixel) {
  const auto filter = row[0];
  if (filter > 4) return false;
  for (std::size_t i = 1; i < row.size(); ++i) {
    const int left = i > pixel ? row[i - pixel] : 0;
    const int up = above[i];
    const int corner = i > pixel ? above[i - pixel] : 0;
    int add = 0;
    if (filter == 1) add = left;
    if (filter == 2) add = up;
    if (filter == 3) add = (left + up) / 2;
    if (filter == 4) add = paeth(left, up, corner);
    row[i] = static_cast<std::uint8_t>(row[i] + add);
  }
  return true;
}

class PngLook {
 public:
  // False for a picture that is not looked at.
  bool begin(std::uint32_t width, std::uint8_t depth, std::uint8_t kind, std::uint8_t interlace) {
    const auto channels = kind == 0 ? 1U : kind == 2 ? 3U : kind == 4 ? 2U : kind == 6 ? 4U : 0U;
    if (channels == 0 || (depth != 8 && depth != 16) || interlace != 0 || width == 0) return false;
    sample_ = depth / 8U;
    seen_.has_alpha = kind == 4 || kind == 6;
    colours_ = seen_.has_alpha ? channels - 1 : channels;
    pixel_ = std::size_t{channels} * sample_;
    if (std::uint64_t{width} * pixel_ > max_block_bytes) return false;
    row_.resize(1 + width * pixel_);
    above_.resize(row_.size());
    return true;
  }
  // A piece of the pixels. False: it shows something, or makes no sense.
  bool take(std::string_view bytes) {
    inflater_.feed(bytes);
    while (inflater_.fill(row_, filled_)) {
      if (filled_ < row_.size()) continue;
      filled_ = 0;
      if (!unfilter(row_, above_, pixel_) || shows_something()) return false;
      std::swap(row_, above_);
    }
    return true;
  }
  [[nodiscard]] Blank blank() const { return seen_.blank(); }

 private:
  bool shows_something() {
    for (std::size_t at = 1; at < row_.size(); at += pixel_) {
      // The first byte of a 16-bit sample is the greater one.
      const bool is_opaque = !seen_.has_alpha || row_[at + colours_ * sample_] > darkest;
      if (!is_opaque) continue;
      seen_.any_opaque = true;
      for (std::size_t i = 0; i < colours_; ++i) {
        if (row_[at + i * sample_] > darkest) return true;
      }
    }
    return false;
  }

  Inflater inflater_;
  Seen seen_;
  std::size_t sample_ = 1;  // bytes
  std::size_t colours_ = 3;
  std::size_t pixel_ = 3;  // bytes
  std::size_t filled_ = 0;
  std::vector<std::uint8_t> row_, above_;
};

Blank blank_of_png(std::string_view all) {
  Bytes in(all, true);
  constexpr std::uint64_t signature = 8, chunk_frame = 12;
  PngLook look;
  for (auto at = signature; in.has(at, chunk_frame);) {
    const std::uint64_t length = in.u32(at);
    if (!in.has(at, chunk_frame + length)) break;
    const auto name = in.text(at + 4, 4);
    if (at == signature && !look.begin(in.u32(at + 8), in.u8(at + 16), in.u8(at + 17), in.u8(at + 20))) {
      return Blank::no;
    }
    if (name == "IDAT" && !look.take(in.text(at + 8, length))) return Blank::no;
    if (name == "IEND") return look.blank();
    at += chunk_frame + length;
  }
  return Blank::no;
}

// ---- OpenEXR (scanlines of one part) ----------------------------------------------------------------------

constexpr std::uint64_t darkest_half =
    0x068e;  // 1e-4 in half precision: linear light, below any display's step
constexpr float darkest_float = 1e-4F;

struct Channel {
  enum class What : std::uint8_t { other, colour, alpha } what = What::other;
  std::uint32_t type = 0;  // 0: integer, 1: half, 2: float
  [[nodiscard]] std::uint64_t bytes() const { return type == 1 ? 2 : 4; }
};

struct ExrLook {
  std::vector<Channel> channels;
  std::int64_t width = 0, height = 0;
  std::uint8_t compression = 0;
  Seen seen;

  [[nodiscard]] std::uint64_t line_bytes() const {
    std::uint64_t pixel = 0;
    for (const auto& channel : channels) pixel += channel.bytes();
    return pixel * static_cast<std::uint64_t>(width);
  }
  static bool is_light(std::string_view bytes, std::uint64_t at, const Channel& channel) {
    Bytes in(bytes, false);
    if (channel.type == 1) {
      const auto half = in.u16(at);
      return half > darkest_half &&
             half <= 0x7c00;  // the sign makes it greater; what is greater else is no number
    }
    return std::bit_cast<float>(in.u32(at)) > darkest_float;
  }
  // One decoded line: all pixels of a channel, then those of the next.
  bool shows_something(std::string_view line) {
    std::uint64_t at = 0;
    bool has_light = false;
    for (const auto& channel : channels) {
      for (std::int64_t x = 0; x < width; ++x, at += channel.bytes()) {
        if (channel.what == Channel::What::other || !is_light(line, at, channel)) continue;
        (channel.what == Channel::What::alpha ? seen.any_opaque : has_light) = true;
      }
    }
    // Alpha is multiplied in: what is light can be seen.
    return has_light;
  }
};

Channel channel_of(std::string_view name, std::uint32_t type) {
  Channel channel{Channel::What::other, type};
  const auto dot = name.rfind('.');
  if (dot != std::string_view::npos && !name.substr(0, dot).ends_with("Combined")) return channel;
  const auto last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  if (last == "A") channel.what = Channel::What::alpha;
  if (last == "R" || last == "G" || last == "B" || last == "Y" || last == "V") {
    channel.what = Channel::What::colour;
  }
  return channel;
}

std::vector<Channel> read_channels(std::string_view list) {
  std::vector<Channel> channels;
  Bytes in(list, false);
  for (std::uint64_t at = 0; in.has(at, 1) && in.u8(at) != 0;) {
    const auto end = list.find('\0', at);
    if (end == std::string_view::npos || !in.has(end, 17)) return {};
    if (in.u32(end + 9) != 1 || in.u32(end + 13) != 1 || in.u32(end + 1) > 2) return {};  // subsampled
    channels.push_back(channel_of(list.substr(at, end - at), in.u32(end + 1)));
    at = end + 17;
  }
  return channels;
}

// nullopt: a kind that is not looked at. `at` is past the header then.
std::optional<ExrLook> read_exr(Bytes& in, std::string_view all, std::uint64_t& at) {
  constexpr std::uint32_t other_kinds = 0x1a00;  // tiles, deep data, several parts
  if ((in.u32(4) & other_kinds) != 0) return std::nullopt;
  ExrLook look;
  at = 8;
  const auto keep = [&](std::string_view name, std::uint64_t value, std::uint64_t size) {
    if (name == "channels") look.channels = read_channels(all.substr(value, size));
    if (name == "compression") look.compression = in.u8(value);
    if (name == "dataWindow") {
      look.width = std::int64_t{in.i32(value + 8)} - in.i32(value) + 1;
      look.height = std::int64_t{in.i32(value + 12)} - in.i32(value + 4) + 1;
    }
  };
  if (!walk_exr_header(in, all, at, keep)) return std::nullopt;
  const auto has = [&](Channel::What what) {
    return std::any_of(look.channels.begin(), look.channels.end(),
                       [&](const auto& one) { return one.what == what; });
  };
  look.seen.has_alpha = has(Channel::What::alpha);
  constexpr std::uint8_t zip = 3;
  const bool is_sane = look.width > 0 && look.height > 0 && look.compression <= zip &&
                       look.compression != 1 && look.line_bytes() <= max_block_bytes / 16;
  if (!is_sane || !has(Channel::What::colour)) return std::nullopt;
  return look;
}

// ImfZip.cpp: differences, then the bytes of even and of odd places apart.
std::string unzip_block(std::string_view packed, std::uint64_t size) {
  std::vector<std::uint8_t> bytes(size);
  std::size_t filled = 0;
  Inflater inflater;
  inflater.feed(packed);
  while (filled < bytes.size() && inflater.fill(bytes, filled)) {
  }
  if (filled < bytes.size()) return {};
  constexpr std::uint8_t bias = 128;
  for (std::size_t i = 1; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(bytes[i - 1] + bytes[i] - bias);
  }
  std::string out(size, '\0');
  const std::size_t half = (size + 1) / 2;
  for (std::size_t i = 0; i < size; ++i) {
    out[i] = static_cast<char>(bytes[i % 2 == 0 ? i / 2 : half + i / 2]);
  }
  return out;
}

Blank blank_of_exr(std::string_view all) {
  Bytes in(all, false);
  std::uint64_t at = 0;
  auto look = read_exr(in, all, at);
  if (!look || in.ran_out()) return Blank::no;
  const std::int64_t lines = look->compression == 3 ? 16 : 1;
  const auto line_bytes = look->line_bytes();
  const auto blocks = (look->height + lines - 1) / lines;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const auto offset = in.u64(at + static_cast<std::uint64_t>(block) * 8);
    const auto packed = in.text(offset + 8, in.u32(offset + 4));
    const auto count = static_cast<std::uint64_t>(std::min(lines, look->height - block * lines));
    const auto size = count * line_bytes;
    if (in.ran_out() || packed.empty()) return Blank::no;
    // What does not get smaller is stored as it is.
    std::string unpacked;
    if (packed.size() != size) unpacked = unzip_block(packed, size);
    const auto pixels = packed.size() == size ? packed : std::string_view(unpacked);
    if (pixels.size() != size) return Blank::no;
    for (std::uint64_t line = 0; line < count; ++line) {
      if (look->shows_something(pixels.substr(line * line_bytes, line_bytes))) return Blank::no;
    }
  }
  return look->seen.blank();
}

}  // namespace

payloads::Blank find_blank(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return blank_of_png(bytes);
  if (bytes.starts_with("\x76\x2f\x31\x01")) return blank_of_exr(bytes);
  return Blank::no;
}

}  // namespace kiln::session
