// Archives of renderers: tar, plain or compressed, and zip. Hides libarchive.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "bundles/entries.h"

namespace kiln::bundles {

struct Contents {
  std::string program;      // path of the executable in it
  std::uint64_t bytes = 0;  // of its files, unpacked
};

// Asked between pieces of some 64 KiB; true ends the work with Code::timeout. May be empty.
using Cancelled = std::function<bool()>;

// Reads the whole archive, from the descriptor's beginning, and writes nothing. Errors: invalid for what is
// no archive, damaged, or holds what it may not (entries.h); not_found without that program; too_large; io.
Result<Contents> examine(int fd, std::string_view program, const Bounds& bounds = {},
                         const Cancelled& cancelled = {});

// Writes its files into the folder, which is empty and nobody else's. Not synced. Errors: as above; full, io.
Result<Contents> unpack(const std::filesystem::path& archive, const std::filesystem::path& folder,
                        std::string_view program, const Bounds& bounds = {}, const Cancelled& cancelled = {});

// Removes what unpack() wrote, closed folders and all. Errors: io.
Status remove_tree(const std::filesystem::path& folder);

}  // namespace kiln::bundles
