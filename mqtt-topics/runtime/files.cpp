#include "runtime/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <system_error>

namespace kiln::runtime {

namespace fs = std::filesystem;

namespace {

Code code_of(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return Code::full;
    case ENOENT:
    case ENOTDIR:
      return Code::not_found;
    case EACCES:
    case EPERM:
    case EROFS:
      return Code::denied;
    default:
      return Code::io;
  }
}

Status sync(int fd, const fs::path& path) {
  if (::fsync(fd) == 0) return {};
  return fail(os_error(errno, fmt::format("syncing {}", path.native())));
}

}  // namespace

Error os_error(int error, std::string_view doing) {
  return Error{code_of(error), fmt::format("{}: {}", doing, std::generic_category().message(error))};
}

Result<Fd> open_file(const fs::path& path, int flags, mode_t mode) {
  int fd = -1;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return fail(os_error(errno, fmt::format("opening {}", path.native())));
  return Fd(fd);
}

Status write_all(int fd, std::string_view bytes, std::string_view what) {
  while (!bytes.empty()) {
    const auto written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(os_error(errno, fmt::format("writing {}", what)));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Status write_file_in(int folder, const std::string& name, std::string_view bytes) {
  if (::unlinkat(folder, name.c_str(), 0) != 0 && errno != ENOENT)
    return fail(os_error(errno, fmt::format("replacing {}", name)));
  const Fd file(::openat(folder, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return fail(os_error(errno, fmt::format("writing {}", name)));
  return write_all(file.get(), bytes, fmt::format("while writing {}", name));
}

Status write_file_atomically(const fs::path& path, std::string_view bytes, mode_t mode) {
  static std::atomic<std::uint64_t> count = 0;  // two threads may write the same file
  const fs::path temporary = fmt::format("{}.{}-{}.tmp", path.native(), ::getpid(), ++count);
  auto fd = open_file(temporary, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (!fd) return fail(std::move(fd.error()));
  auto written = write_all(fd->get(), bytes, path.native());
  if (written) written = sync(fd->get(), temporary);
  if (written && ::rename(temporary.c_str(), path.c_str()) != 0) {
    written = fail(os_error(errno, fmt::format("renaming {} into place", temporary.native())));
  }
  if (!written) {
    ::unlink(temporary.c_str());
    return written;
  }
  return fsync_dir(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

Result<std::string> read_file(const fs::path& path, std::size_t max_bytes) {
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return fail(std::move(fd.error()));
  std::string bytes;
  char chunk[16ULL * 1024];
  for (;;) {
    const auto read = ::read(fd->get(), chunk, sizeof chunk);
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) return fail(os_error(errno, fmt::format("reading {}", path.native())));
    if (read == 0) return bytes;
    bytes.append(chunk, static_cast<std::size_t>(read));
    if (bytes.size() > max_bytes) {
      return fail(Code::too_large, fmt::format("{} is larger than {} bytes", path.native(), max_bytes));
    }
  }
}

Status fsync_file(const fs::path& path) {
  auto fd = open_file(path, O_RDONLY);
  if (!fd) return fail(std::move(fd.error()));
  return sync(fd->get(), path);
}

Status fsync_dir(const fs::path& folder) {
  auto fd = open_file(folder, O_RDONLY | O_DIRECTORY);
  if (!fd) return fail(std::move(fd.error()));
  return sync(fd->get(), folder);
}

Status make_folders(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return fail(os_error(error.value(), fmt::format("making the folder {}", folder.native())));
  return {};
}

Result<Space> disk_space(const fs::path& path) {
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) {
    return fail(os_error(errno, fmt::format("asking for the free space at {}", path.native())));
  }
  return Space{status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize};
}

Result<Fd> lock_folder(const std::filesystem::path& folder, std::string_view who) {
  auto fd = open_file(folder / "lock", O_RDWR | O_CREAT);
  if (!fd) return fail(std::move(fd.error()).with(fmt::format("while locking {}", folder.string())));
  if (::flock(fd->get(), LOCK_EX | LOCK_NB) == 0) return fd;
  if (errno != EWOULDBLOCK) return fail(os_error(errno, fmt::format("while locking {}", folder.string())));
  return fail(Code::conflict,
              fmt::format("{} is in use by another {}: stop that one, or choose another folder with --data",
                          folder.string(), who));
}

}  // namespace kiln::runtime
