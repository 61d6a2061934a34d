#include "cli/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/digest_cache.h"
#include "cli/text.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr int tries = 6;

void show(Context& context, std::string label, std::uint64_t done, std::uint64_t all, std::string facts) {
  const Progress progress{
      std::move(label),
      100.0 * static_cast<double>(done) / static_cast<double>(std::max<std::uint64_t>(1, all)),
      std::move(facts),
      {}};
  context.err.status(progress_line(progress, context.err.width() - 1, true));
}

// One content, from wherever the controller's copy of it ends.
Status send_one(Context& context, const std::string& digest, const fs::path& file, std::uint64_t size) {
  for (int i = 1;; ++i) {
    Status sent;
    if (auto offset = context.client.blob_offset(digest, size); !offset) {
      sent = fail(std::move(offset.error()));
    } else if (*offset == size && size > 0) {
      return {};
    } else {
      sent = context.client.put_blob(digest, file, *offset);
    }
    if (sent) return sent;
    if (sent.error().code == Code::invalid) {
      return fail(Code::conflict,
                  fmt::format("{}: {}; if the file changed while it was being sent, submit again",
                              file.string(), sent.error().message));
    }
    if (sent.error().code != Code::unavailable || i == tries || !context.pause_ms(250 << i)) {
      return fail(Error(sent.error()).with(fmt::format("while sending {}", file.string())));
    }
  }
}

}  // namespace

Result<payloads::Manifest> make_manifest(Context& context, const Pack& pack) {
  std::uint64_t all = 0, done = 0;
  for (const auto& file : pack.files) {
    std::error_code error;
    const auto size = fs::file_size(file.source, error);
    if (!error) all += size;
  }
  DigestCache digests(context.cache / "digests");
  payloads::Manifest manifest;
  manifest.mappings = pack.mappings;
  for (const auto& file : pack.files) {
    show(context, "reading", done, all, bytes_text(done));
    auto digest = digests.digest(file.source, [&] { return context.client.interrupted(); });
    if (!digest) {
      context.err.end_status(false);
      // A file of this machine that is gone is bad input, not something the controller does not know.
      if (digest.error().code == Code::not_found) digest.error().code = Code::invalid;
      return fail(std::move(digest.error()));
    }
    done += digest->size;
    manifest.files.push_back({file.path, std::move(digest->digest), digest->size});
  }
  context.err.end_status(false);
  (void)digests.save();  // a cache that cannot be kept costs time, nothing else
  return manifest;
}

Result<Uploaded> upload(Context& context, const Pack& pack, const payloads::Manifest& manifest) {
  std::map<std::string, std::size_t> first;  // digest -> a file of that content
  std::vector<std::string> digests;
  for (std::size_t i = 0; i < manifest.files.size(); ++i) {
    if (first.emplace(manifest.files[i].digest, i).second) digests.push_back(manifest.files[i].digest);
  }
  const auto missing = context.client.missing_blobs(digests);
  if (!missing) return fail(missing.error());
  Uploaded uploaded;
  uploaded.known = digests.size() - std::min(digests.size(), missing->size());
  std::uint64_t all = 0;
  for (const auto& digest : *missing) {
    const auto found = first.find(digest);
    if (found == first.end())
      return fail(Code::internal, "the controller asks for a file that was not offered");
    all += manifest.files[found->second].size;
  }
  for (const auto& digest : *missing) {
    const std::size_t index = first[digest];
    const auto& file = manifest.files[index];
    const auto draw = [&](std::uint64_t sent) {
      show(context, "sending", uploaded.bytes + sent, all,
           fmt::format("{}/{} files  {} of {}", uploaded.files, missing->size(),
                       bytes_text(uploaded.bytes + sent), bytes_text(all)));
    };
    draw(0);
    auto sent = send_one(context, digest, pack.files[index].source, file.size);
    if (!sent) {
      context.err.end_status(false);
      return fail(std::move(sent.error()));
    }
    ++uploaded.files;
    uploaded.bytes += file.size;
  }
  context.err.end_status(false);
  return uploaded;
}

}  // namespace kiln::cli
