#include "files/blobs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "files/verified_file.h"
#include "runtime/sha256.h"

namespace kiln::files {
namespace fs = std::filesystem;
namespace {

// The right to write one partial file. Whoever continues it counts `owner` up, and the connection before
// learns of it at its next write.
struct Partial {
  std::mutex mutex;
  std::uint64_t owner = 0;
};

Status bad_digest(std::string_view digest) {
  return fail(Code::invalid, fmt::format("'{}' is no digest: sha256: and 64 hex digits in lower case",
                                         digest.substr(0, 128)));
}

Status put_in_place(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    return fail(runtime::os_error(errno, fmt::format("{}: cannot put the file in place", to.string())));
  }
  return runtime::fsync_dir(to.parent_path());
}

}  // namespace

struct Blobs::State {
  explicit State(Layout where) : layout(std::move(where)) {}
  Layout layout;
  std::mutex mutex;
  std::map<std::string, std::weak_ptr<Partial>, std::less<>> open_partials;
  std::atomic<std::uint64_t> next_private = 0;

  [[nodiscard]] fs::path partial_path(std::string_view digest) const {
    return layout.partials() / layout.blob(digest).filename();
  }

  // The partial of that digest, and whether somebody writes it now.
  std::pair<std::shared_ptr<Partial>, bool> partial(std::string_view digest) {
    const std::lock_guard lock(mutex);
    std::erase_if(open_partials, [](const auto& one) { return one.second.expired(); });
    auto& known = open_partials[std::string(digest)];
    if (auto held = known.lock()) return {held, true};
    auto fresh = std::make_shared<Partial>();
    known = fresh;
    return {fresh, false};
  }

  bool is_being_written(const std::string& hex) {
    const std::lock_guard lock(mutex);
    const auto found = open_partials.find("sha256:" + hex);
    return found != open_partials.end() && !found->second.expired();
  }
};

// ---- Upload ----------------------------------------------------------------------------------------------

struct Upload::State {
  fs::path path;
  fs::path target;
  std::shared_ptr<Partial> partial;  // null: a file of this upload's own, which nobody continues
  std::uint64_t owner = 0;
  VerifiedFile file;
  bool is_finished = false;

  // Runs work() while this connection owns the file.
  template <class Work>
  Status owned(const Work& work) {
    if (!partial) return work();
    const std::lock_guard lock(partial->mutex);
    if (partial->owner != owner) return fail(Code::conflict, "a newer connection continues this upload");
    return work();
  }
};

Upload::Upload(std::unique_ptr<State> state) : state_(std::move(state)) {}
Upload::Upload(Upload&&) noexcept = default;
Upload& Upload::operator=(Upload&&) noexcept = default;
Upload::~Upload() {
  if (!state_ || state_->is_finished) return;
  if (state_->partial) {
    static_cast<void>(state_->owned([this]() -> Status {
      state_->file.release();
      return {};
    }));
  } else {
    ::unlink(state_->path.c_str());
  }
}

std::uint64_t Upload::offset() const {
  return state_->file.written();
}

Status Upload::write(std::string_view bytes) {
  return state_->owned([&] { return state_->file.write(bytes); });
}

Status Upload::finish() {
  return state_->owned([this]() -> Status {
    auto& file = state_->file;
    auto status = file.verify();
    if (!status) {
      const bool is_wrong = status.error().code == Code::invalid && file.written() == file.size();
      if (is_wrong && ::unlink(state_->path.c_str()) == 0) state_->is_finished = true;
      return status;
    }
    if (status = put_in_place(state_->path, state_->target); !status) return status;
    state_->is_finished = true;
    return {};
  });
}

// ---- Blobs -----------------------------------------------------------------------------------------------

Blobs::Blobs(Layout layout) : state_(std::make_shared<State>(std::move(layout))) {}
Blobs::~Blobs() = default;
Blobs::Blobs(Blobs&&) noexcept = default;
Blobs& Blobs::operator=(Blobs&&) noexcept = default;

bool Blobs::has(std::string_view digest) const {
  return is_digest(digest) && ::access(state_->layout.blob(digest).c_str(), F_OK) == 0;
}

