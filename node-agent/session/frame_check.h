// Whether the bytes of a written picture are all there, told from the file's structure alone: a full disk
// leaves a file that begins well, and Blender says "Saved".
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::session {

struct Picture {
  std::string_view format;  // "PNG", "JPEG", "OPEN_EXR", "TIFF", "TARGA", "BMP", "WEBP", "HDR"; "" for others
  std::uint32_t width = 0;  // pixels; 0 where the format is not known here
  std::uint32_t height = 0;
  payloads::Blank blank = payloads::Blank::no;  // when asked for
};

// PNG: every chunk's checksum and the end chunk. OpenEXR (scanlines or one-level tiles, one part or several):
// every chunk that the offset tables name lies in the file. JPEG: markers and the end marker. TIFF, TARGA,
// BMP, WEBP, HDR: the pixel data that the header promises. Others pass unread. `extension` (".tga") tells
// formats without a signature. Errors: invalid, saying what is missing.
Result<Picture> check_picture(std::string_view bytes, std::string_view extension);

// The same for a file, mapped into memory; with_blank: and whether it shows anything (blank_check.h). Errors:
// as above, and not_found, io.
Result<Picture> check_picture_file(const std::filesystem::path& path, bool with_blank = false);

}  // namespace kiln::session
