#include "compiler/blend_file.h"

#include <fmt/core.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/text.h"

namespace kiln::compiler {

namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr std::uint64_t max_unpacked_bytes = 64ULL << 30U;  // no scene is larger; a decompression bomb is
constexpr int max_window_log = 27;  // zstd: 128 MiB, what Blender's own reader accepts

// Bytes of the unpacked file, pulled one buffer at a time.
class Unpacked {
 public:
  virtual ~Unpacked() = default;
  // The next bytes, valid until the next call; empty at the end. A packed stream that breaks off ends early.
  virtual std::string_view next() = 0;
  // What the packing itself says is wrong: "" while all is well.
  std::string damage;
};

class Plain final : public Unpacked {
 public:
  Plain(const ByteSource& source, std::string first) : source_(source), buffer_(std::move(first)) {}
  std::string_view next() override {
    if (!std::exchange(first_given_, true) && !buffer_.empty()) return buffer_;
    buffer_.resize(buffer_bytes);
    const auto got = source_(buffer_);
    return {buffer_.data(), got};
  }

 private:
  const ByteSource& source_;
  std::string buffer_;
  bool first_given_ = false;
};

class Gzip final : public Unpacked {
 public:
  explicit Gzip(Plain packed) : packed_(std::move(packed)) {
    ready_ = ::inflateInit2(&stream_, 15 + 16) == Z_OK;  // 16: a gzip wrapper (zlib.h)
  }
  ~Gzip() override { ::inflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  std::string_view next() override {
    if (!ready_ || ended_) return {};
    for (;;) {
      if (stream_.avail_in == 0) {
        const auto more = packed_.next();
        if (more.empty()) {
          damage = "the gzip stream breaks off";
          return {};
        }
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(more.data()));
        stream_.avail_in = static_cast<uInt>(more.size());
      }
      stream_.next_out = reinterpret_cast<Bytef*>(out_.data());
      stream_.avail_out = static_cast<uInt>(out_.size());
      const int status = ::inflate(&stream_, Z_NO_FLUSH);
      const auto made = out_.size() - stream_.avail_out;
      if (status == Z_STREAM_END) ended_ = true;
      if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
        damage = "the gzip stream is damaged";
        ended_ = true;
      }
      if (made > 0 || ended_) return {out_.data(), made};  // what came before the damage still counts
    }
  }

 private:
  Plain packed_;
  z_stream stream_{};
  bool ready_ = false;
  bool ended_ = false;
  std::vector<char> out_ = std::vector<char>(buffer_bytes);
};

// Many frames, and a skippable one with the seek table at the end.
class Zstd final : public Unpacked {
 public:
  explicit Zstd(Plain packed) : packed_(std::move(packed)), stream_(ZSTD_createDStream()) {
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, max_window_log);
  }

  std::string_view next() override {
    for (;;) {
      // A full buffer may have left some behind inside the decoder: that comes before more is read.
      if (in_.pos == in_.size && !std::exchange(is_full_, false)) {
        const auto more = packed_.next();
        if (more.empty()) {
          if (inside_frame_) damage = "the zstd stream breaks off";
          return {};
        }
        in_ = {more.data(), more.size(), 0};
      }
      ZSTD_outBuffer out{out_.data(), out_.size(), 0};
      const auto left = ZSTD_decompressStream(stream_.get(), &out, &in_);
      if (ZSTD_isError(left) != 0U) {
        damage = fmt::format("the zstd stream is damaged ({})", ZSTD_getErrorName(left));
        return {};
      }
      inside_frame_ = left != 0;
      is_full_ = inside_frame_ && out.pos == out.size;
      if (out.pos > 0) return {out_.data(), out.pos};
    }
  }

 private:
  struct Free {
    void operator()(ZSTD_DStream* stream) const { ZSTD_freeDStream(stream); }
  };
  Plain packed_;
  std::unique_ptr<ZSTD_DStream, Free> stream_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool inside_frame_ = false;
  bool is_full_ = false;
  std::vector<char> out_ = std::vector<char>(buffer_bytes);
};

