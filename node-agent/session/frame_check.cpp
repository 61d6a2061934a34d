#include "session/frame_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "runtime/files.h"
#include "session/blank_check.h"
#include "session/bytes.h"
#include "session/exr_header.h"

namespace kiln::session {

namespace {

tl::unexpected<Error> cut_off(std::string_view format) {
  return fail(Code::invalid, fmt::format("the {} file is cut off", format));
}

Result<Picture> check_png(std::string_view all) {
  Bytes in(all, true);
  Picture picture{"PNG"};
  constexpr std::uint64_t signature = 8;
  constexpr std::uint64_t chunk_frame = 12;  // length, name, checksum
  bool has_pixels = false;
  for (std::uint64_t at = signature; in.has(at, chunk_frame);) {
    const auto length = in.u32(at);
    if (!in.has(at, chunk_frame + length)) break;
    const auto name = in.text(at + 4, 4);
    const auto body = in.text(at + 4, 4 + std::uint64_t{length});
    const auto sum = ::crc32_z(0, reinterpret_cast<const Bytef*>(body.data()), body.size());
    if (sum != in.u32(at + 8 + length)) {
      return fail(Code::invalid, fmt::format("the PNG file is damaged at byte {}: wrong checksum", at));
    }
    if (at == signature) {
      if (name != "IHDR" || length != 13) return fail(Code::invalid, "the PNG file has no header");
      picture.width = in.u32(at + 8);
      picture.height = in.u32(at + 12);
    }
    has_pixels = has_pixels || name == "IDAT";
    if (name == "IEND") {
      if (!has_pixels) return fail(Code::invalid, "the PNG file holds no pixels");
      return picture;
    }
    at += chunk_frame + length;
  }
  return cut_off("PNG");
}

Result<Picture> check_jpeg(std::string_view all) {
  Bytes in(all, true);
  Picture picture{"JPEG"};
  for (std::uint64_t at = 2; in.u8(at) == 0xff;) {
    const auto marker = in.u8(at + 1);
    if (marker == 0xff) {  // padding
      ++at;
      continue;
    }
    const bool is_frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (is_frame) {
      picture.height = in.u16(at + 5);
      picture.width = in.u16(at + 7);
    }
    if (marker == 0xda) {  // the pixels: to the end
      if (!all.ends_with("\xff\xd9") || in.ran_out() || picture.width == 0) break;
      return picture;
    }
    at += 2 + std::max<std::uint64_t>(in.u16(at + 2), 2);
  }
  return cut_off("JPEG");
}

// ---- OpenEXR ---------------------------------------------------------------------------------------------

struct ExrPart {
  std::int64_t x_min = 0, y_min = 0, x_max = -1, y_max = -1;  // data window
  std::uint32_t width = 0, height = 0;                        // display window
  std::uint8_t compression = 0;
  std::optional<std::array<std::uint32_t, 2>> tile;
  bool one_level = true;
  bool deep = false;
  std::uint32_t chunk_count = 0;  // attribute of multi-part files
};

// From `at`, past the header's closing null on return. nullopt: cut off.
std::optional<ExrPart> read_exr_header(Bytes& in, std::string_view all, std::uint64_t& at) {
  ExrPart part;
  const auto keep = [&](std::string_view name, std::uint64_t value, std::uint64_t size) {
    if (name == "dataWindow") {
      part.x_min = in.i32(value);
      part.y_min = in.i32(value + 4);
      part.x_max = in.i32(value + 8);
      part.y_max = in.i32(value + 12);
    } else if (name == "displayWindow") {
      part.width = in.u32(value + 8) - in.u32(value) + 1;
      part.height = in.u32(value + 12) - in.u32(value + 4) + 1;
    } else if (name == "compression") {
      part.compression = in.u8(value);
    } else if (name == "tiles") {
      part.tile = {in.u32(value), in.u32(value + 4)};
      part.one_level = (in.u8(value + 8) & 0x0fU) == 0;
    } else if (name == "chunkCount") {
      part.chunk_count = in.u32(value);
    } else if (name == "type") {
      part.deep = in.text(value, size).starts_with("deep");
    }
  };
  if (!walk_exr_header(in, all, at, keep) || in.ran_out()) return std::nullopt;
  return part;
}

// Chunks in a part's offset table, per ImfCompressor.cpp's numScanLines(); nullopt when it is not known.
std::optional<std::uint64_t> chunks_of(const ExrPart& part) {
  if (part.chunk_count > 0) return part.chunk_count;
  if (part.deep || !part.one_level) return std::nullopt;
  const auto blocks = [](std::int64_t pixels, std::int64_t size) {
    return static_cast<std::uint64_t>((pixels + size - 1) / size);
  };
  const auto width = part.x_max - part.x_min + 1;
  const auto height = part.y_max - part.y_min + 1;
  if (part.tile) {
    if ((*part.tile)[0] == 0 || (*part.tile)[1] == 0) return std::nullopt;
    return blocks(width, (*part.tile)[0]) * blocks(height, (*part.tile)[1]);
  }
  constexpr std::array<std::int64_t, 10> lines{1, 1, 1, 16, 32, 16, 32, 32, 32, 256};
  if (part.compression >= lines.size()) return std::nullopt;
  return blocks(height, lines[part.compression]);
}

Result<Picture> check_exr(std::string_view all) {
  Bytes in(all, false);
  const auto flags = in.u32(4);
  const bool multi_part = (flags & 0x1000U) != 0;
  const bool deep = (flags & 0x800U) != 0;
  std::uint64_t at = 8;
  std::vector<ExrPart> parts;
  do {
    auto part = read_exr_header(in, all, at);
    if (!part) return cut_off("OpenEXR");
    part->deep = part->deep || deep;
    if (part->x_max < part->x_min || part->y_max < part->y_min) {
      return fail(Code::invalid, "the OpenEXR file has an empty data window");
    }
    parts.push_back(*part);
  } while (multi_part && in.u8(at) != 0);
  if (multi_part) ++at;

  const Picture picture{"OPEN_EXR", parts[0].width, parts[0].height};
  for (const auto& part : parts) {
    const auto chunks = chunks_of(part);
    if (!chunks || part.deep)
      return picture;  // how long this table is nobody here knows: the next ones neither
    if (*chunks > in.size() / 8 || !in.has(at, *chunks * 8)) return cut_off("OpenEXR");
    const std::uint64_t place = (multi_part ? 4U : 0U) + (part.tile ? 16U : 4U);  // part number; coordinates
    for (std::uint64_t i = 0; i < *chunks; ++i) {
      const auto offset = in.u64(at + i * 8);
      // Offsets are written last: 0 means that the writer never came to its end.
      if (offset < at || !in.has(offset, place + 4)) return cut_off("OpenEXR");
      if (!in.has(offset + place + 4, in.u32(offset + place))) return cut_off("OpenEXR");
    }
    at += *chunks * 8;
  }
  return picture;
}

// ---- the lesser ones -------------------------------------------------------------------------------------

Result<Picture> check_tiff(std::string_view all) {
  Bytes in(all, all[0] == 'M');
  Picture picture{"TIFF"};
  const auto directory = in.u32(4);
  const auto entries = in.u16(directory);
  struct Values {
    std::uint32_t count = 0;
    std::uint64_t at = 0;
    unsigned width = 4;
  };
  Values offsets, counts;
  for (unsigned i = 0; i < entries; ++i) {
    const std::uint64_t at = std::uint64_t{directory} + 2 + 12ULL * i;
    const auto tag = in.u16(at);
    Values values{in.u32(at + 4), at + 8, in.u16(at + 2) == 3 ? 2U : 4U};
    if (std::uint64_t{values.count} * values.width > 4) values.at = in.u32(at + 8);
    if (tag == 256) picture.width = static_cast<std::uint32_t>(in.number(values.at, values.width));
    if (tag == 257) picture.height = static_cast<std::uint32_t>(in.number(values.at, values.width));
    if (tag == 273 || tag == 324) offsets = values;  // StripOffsets, TileOffsets
    if (tag == 279 || tag == 325) counts = values;   // StripByteCounts, TileByteCounts
  }
  if (in.ran_out() || offsets.count == 0 || offsets.count != counts.count || offsets.count > in.size()) {
    return cut_off("TIFF");
  }
  for (std::uint64_t i = 0; i < offsets.count; ++i) {
    const auto offset = in.number(offsets.at + i * offsets.width, offsets.width);
    if (!in.has(offset, in.number(counts.at + i * counts.width, counts.width)) || in.ran_out())
      return cut_off("TIFF");
  }
  return picture;
}

Result<Picture> check_targa(std::string_view all) {
  Bytes in(all, false);
  Picture picture{"TARGA", in.u16(12), in.u16(14)};
  const auto kind = in.u8(2);
  const std::uint64_t pixel = in.u8(16) / 8U;
  const auto palette = std::uint64_t{in.u16(5)} * ((in.u8(7) + 7U) / 8U);
  std::uint64_t at = 18 + in.u8(0) + palette;
  const auto pixels = std::uint64_t{picture.width} * picture.height;
  if (in.ran_out()) return cut_off("TARGA");
  if (kind < 9) {  // plain
    if (!in.has(at, pixels * pixel)) return cut_off("TARGA");
    return picture;
  }
  for (std::uint64_t done = 0; done < pixels;) {  // run lengths
    const auto packet = in.u8(at);
    const std::uint64_t count = (packet & 0x7fU) + 1U;
    at += 1 + ((packet & 0x80U) != 0 ? pixel : count * pixel);
    if (in.ran_out() || at > in.size()) return cut_off("TARGA");
    done += count;
  }
  return picture;
}

Result<Picture> check_bmp(std::string_view all) {
  Bytes in(all, false);
  const auto height = in.i32(22);  // negative: top row first
  const Picture picture{"BMP", in.u32(18),
                        static_cast<std::uint32_t>(height < 0 ? -std::int64_t{height} : height)};
  const auto row = (std::uint64_t{picture.width} * in.u16(28) + 31) / 32 * 4;
  if (in.ran_out() || (in.u32(30) == 0 && !in.has(in.u32(10), row * picture.height))) return cut_off("BMP");
  return picture;
}

Result<Picture> check_webp(std::string_view all) {
  Bytes in(all, false);
  Picture picture{"WEBP"};
  if (!in.has(8, in.u32(4))) return cut_off("WEBP");
  const auto kind = in.text(12, 4);
  if (kind == "VP8X") {
    picture.width = 1 + static_cast<std::uint32_t>(in.number(24, 3));
    picture.height = 1 + static_cast<std::uint32_t>(in.number(27, 3));
  } else if (kind == "VP8L") {
    const auto bits = in.u32(21);
    picture.width = 1 + (bits & 0x3fffU);
    picture.height = 1 + (bits >> 14U & 0x3fffU);
  } else {
    picture.width = in.u16(26) & 0x3fffU;
    picture.height = in.u16(28) & 0x3fffU;
  }
  if (in.ran_out()) return cut_off("WEBP");
  return picture;
}

// Radiance: text, a blank line, `-Y <height> +X <width>`, then rows of four run-length coded channels.
Result<Picture> check_hdr(std::string_view all) {
  Bytes in(all, true);
  Picture picture{"HDR"};
  const auto blank = all.find("\n\n");
  const auto line_end = blank == std::string_view::npos ? blank : all.find('\n', blank + 2);
  if (line_end == std::string_view::npos) return cut_off("HDR");
  const std::string line(all.substr(blank + 2, line_end - blank - 2));
  if (std::sscanf(line.c_str(), "-Y %u +X %u", &picture.height, &picture.width) != 2) {
    return fail(Code::invalid, "the HDR file has no size");
  }
  std::uint64_t at = line_end + 1;
  // Blender writes runs where the format has them, and plain pixels else.
  if (picture.width < 8 || picture.width > 0x7fff) {
    if (!in.has(at, 4ULL * picture.width * picture.height)) return cut_off("HDR");
    return picture;
  }
  for (std::uint32_t row = 0; row < picture.height; ++row) {
    if (in.u16(at) != 0x0202 || in.u16(at + 2) != picture.width) return cut_off("HDR");
    at += 4;
    for (std::uint64_t done = 0; done < 4ULL * picture.width;) {
      const auto count = in.u8(at);
      const bool is_run = count > 128;
      done += is_run ? count - 128U : count;
      at += is_run || count == 0 ? 2 : 1 + count;
      if (at > in.size() || count == 0) return cut_off("HDR");
    }
  }
  return picture;
}

Result<Picture> check_known(std::string_view bytes, std::string_view extension) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return check_png(bytes);
  if (bytes.starts_with("\xff\xd8\xff")) return check_jpeg(bytes);
  if (bytes.starts_with("\x76\x2f\x31\x01")) return check_exr(bytes);
  if (bytes.starts_with(std::string_view("II*\0", 4)) || bytes.starts_with(std::string_view("MM\0*", 4))) {
    return check_tiff(bytes);
  }
  if (bytes.starts_with("BM")) return check_bmp(bytes);
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP")) return check_webp(bytes);
  if (bytes.starts_with("#?")) return check_hdr(bytes);
  if (extension == ".tga") return check_targa(bytes);
  // A known format's name on bytes that do not begin as it does: the beginning was never written.
  constexpr std::array<std::string_view, 9> known{".png",  ".jpg", ".jpeg", ".exr", ".tif",
                                                  ".tiff", ".bmp", ".webp", ".hdr"};
  if (std::find(known.begin(), known.end(), extension) != known.end()) {
    return fail(Code::invalid, fmt::format("the file does not begin as a {} file does", extension));
  }
  return Picture{};
}

}  // namespace

