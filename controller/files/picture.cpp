#include "files/picture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace kiln::files {
namespace {

using namespace std::string_view_literals;

// Reads an EXR header (openexr.com, "OpenEXR File Layout"): magic, version, then attributes as name, type,
// size, value, ended by an empty name. Numbers are little-endian.
class ExrHeader {
 public:
  explicit ExrHeader(std::string_view bytes) : rest_(bytes) {}

  // The names of its channels; empty when the list is not within the bytes.
  std::vector<std::string> channels() {
    rest_.remove_prefix(std::min<std::size_t>(rest_.size(), 8));
    while (!rest_.empty()) {
      const auto name = text();
      const auto type = text();
      const auto size = number();
      if (name.empty() || size > rest_.size()) return {};
      const auto value = rest_.substr(0, size);
      rest_.remove_prefix(size);
      if (name == "channels" && type == "chlist") return names_in(value);
    }
    return {};
  }

 private:
  static std::vector<std::string> names_in(std::string_view list) {
    constexpr std::size_t behind_name = 16;  // pixel type, linearity, sampling
    std::vector<std::string> names;
    for (ExrHeader in(list); !in.rest_.empty();) {
      const auto name = in.text();
      if (name.empty() || in.rest_.size() < behind_name) break;
      in.rest_.remove_prefix(behind_name);
      names.emplace_back(name);
    }
    return names;
  }
  std::string_view text() {
    const auto end = std::min(rest_.find('\0'), rest_.size());
    const auto text = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return text;
  }
  std::uint32_t number() {
    std::uint32_t value = 0;
    const auto bytes = std::min<std::size_t>(rest_.size(), sizeof value);
    for (std::size_t i = 0; i < bytes; ++i)
      value |= std::uint32_t{static_cast<std::uint8_t>(rest_[i])} << (8 * i);
    rest_.remove_prefix(bytes);
    return value;
  }
  std::string_view rest_;
};

// The layer that is the picture: what the compositor made, else the first view layer's combined pass.
std::string picture_layer(const std::vector<std::string>& channels) {
  constexpr auto red = ".Combined.R"sv;
  std::string found;
  for (const auto& name : channels) {
    if (!name.ends_with(red)) continue;
    const auto layer = name.substr(0, name.size() - 2);
    if (layer == "Composite.Combined") return layer;
    if (found.empty()) found = layer;
  }
  return found;
}

Result<Picture> recognise_exr(std::string_view head) {
  const auto channels = ExrHeader(head).channels();
  const auto is_plain = [](const std::string& name) { return name == "R" || name == "Y"; };
  if (std::any_of(channels.begin(), channels.end(), is_plain))
    return Picture{Picture::Kind::floating, {}, {}};
  if (auto layer = picture_layer(channels); !layer.empty()) {
    return Picture{Picture::Kind::layered_exr, "exr", std::move(layer)};
  }
  return fail(Code::unsupported, "this EXR holds no combined pass, so there is no picture to show");
}

bool has_suffix(std::string_view name, std::string_view suffix) {
  return name.size() > suffix.size() &&
         std::equal(suffix.rbegin(), suffix.rend(), name.rbegin(),
                    [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
}

}  // namespace

Result<Picture> recognise(std::string_view head, std::string_view name) {
  using Kind = Picture::Kind;
  const struct {
    std::string_view magic;
    Kind kind;
    const char* codec;
  } known[] = {
      {"\xff\xd8\xff"sv, Kind::plain, ""},
      {"\x89PNG\r\n\x1a\n"sv, Kind::plain, ""},
      {"II*\0"sv, Kind::plain, ""},
      {"MM\0*"sv, Kind::plain, ""},
      {"II+\0"sv, Kind::plain, ""},  // BigTIFF
      {"MM\0+"sv, Kind::plain, ""},
      {"#?RADIANCE"sv, Kind::floating, ""},
      {"#?RGBE"sv, Kind::floating, ""},
      {"\0\0\0\x0cjP  "sv, Kind::floating, ""},  // JPEG 2000
      {"\xff\x4f\xff\x51"sv, Kind::floating, ""},
      {"BM"sv, Kind::ffmpeg_only, "bmp"},
      {"SDPX"sv, Kind::ffmpeg_only, "dpx"},
      {"XPDS"sv, Kind::ffmpeg_only, "dpx"},
  };
  for (const auto& one : known) {
    if (head.starts_with(one.magic)) return Picture{one.kind, one.codec, {}};
  }
  if (head.starts_with("RIFF") && head.substr(std::min<std::size_t>(head.size(), 8)).starts_with("WEBP")) {
    return Picture{Kind::plain, {}, {}};
  }
  if (head.starts_with("\x76\x2f\x31\x01"sv)) return recognise_exr(head);
  if (has_suffix(name, ".tga")) return Picture{Kind::ffmpeg_only, "targa", {}};
  return fail(Code::unsupported, fmt::format("'{}' is not a kind of picture that can be shown small", name));
}

std::vector<std::string> thumbnail_command(const Picture& picture) {
  if (picture.kind == Picture::Kind::plain || picture.kind == Picture::Kind::floating) {
    // Mid grey behind what is transparent: black and white things both stand out.
    return {"vipsthumbnail", "in",
            "--size",        fmt::format("{}x>", thumbnail_width_px),
            "--output",      "out.jpg[Q=85,strip,background=119]"};
  }
  std::vector<std::string> command = {
      "ffmpeg", "-nostdin", "-v",     "error",         "-threads", "1",    "-protocol_whitelist",
      "file",   "-f",       "image2", "-pattern_type", "none",     "-c:v", picture.codec};
  if (!picture.layer.empty()) {  // linear light to sRGB
    command.insert(command.end(), {"-layer", picture.layer, "-apply_trc", "iec61966_2_1"});
  }
  command.insert(command.end(), {"-i", "in", "-frames:v", "1", "-vf",
                                 fmt::format("scale=w='min({},iw)':h=-2", thumbnail_width_px), "-q:v", "3",
                                 "-y", "out.jpg"});
  return command;
}

}  // namespace kiln::files
