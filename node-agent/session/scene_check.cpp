#include "session/scene_check.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <memory>

#include "runtime/files.h"

namespace kiln::session {

namespace {

using payloads::Failure;
using payloads::FailureScope;

constexpr std::size_t header_bytes = 17;         // the longer of the two forms
constexpr std::size_t head_bytes = 64UL * 1024;  // a compressed file's first block begins within

std::optional<int> number(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::string gunzip_head(std::string_view bytes) {
  z_stream stream{};
  constexpr int gzip_window = 15 + 16;  // zlib's largest window, gzip framing
  if (::inflateInit2(&stream, gzip_window) != Z_OK) return {};
  std::array<char, header_bytes> out{};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::inflate(&stream, Z_SYNC_FLUSH);
  const std::string head(out.data(), out.size() - stream.avail_out);
  ::inflateEnd(&stream);
  return head;
}

std::string unzstd_head(std::string_view bytes) {
  const std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(::ZSTD_createDStream(),
                                                                          &ZSTD_freeDStream);
  std::array<char, header_bytes> out{};
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  while (to.pos < to.size) {
    const auto before = in.pos + to.pos;
    if (::ZSTD_isError(::ZSTD_decompressStream(stream.get(), &to, &in)) != 0U || in.pos + to.pos == before)
      break;
  }
  return {out.data(), to.pos};
}

}  // namespace

std::string BlenderVersion::str() const {
  return fmt::format("{}.{}.{}", major, minor, patch);
}

std::optional<BlenderVersion> parse_version(std::string_view output) {
  constexpr std::string_view word = "Blender ";
  while (!output.empty()) {
    auto line = output.substr(0, output.find('\n'));
    output.remove_prefix(std::min(line.size() + 1, output.size()));
    if (!line.starts_with(word)) continue;
    line.remove_prefix(word.size());
    line = line.substr(0, line.find_first_not_of("0123456789."));
    BlenderVersion version;
    std::array<int*, 3> parts{&version.major, &version.minor, &version.patch};
    std::size_t given = 0;
    while (given < parts.size() && !line.empty()) {
      const auto part = line.substr(0, line.find('.'));
      const auto value = number(part);
      if (!value) break;
      *parts[given++] = *value;
      line.remove_prefix(std::min(part.size() + 1, line.size()));
    }
    if (given >= 2) return version;
  }
  return std::nullopt;
}

std::optional<BlenderVersion> parse_blend_header(std::string_view bytes) {
  if (!bytes.starts_with("BLENDER")) return std::nullopt;
  bytes.remove_prefix(7);
  std::optional<int> version;
  if (bytes.size() >= 5 && (bytes[0] == '-' || bytes[0] == '_') && (bytes[1] == 'v' || bytes[1] == 'V')) {
    version = number(bytes.substr(2, 3));
  } else if (bytes.size() >= 10 && bytes[2] == '-' && bytes[5] == 'v') {
    version = number(bytes.substr(6, 4));
  }
  if (!version) return std::nullopt;
  return BlenderVersion{*version / 100, *version % 100, 0};
}

Result<BlenderVersion> read_blend_header(const std::filesystem::path& path) {
  // A pipe that nobody writes to would never open.
  const runtime::Fd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return fail(runtime::os_error(errno, "while opening " + path.string()));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return fail(Code::invalid, "it is no file");
  std::string bytes(head_bytes, '\0');
  std::size_t size = 0;
  while (size < bytes.size()) {
    const auto got = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(runtime::os_error(errno, "while reading " + path.string()));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  std::string head = bytes.substr(0, header_bytes);
  if (bytes.starts_with("\x1f\x8b")) head = gunzip_head(bytes);
  if (bytes.starts_with("\x28\xb5\x2f\xfd")) head = unzstd_head(bytes);
  if (const auto version = parse_blend_header(head)) return *version;
  return fail(Code::invalid, size == 0 ? "it is empty" : "it does not begin as a .blend file does");
}

SceneCheck check_scene(const std::filesystem::path& path, const BlenderVersion& blender) {
  SceneCheck check;
  const auto name = path.filename().string();
  const auto saved = read_blend_header(path);
  if (!saved) {
    const bool missing = saved.error().code == Code::not_found;
    check.failure = Failure{
        missing ? "missing-scene" : "bad-scene",
        missing ? fmt::format("the job's files hold no scene {}", name)
                : fmt::format("{} is no scene that Blender can open: {}", name, saved.error().message),
        saved.error().code == Code::io ? FailureScope::attempt : FailureScope::job};
  } else if (saved->major > blender.major) {
    check.failure = Failure{"newer-blender",
                            fmt::format("{} was saved by Blender {}.{}, this is {}: install Blender {}.{} or "
                                        "later on the render boxes, or "
                                        "save the scene with {}.{}",
                                        name, saved->major, saved->minor, blender.str(), saved->major,
                                        saved->minor, blender.major, blender.minor),
                            FailureScope::job};
  } else if (saved->major == blender.major && saved->minor > blender.minor) {
    check.warning =
        fmt::format("the scene was saved by Blender {}.{}, this is {}: what is new in {}.{} is lost",
                    saved->major, saved->minor, blender.str(), saved->major, saved->minor);
  }
  return check;
}

}  // namespace kiln::session
