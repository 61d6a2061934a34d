// What kind of picture a file is, by its first bytes, and how a thumbnail of it is made. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace kiln::files {

inline constexpr std::size_t picture_head_bytes = 64UL * 1024;  // enough for an EXR's list of channels
inline constexpr int thumbnail_width_px = 320;

struct Picture {
  enum class Kind {
    plain,        // JPEG, PNG, TIFF, WebP: loaders that libvips trusts
    floating,     // EXR, Radiance, JPEG 2000: loaders that libvips calls untrusted
    layered_exr,  // EXR whose picture is a named layer: libvips would show black
    ffmpeg_only,  // Targa, BMP, DPX
  };
  Kind kind = Kind::plain;
  std::string codec;  // for ffmpeg: its decoder
  std::string layer;  // of a layered EXR: "ViewLayer.Combined"
};

// `name` helps with Targa only, which has no signature. Errors: unsupported when no picture of it can be
// made.
Result<Picture> recognise(std::string_view head, std::string_view name);

// The program and its arguments, to run in a folder where the picture is called `in`; makes `out.jpg` there.
std::vector<std::string> thumbnail_command(const Picture& picture);

}  // namespace kiln::files