// Reads and skips over the buffers.
class Walker {
 public:
  explicit Walker(Unpacked& bytes) : bytes_(bytes) {}
  [[nodiscard]] std::uint64_t position() const { return position_; }

  // Fills `out`; false when the file ends before.
  bool read(std::span<char> out) {
    while (!out.empty()) {
      if (!refill()) return false;
      const auto count = std::min(out.size(), left_.size());
      std::memcpy(out.data(), left_.data(), count);
      consume(count);
      out = out.subspan(count);
    }
    return true;
  }
  bool skip(std::uint64_t count) {
    while (count > 0) {
      if (!refill()) return false;
      const auto step = std::min<std::uint64_t>(count, left_.size());
      consume(static_cast<std::size_t>(step));
      count -= step;
    }
    return true;
  }

 private:
  bool refill() {
    if (left_.empty()) left_ = bytes_.next();
    return !left_.empty();
  }
  void consume(std::size_t count) {
    left_.remove_prefix(count);
    position_ += count;
  }

  Unpacked& bytes_;
  std::string_view left_;
  std::uint64_t position_ = 0;
};

// How the file's blocks are headed (BLO_core_bhead.hh).
struct Form {
  std::size_t head_bytes = 24;
  std::size_t length_at = 4;
  std::size_t length_bytes = 4;
  bool is_big_endian = false;
};

std::uint64_t number(std::string_view bytes, bool is_big_endian) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto byte = static_cast<unsigned char>(bytes[is_big_endian ? i : bytes.size() - 1 - i]);
    value = value << 8U | byte;
  }
  return value;
}

bool digits(std::string_view text, int& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && text.front() != '-';
}

Error cut_off(const Unpacked& bytes, std::uint64_t position, std::string_view where) {
  if (!bytes.damage.empty()) {
    return {Code::invalid, fmt::format("the scene is damaged or cut off: {}; copy it again", bytes.damage)};
  }
  return {Code::invalid,
          fmt::format("the scene is cut off: it ends {} after {} bytes; copy it again", where, position)};
}

// Versions are two digits since 3.0 ("304" is 3.4) and were three before ("279" is 2.79).
void set_version(int value, BlendFile& file) {
  file.major = value / 100;
  file.minor = value % 100;
}

// The header: 12 bytes "BLENDER-v304", or since 5.0 17 bytes "BLENDER17-01v0500".
Result<Form> read_header(Walker& walker, BlendFile& file, const Unpacked& bytes) {
  std::array<char, 17> head{};
  if (!walker.read(std::span(head).first(12)))
    return fail(cut_off(bytes, walker.position(), "inside its header"));
  const std::string_view text(head.data(), head.size());
  if (!text.starts_with("BLENDER")) {
    return fail(Code::invalid, "no Blender scene: what is packed inside is something else");
  }
  Form form;
  int version = 0;
  const bool is_new = text.substr(7, 2) == "17";
  if (is_new) {
    if (!walker.read(std::span(head).subspan(12)))
      return fail(cut_off(bytes, walker.position(), "inside its header"));
    if (text[9] == '-' && text.substr(10, 2) == "01" && text[12] == 'v' &&
        digits(text.substr(13, 4), version)) {
      set_version(version, file);
      return Form{32, 16, 8, false};
    }
  } else if ((text[7] == '-' || text[7] == '_') && (text[8] == 'v' || text[8] == 'V') &&
             digits(text.substr(9, 3), version)) {
    set_version(version, file);
    form.is_big_endian = text[8] == 'V';
    if (text[7] == '_') form.head_bytes = 20;  // saved on a 32-bit machine
    return form;
  }
  return fail(Code::invalid,
              fmt::format("the scene's header '{}' is of a kind that this Kiln does not know: save the "
                          "scene with an older Blender",
                          to_utf8(text.substr(0, is_new ? 17 : 12))));
}

