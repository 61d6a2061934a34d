// What a .blend says about itself, read without Blender: its version, and whether it is whole. Pure: bytes
// come through a function, in bounded memory, decompressed on the way.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace kiln::compiler {

enum class Compression { none, gzip, zstd };

struct BlendFile {
  int major = 0;  // 3.4, 2.79
  int minor = 0;
  Compression compression = Compression::none;

  [[nodiscard]] std::string version() const;  // "3.4", "2.79"
  friend bool operator==(const BlendFile&, const BlendFile&) = default;
};

// Fills the span from the file's next bytes and returns how many; 0 at the end. It may return fewer.
using ByteSource = std::function<std::size_t(std::span<char>)>;

// Walks the whole file from header to ENDB (source: Blender's BLO_readfile and BLO_core_bhead.hh). Reads all
// of a compressed file; cost is that of decompressing it. Errors: invalid, saying what it is instead ("it is
// empty", "a PNG picture") or that it is cut off and where; too_large when it unpacks to more than 64 GiB.
Result<BlendFile> inspect(const ByteSource& source);

// True when a Blender of that version ("3.4.1") can be tried on the file: a file of a newer major version
// crashes it, one of a newer minor version opens and may lack something, which the node then warns of. A
// version that cannot be read opens everything, since nothing can be said.
bool can_open(std::string_view blender_version, const BlendFile& file);

}  // namespace kiln::compiler
