#include "runtime/files.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

namespace kiln::runtime {

namespace fs = std::filesystem;

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Error system_error(int errno_value, std::string_view doing) {
  Code code = Code::io;
  if (errno_value == ENOSPC || errno_value == EDQUOT) code = Code::full;
  if (errno_value == ENOENT) code = Code::not_found;
  if (errno_value == EACCES || errno_value == EPERM) code = Code::denied;
  return {code, fmt::format("{}: {}", doing, std::generic_category().message(errno_value))};
}

Result<std::string> read_file(const fs::path& path, std::uint64_t max_bytes) {
  const auto doing = fmt::format("while reading {}", path.string());
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(system_error(errno, doing));
  std::string bytes;
  char buffer[64 * 1024];
  for (;;) {
    const auto got = ::read(fd.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(system_error(errno, doing));
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<std::size_t>(got) > max_bytes) {
      return fail(Code::too_large, fmt::format("{}: over {} bytes", doing, max_bytes));
    }
    bytes.append(buffer, static_cast<std::size_t>(got));
  }
}

Status write_all(int fd, std::string_view bytes, std::string_view doing) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(system_error(errno, doing));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_file(const fs::path& path, std::string_view bytes, int mode) {
  static std::atomic<std::uint64_t> counter = 0;  // two threads may write beside each other
  const auto doing = fmt::format("while writing {}", path.string());
  const fs::path temporary = fmt::format("{}.{}-{}.tmp", path.string(), ::getpid(), ++counter);
  Status status;
  {
    const Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!fd) return fail(system_error(errno, doing));
    status = write_all(fd.get(), bytes, doing);
    if (status && ::fsync(fd.get()) != 0) status = fail(system_error(errno, doing));
  }
  if (status && ::rename(temporary.c_str(), path.c_str()) != 0) status = fail(system_error(errno, doing));
  if (!status) {
    ::unlink(temporary.c_str());
    return status;
  }
  return sync_folder(path.parent_path());
}

namespace {

Status sync_path(const fs::path& path, int flags) {
  const auto doing = fmt::format("while syncing {}", path.string());
  const Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) return fail(system_error(errno, doing));
  return {};
}

}  // namespace

Status sync_folder(const fs::path& folder) {
  return sync_path(folder.empty() ? fs::path(".") : folder, O_RDONLY | O_DIRECTORY);
}

Status sync_file(const fs::path& file) {
  return sync_path(file, O_RDONLY);
}

Status make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return fail(system_error(error.value(), fmt::format("while making the folder {}", folder.string())));
  return {};
}

Result<Space> space_of(const fs::path& path) {
  struct statvfs info {};
  if (::statvfs(path.c_str(), &info) != 0) {
    return fail(system_error(errno, fmt::format("while asking for the free space of {}", path.string())));
  }
  return Space{static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize,
               static_cast<std::uint64_t>(info.f_blocks) * info.f_frsize};
}

Result<Fd> lock_folder(const fs::path& folder, std::string_view who) {
  const auto file = folder / "lock";
  Fd fd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd) return fail(system_error(errno, fmt::format("while locking {}", folder.string())));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK)
      return fail(system_error(errno, fmt::format("while locking {}", folder.string())));
    return fail(Code::conflict,
                fmt::format("{} is in use by another {}: stop that one, or choose another folder with --data",
                            folder.string(), who));
  }
  return fd;
}

}  // namespace kiln::runtime