Status walk_blocks(Walker& walker, const Form& form, const Unpacked& bytes) {
  std::array<char, 32> head{};
  for (;;) {
    const auto start = walker.position();
    // ENDB may be followed by nothing at all, not even the rest of its own head (2.4x wrote it so).
    if (!walker.read(std::span(head).first(4))) return fail(cut_off(bytes, start, "without its end mark"));
    const std::string_view code(head.data(), 4);
    if (code == "ENDB") return {};
    if (!walker.read(std::span(head).subspan(4, form.head_bytes - 4))) {
      return fail(cut_off(bytes, walker.position(), "inside a block's head"));
    }
    const auto length = number({head.data() + form.length_at, form.length_bytes}, form.is_big_endian);
    const bool is_name = std::all_of(code.begin(), code.end(), [](char c) {
      return c == '\0' || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!is_name || length > max_unpacked_bytes) {
      return fail(Code::invalid,
                  fmt::format("the scene is damaged: there is no block at byte {}; copy it again", start));
    }
    if (walker.position() + length > max_unpacked_bytes) {
      return fail(Code::too_large,
                  fmt::format("the scene unpacks to more than {} GiB", max_unpacked_bytes >> 30U));
    }
    if (!walker.skip(length)) {
      const auto shown = std::string(code.data(), ::strnlen(code.data(), code.size()));
      return fail(cut_off(bytes, walker.position(), fmt::format("inside a block ({})", shown)));
    }
  }
}

// What a file that is no scene looks like.
std::string_view looks_like(std::string_view first) {
  struct Magic {
    std::string_view bytes;
    std::string_view name;
  };
  constexpr Magic known[] = {{"\x89PNG", "a PNG picture"},
                             {"\xff\xd8\xff", "a JPEG picture"},
                             {"PK\x03\x04", "a ZIP archive"},
                             {"#!", "a script"},
                             {"<!DOCTYPE", "a web page"},
                             {"<html", "a web page"},
                             {"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"},
                             {"Kaydara FBX", "an FBX file: import it into Blender and save that"},
                             {"glTF", "a glTF file: import it into Blender and save that"},
                             {std::string_view("\0\5\x16\7", 4), "what macOS keeps beside a file (._name)"},
                             {"7z\xbc\xaf", "a 7z archive"},
                             {"Rar!", "a RAR archive"},
                             {"BZh", "a bzip2 archive"}};
  for (const auto& one : known) {
    if (first.starts_with(one.bytes)) return one.name;
  }
  return "something else";
}

}  // namespace

std::string BlendFile::version() const {
  return fmt::format("{}.{}", major, minor);
}

Result<BlendFile> inspect(const ByteSource& source) {
  std::string first(buffer_bytes, '\0');
  std::size_t have = 0;
  while (have < 24) {  // enough for every magic above
    const auto got = source(std::span(first).subspan(have));
    if (got == 0) break;
    have += got;
  }
  first.resize(have);
  if (first.empty()) return fail(Code::invalid, "no Blender scene: the file is empty; copy it again");

  BlendFile file;
  std::unique_ptr<Unpacked> bytes;
  const std::string_view start = first;
  Plain plain(source, first);
  if (start.starts_with("BLENDER")) {
    bytes = std::make_unique<Plain>(std::move(plain));
  } else if (start.starts_with("\x1f\x8b")) {
    file.compression = Compression::gzip;
    bytes = std::make_unique<Gzip>(std::move(plain));
  } else if (start.starts_with("\x28\xb5\x2f\xfd")) {
    file.compression = Compression::zstd;
    bytes = std::make_unique<Zstd>(std::move(plain));
  } else {
    return fail(Code::invalid, fmt::format("no Blender scene: it looks like {}", looks_like(start)));
  }
  Walker walker(*bytes);
  const auto form = read_header(walker, file, *bytes);
  if (!form) return fail(form.error());
  if (auto walked = walk_blocks(walker, *form, *bytes); !walked) return fail(std::move(walked.error()));
  return file;
}

bool can_open(std::string_view blender_version, const BlendFile& file) {
  int major = 0;
  const auto text = blender_version.substr(0, blender_version.find('.'));
  return text.empty() || !digits(text, major) || major >= file.major;
}

}  // namespace kiln::compiler