Result<Picture> check_picture(std::string_view bytes, std::string_view extension) {
  if (bytes.empty()) return fail(Code::invalid, "the file is empty");
  auto picture = check_known(bytes, extension);
  if (picture && !picture->format.empty() && (picture->width == 0 || picture->height == 0)) {
    return fail(Code::invalid, fmt::format("the {} file is {} x {} pixels", picture->format, picture->width,
                                           picture->height));
  }
  return picture;
}

Result<Picture> check_picture_file(const std::filesystem::path& path, bool with_blank) {
  const runtime::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail(runtime::os_error(errno, "while opening " + path.string()));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0)
    return fail(runtime::os_error(errno, "while reading " + path.string()));
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return fail(Code::invalid, "the file is empty");
  // A mapping of a file that a scene's script still holds open, and cuts short, would end us.
  constexpr std::size_t max_read = 512UL * 1024 * 1024;
  if (size <= max_read) {
    const auto bytes = runtime::read_file(path, max_read);
    if (!bytes) return fail(Error(bytes.error()));
    auto picture = check_picture(*bytes, path.extension().string());
    if (picture && with_blank) picture->blank = find_blank(*bytes);
    return picture;
  }
  void* const mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) return fail(runtime::os_error(errno, "while mapping " + path.string()));
  const std::string_view bytes(static_cast<const char*>(mapped), size);
  auto picture = check_picture(bytes, path.extension().string());
  if (picture && with_blank) picture->blank = find_blank(bytes);
  ::munmap(mapped, size);
  return picture;
}

}  // namespace kiln::session
