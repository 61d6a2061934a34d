#include "files/layout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "payloads/http_bodies.h"
#include "runtime/sha256.h"

namespace kiln::files {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t digest_prefix = std::string_view("sha256:").size();
constexpr std::size_t read_bytes = 256UL * 1024;

// A path that a person typed or a node sent: the file system's refusals are about it, not about us.
Error place_error(int cause, std::string_view path) {
  if (cause == ENAMETOOLONG)
    return {Code::invalid, fmt::format("'{}': a name in it is longer than 255 bytes", path)};
  if (cause == ELOOP || cause == ENOTDIR) {
    return {Code::not_found, fmt::format("'{}': a part of it is not a folder", path)};
  }
  return runtime::os_error(cause, fmt::format("'{}'", path));
}

Result<runtime::Fd> open_folder(int parent, const std::string& name, bool make, std::string_view path) {
  constexpr int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  runtime::Fd folder(::openat(parent, name.c_str(), flags));
  if (!folder && errno == ENOENT && make) {
    if (::mkdirat(parent, name.c_str(), 0755) != 0 && errno != EEXIST) return fail(place_error(errno, path));
    folder.reset(::openat(parent, name.c_str(), flags));
  }
  if (!folder) return fail(place_error(errno, path));
  return folder;
}

}  // namespace

Status Layout::create() const {
  for (const auto& folder : {incoming(), jobs(), workshop(), trash()}) {
    if (auto status = runtime::make_folders(folder); !status) return status;
  }
  return create_for_blobs();
}

Status Layout::create_for_blobs() const {
  if (auto status = runtime::make_folders(partials()); !status) return status;
  for (int i = 0; i < 256; ++i) {
    if (auto status = runtime::make_folders(data_ / "blobs" / fmt::format("{:02x}", i)); !status)
      return status;
  }
  // What is put there later is synced with its own folder only.
  for (const auto& folder : {data_ / "blobs", data_}) {
    if (auto status = runtime::fsync_dir(folder); !status) return status;
  }
  return {};
}

fs::path Layout::blob(std::string_view digest) const {
  const auto hex = digest.substr(digest_prefix);
  return data_ / "blobs" / hex.substr(0, 2) / hex;
}

fs::path Layout::incoming(const TaskId& task, std::uint32_t attempt) const {
  return incoming() / fmt::format("{}-{}", task.str(), attempt);
}

fs::path Layout::log(const TaskId& task, std::uint32_t attempt) const {
  return job(task.job) / "logs" / fmt::format("{}-{}.log", task.str(), attempt);
}

Result<Place> find_place(const fs::path& root, std::string_view path, bool make) {
  if (!payloads::is_safe_path(path)) {
    return fail(Code::invalid,
                fmt::format("'{}' is no path inside a job's output: relative, without . or .. and "
                            "without control characters, as in shot/frame_0001.png",
                            path.substr(0, 256)));
  }
  if (make) {
    if (auto status = runtime::make_folders(root); !status) return fail(std::move(status.error()));
  }
  runtime::Fd folder(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder) return fail(place_error(errno, path));
  auto rest = path;
  for (auto slash = rest.find('/'); slash != std::string_view::npos; slash = rest.find('/')) {
    auto next = open_folder(folder.get(), std::string(rest.substr(0, slash)), make, path);
    if (!next) return fail(std::move(next.error()));
    folder = std::move(*next);
    rest.remove_prefix(slash + 1);
  }
  return Place{std::move(folder), std::string(rest)};
}

Result<OpenFile> open_regular(int folder, const std::string& name) {
  // O_NONBLOCK: a pipe that somebody put there must not hold us up.
  OpenFile file{runtime::Fd(::openat(folder, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)),
                0, 0};
  if (!file.fd) return fail(place_error(errno, name));
  struct stat facts = {};
  if (::fstat(file.fd.get(), &facts) != 0) return fail(place_error(errno, name));
  if (!S_ISREG(facts.st_mode)) return fail(Code::not_found, fmt::format("'{}' is no file", name));
  file.size = static_cast<std::uint64_t>(facts.st_size);
  file.modified_ns = facts.st_mtim.tv_sec * 1'000'000'000LL + facts.st_mtim.tv_nsec;
  return file;
}

Result<OpenFile> open_below(const fs::path& root, std::string_view path) {
  const auto place = find_place(root, path, false);
  if (!place) return fail(place.error());
  return open_regular(place->folder.get(), place->name);
}

Result<std::string> digest_of_open(int fd) {
  runtime::Sha256 hash;
  std::string buffer(read_bytes, '\0');
  for (off_t offset = 0;;) {
    const auto got = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(runtime::os_error(errno, "cannot read a file to check it"));
    if (got == 0) return hash.finish();
    hash.update({buffer.data(), static_cast<std::size_t>(got)});
    offset += got;
  }
}

Status discard(const Layout& layout, const fs::path& path) {
  static std::atomic<std::uint64_t> count = 0;
  // The process id keeps what an earlier run left apart.
  const auto grave = layout.trash() / fmt::format("{}-{}", ::getpid(), ++count);
  if (std::rename(path.c_str(), grave.c_str()) == 0 || errno == ENOENT) return {};
  return fail(runtime::os_error(errno, fmt::format("{}: cannot move it to the trash", path.string())));
}

Status empty_trash(const Layout& layout) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(layout.trash(), error)) {
    fs::remove_all(entry.path(), error);
    if (error) break;
  }
  if (!error) return {};
  return fail(
      runtime::os_error(error.value(), fmt::format("{}: cannot empty the trash", layout.trash().string())));
}

}  // namespace kiln::files
