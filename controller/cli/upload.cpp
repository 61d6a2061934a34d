#include "cli/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <set>

#include "cli/digest_cache.h"
#include "cli/text.h"

namespace kiln::cli {

namespace fs = std::filesystem;

namespace {

constexpr int tries = 6;

// Draws no more often than an eye follows.
class Bar {
 public:
  explicit Bar(Context& context) : context_(context) {}
  ~Bar() { context_.err.end_status(false); }
  Bar(const Bar&) = delete;
  Bar& operator=(const Bar&) = delete;
  void show(const char* label, std::uint64_t done, std::uint64_t all,
            const std::function<std::string()>& facts) {
    const auto now = std::chrono::steady_clock::now();
    if (!context_.err.is_tty() || now - drawn_ < std::chrono::milliseconds(100)) return;
    drawn_ = now;
    const double share = static_cast<double>(done) / static_cast<double>(std::max<std::uint64_t>(1, all));
    context_.err.status(progress_line({label, 100 * share, facts(), {}}, context_.err.width() - 1, true));
  }

 private:
  Context& context_;
  std::chrono::steady_clock::time_point drawn_;
};

// What a content is sent to: job files, or images.
struct Door {
  Result<std::uint64_t> (Client::*offset)(const std::string& digest, std::uint64_t size);
  Status (Client::*put)(const std::string& digest, const fs::path& file, std::uint64_t offset);
};
constexpr Door blobs{&Client::blob_offset, &Client::put_blob};
constexpr Door images{&Client::image_offset, &Client::put_image};

// One content, from wherever the controller's copy of it ends.
Status send_one(Context& context, const Door& door, const std::string& digest, const fs::path& file,
                std::uint64_t size, const std::function<void(std::uint64_t)>& draw) {
  for (int i = 1;; ++i) {
    Status sent;
    if (auto offset = (context.client.*door.offset)(digest, size); !offset) {
      sent = fail(std::move(offset.error()));
    } else if (*offset == size && size > 0) {
      return {};
    } else {
      const std::uint64_t from = *offset;
      context.client.on_moving([&](std::uint64_t moved, std::uint64_t) { draw(from + moved); });
      sent = (context.client.*door.put)(digest, file, from);
      context.client.on_moving({});
    }
    if (sent) return sent;
    if (sent.error().code == Code::invalid) {
      return fail(Code::conflict,
                  fmt::format("{}: {}; if the file changed while it was being sent, send it again",
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
  Bar bar(context);
  payloads::Manifest manifest;
  manifest.mappings = pack.mappings;
  for (const auto& file : pack.files) {
    bar.show("reading", done, all, [&] { return bytes_text(done); });
    auto digest = digests.digest(file.source, [&] { return context.client.interrupted(); });
    if (!digest) {
      // A file of this machine that is gone is bad input, not something the controller does not know.
      if (digest.error().code == Code::not_found) digest.error().code = Code::invalid;
      return fail(std::move(digest.error()));
    }
    done += digest->size;
    manifest.files.push_back({file.path, std::move(digest->digest), digest->size});
  }
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
  Bar bar(context);
  for (const auto& digest : *missing) {
    const std::size_t index = first[digest];
    const auto& file = manifest.files[index];
    const auto draw = [&](std::uint64_t sent) {
      bar.show("sending", uploaded.bytes + sent, all, [&] {
        return fmt::format("{}/{} files  {} of {}", uploaded.files, missing->size(),
                           bytes_text(uploaded.bytes + sent), bytes_text(all));
      });
    };
    draw(0);
    auto sent = send_one(context, blobs, digest, pack.files[index].source, file.size, draw);
    if (!sent) return fail(std::move(sent.error()));
    ++uploaded.files;
    uploaded.bytes += file.size;
  }
  return uploaded;
}

Status upload_image(Context& context, const std::string& digest, const fs::path& file, std::uint64_t size) {
  Bar bar(context);
  return send_one(context, images, digest, file, size, [&](std::uint64_t sent) {
    bar.show("sending", sent, size,
             [&] { return fmt::format("{} of {}", bytes_text(sent), bytes_text(size)); });
  });
}

}  // namespace kiln::cli
