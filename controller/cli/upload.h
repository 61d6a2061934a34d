// A scene's files on their way to the controller: named by content, sent once, resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/context.h"
#include "cli/pack.h"
#include "payloads/http_bodies.h"

namespace kiln::cli {

// Hashes the pack's files (remembered between runs), with progress on stderr. Errors: those of
// DigestCache::digest, naming the file.
Result<payloads::Manifest> make_manifest(Context& context, const Pack& pack);

struct Uploaded {
  std::size_t files = 0;  // sent now
  std::uint64_t bytes = 0;
  std::size_t known = 0;  // contents that the controller had
};
// Sends what the controller does not have, each content once, continuing what broke off. Errors: those of the
// client; conflict when a file changed since it was hashed.
Result<Uploaded> upload(Context& context, const Pack& pack, const payloads::Manifest& manifest);

// An update's bundle, continuing what broke off. Errors: those of the client; conflict when the file changed
// meanwhile.
Status upload_image(Context& context, const std::string& digest, const std::filesystem::path& file,
                    std::uint64_t size);

}  // namespace kiln::cli