std::vector<std::string> Blobs::missing(const std::vector<std::string>& digests) const {
  std::vector<std::string> missing;
  std::set<std::string_view> seen;
  for (const auto& digest : digests) {
    if (seen.insert(digest).second && !has(digest)) missing.push_back(digest);
  }
  return missing;
}

Result<OpenFile> Blobs::open(std::string_view digest) const {
  if (is_digest(digest)) {
    auto file = open_regular(AT_FDCWD, state_->layout.blob(digest).string());
    if (file || file.error().code != Code::not_found) return file;
  }
  return fail(Code::not_found, fmt::format("no blob {} here", digest.substr(0, 128)));
}

Status Blobs::remove(std::string_view digest) {
  if (!is_digest(digest)) return {};
  if (::unlink(state_->layout.blob(digest).c_str()) == 0 || errno == ENOENT) return {};
  return fail(runtime::os_error(errno, fmt::format("removing the blob {}", digest)));
}

Result<std::string> Blobs::read(std::string_view digest, std::uint64_t max_bytes) const {
  if (!has(digest)) return fail(Code::not_found, fmt::format("no blob {} here", digest.substr(0, 128)));
  return runtime::read_file(state_->layout.blob(digest), max_bytes);
}

std::uint64_t Blobs::partial_size(std::string_view digest) const {
  struct stat facts = {};
  if (!is_digest(digest) || ::stat(state_->partial_path(digest).c_str(), &facts) != 0) return 0;
  return static_cast<std::uint64_t>(facts.st_size);
}

Result<Upload> Blobs::begin(std::string_view digest, std::uint64_t total, std::uint64_t offset) {
  if (!is_digest(digest)) return fail(bad_digest(digest).error());
  if (offset > total) {
    return fail(Code::invalid,
                fmt::format("an upload of {} bytes cannot continue at byte {}", total, offset));
  }
  auto upload = std::make_unique<Upload::State>();
  upload->target = state_->layout.blob(digest);
  auto [partial, is_taken] = state_->partial(digest);
  if (is_taken && offset == 0) {
    upload->path = state_->partial_path(digest);
    upload->path += fmt::format(".{}", ++state_->next_private);
    auto file = VerifiedFile::open(upload->path, std::string(digest), total);
    if (!file) {
      ::unlink(upload->path.c_str());
      return fail(std::move(file.error()));
    }
    upload->file = std::move(*file);
    return Upload(std::move(upload));
  }
  upload->path = state_->partial_path(digest);
  upload->partial = partial;
  const std::lock_guard lock(partial->mutex);  // a write of the connection before ends first
  const auto held = partial_size(digest);
  if (offset > held) {
    return fail(Code::conflict,
                fmt::format("byte {} cannot follow: {} bytes of {} are here", offset, held, digest));
  }
  auto file = VerifiedFile::open(upload->path, std::string(digest), total, offset);
  if (!file) return fail(std::move(file.error()));
  upload->owner = ++partial->owner;
  upload->file = std::move(*file);
  return Upload(std::move(upload));
}

Result<std::string> Blobs::put_bytes(std::string_view bytes) {
  auto digest = runtime::digest_of(bytes);
  if (has(digest)) return digest;
  auto upload = begin(digest, bytes.size());
  if (!upload) return fail(std::move(upload.error()));
  if (auto status = upload->write(bytes); !status) return fail(std::move(status.error()));
  if (auto status = upload->finish(); !status) return fail(std::move(status.error()));
  return digest;
}

Result<std::size_t> Blobs::sweep_partials(std::int64_t now_unix_s, std::int64_t max_age_s) {
  std::size_t removed = 0;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_->layout.partials(), error)) {
    struct stat facts = {};
    if (::stat(entry.path().c_str(), &facts) != 0) continue;
    const auto hex = entry.path().stem().string();
    const bool is_old = now_unix_s - facts.st_mtim.tv_sec > max_age_s;
    const bool is_private = entry.path().has_extension();
    if ((is_old || is_private) && !state_->is_being_written(hex) && ::unlink(entry.path().c_str()) == 0)
      ++removed;
  }
  if (error) return fail(runtime::os_error(error.value(), "cannot list the unfinished uploads"));
  return removed;
}

}  // namespace kiln::files
