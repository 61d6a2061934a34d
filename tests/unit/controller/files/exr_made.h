// Small EXR files made by hand: 32-bit float, uncompressed (openexr.com, "OpenEXR File Layout").
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace kiln::test {

template <class Number>
std::string little_endian(Number value) {
  std::string bytes(sizeof value, '\0');
  std::memcpy(bytes.data(), &value, sizeof value);
  return bytes;
}

inline std::string exr_attribute(const std::string& name, const std::string& type, const std::string& value) {
  return name + '\0' + type + '\0' + little_endian(static_cast<std::uint32_t>(value.size())) + value;
}

// `channels` in alphabetical order, as the format wants them.
inline std::string exr_header(const std::vector<std::string>& channels, std::int32_t width,
                              std::int32_t height) {
  constexpr std::uint32_t float_pixels = 2;
  std::string list;
  for (const auto& channel : channels) {
    list += channel + '\0' + little_endian(float_pixels) + std::string(4, '\0') + little_endian(1) +
            little_endian(1);
  }
  list += '\0';
  const auto box = little_endian(0) + little_endian(0) + little_endian(width - 1) + little_endian(height - 1);
  return "\x76\x2f\x31\x01" + little_endian(2) + exr_attribute("channels", "chlist", list) +
         exr_attribute("compression", "compression", std::string(1, '\0')) +
         exr_attribute("dataWindow", "box2i", box) + exr_attribute("displayWindow", "box2i", box) +
         exr_attribute("lineOrder", "lineOrder", std::string(1, '\0')) +
         exr_attribute("pixelAspectRatio", "float", little_endian(1.0F)) +
         exr_attribute("screenWindowCenter", "v2f", little_endian(0.0F) + little_endian(0.0F)) +
         exr_attribute("screenWindowWidth", "float", little_endian(1.0F)) + std::string(1, '\0');
}

// `value(channel, x, y)`: linear light, or coverage for alpha.
inline std::string exr(const std::vector<std::string>& channels, std::int32_t width, std::int32_t height,
                       const std::function<float(const std::string& channel, int x, int y)>& value) {
  const auto header = exr_header(channels, width, height);
  const auto line_bytes = channels.size() * static_cast<std::size_t>(width) * sizeof(float);
  std::string offsets;
  std::string lines;
  for (std::int32_t y = 0; y < height; ++y) {
    offsets += little_endian(
        static_cast<std::uint64_t>(header.size() + 8U * static_cast<std::size_t>(height) + lines.size()));
    lines += little_endian(y) + little_endian(static_cast<std::uint32_t>(line_bytes));
    for (const auto& channel : channels) {
      for (int x = 0; x < width; ++x) lines += little_endian(value(channel, x, y));
    }
  }
  return header + offsets + lines;
}

}  // namespace kiln::test
