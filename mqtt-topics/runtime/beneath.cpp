#include "runtime/beneath.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "runtime/files.h"

namespace kiln::runtime {

namespace fs = std::filesystem;

namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
constexpr std::size_t max_depth = 100;  // each level holds a descriptor

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// A link where a folder should be shows as one of two errors, by the kernel's mood.
Error step_error(int error, const std::string& name) {
  if (error == ELOOP || error == ENOTDIR)
    return {Code::denied, fmt::format("'{}' is no folder: a link there is not followed", name)};
  return os_error(error, fmt::format("opening the folder '{}'", name));
}

bool is_regular(int folder, const char* name) {
  struct stat info {};
  return ::fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

Status copy(int from_folder, const std::string& from, int to_folder, const std::string& to) {
  // Not blocked by a pipe that waits for a writer.
  const Fd in(::openat(from_folder, from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!in || ::fstat(in.get(), &info) != 0) return fail(os_error(errno, fmt::format("reading '{}'", from)));
  if (!S_ISREG(info.st_mode)) return fail(Code::invalid, fmt::format("'{}' is no file", from));
  ::unlinkat(to_folder, to.c_str(), 0);
  const Fd out(::openat(to_folder, to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  if (!out) return fail(os_error(errno, fmt::format("writing '{}'", to)));
  std::array<char, 64UL * 1024> buffer;
  for (;;) {
    const auto got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(os_error(errno, fmt::format("reading '{}'", from)));
    if (got == 0) break;
    auto written = write_all(out.get(), {buffer.data(), static_cast<std::size_t>(got)},
                             fmt::format("while copying '{}'", to));
    if (!written) return written;
  }
  if (::fsync(out.get()) != 0) return fail(os_error(errno, fmt::format("syncing '{}'", to)));
  ::unlinkat(from_folder, from.c_str(), 0);
  return {};
}

Status list(int fd, const std::string& path, std::size_t depth, std::vector<std::string>& out) {
  const std::unique_ptr<DIR, CloseFolder> folder(::fdopendir(fd));
  if (!folder) {
    const auto error = os_error(errno, fmt::format("looking through '{}'", path));
    ::close(fd);
    return fail(error);
  }
  const int here = ::dirfd(folder.get());
  while (const auto* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    if (::fstatat(here, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    const auto inner = path.empty() ? name : path + "/" + name;
    if (S_ISREG(info.st_mode)) out.push_back(inner);
    if (!S_ISDIR(info.st_mode)) continue;
    if (depth == max_depth)
      return fail(Code::invalid, fmt::format("folders are more than {} deep", max_depth));
    int next = ::openat(here, name.c_str(), folder_flags);
    if (next < 0 && errno == EACCES && ::fchmodat(here, name.c_str(), 0700, 0) == 0)
      next = ::openat(here, name.c_str(), folder_flags);
    if (next < 0) continue;
    if (auto listed = list(next, inner, depth + 1, out); !listed) return listed;
  }
  return {};
}

}  // namespace

Result<Beneath> Beneath::open(const fs::path& folder) {
  Fd fd(::open(folder.c_str(), folder_flags));
  if (!fd) return fail(step_error(errno, folder.native()));
  return Beneath(std::move(fd));
}

Result<Beneath> Beneath::walk(const fs::path& path, bool makes) const {
  Fd at(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0));
  if (!at) return fail(os_error(errno, "opening a folder"));
  if (path.is_absolute())
    return fail(Code::invalid, fmt::format("'{}' is no path below a folder", path.native()));
  for (const auto& part : path) {
    const auto& name = part.native();
    if (name == ".." || name == ".")
      return fail(Code::invalid, fmt::format("'{}' is no path below a folder", path.native()));
    if (name.empty()) continue;  // a slash at the end
    if (makes && ::mkdirat(at.get(), name.c_str(), 0755) != 0 && errno != EEXIST)
      return fail(os_error(errno, fmt::format("making the folder '{}'", path.native())));
    Fd next(::openat(at.get(), name.c_str(), folder_flags));
    if (!next) return fail(step_error(errno, path.native()));
    at = std::move(next);
  }
  return Beneath(std::move(at));
}

Result<Beneath> Beneath::folder(const fs::path& path) const {
  return walk(path, false);
}

Result<Beneath> Beneath::make_folders(const fs::path& path) const {
  return walk(path, true);
}

Result<std::vector<std::string>> Beneath::files() const {
  const int fd = ::openat(fd_.get(), ".", folder_flags);
  if (fd < 0) return fail(os_error(errno, "looking through a folder"));
  std::vector<std::string> out;
  if (auto listed = list(fd, "", 0, out); !listed) return fail(std::move(listed.error()));
  std::sort(out.begin(), out.end());
  return out;
}

Status Beneath::move_file(const fs::path& path, const Beneath& to, const std::string& name) const {
  const auto from = folder(path.parent_path());
  if (!from) return fail(Error(from.error()));
  const auto last = path.filename().native();
  if (last.empty() || last == "..") return fail(Code::invalid, fmt::format("'{}' is no file", path.native()));
  if (!is_regular(from->fd(), last.c_str())) {
    const bool is_there = ::faccessat(from->fd(), last.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    return fail(
        is_there ? Code::invalid : Code::not_found,
        fmt::format("'{}' is {}", path.native(), is_there ? "no file but something else" : "not there"));
  }
  if (::renameat(from->fd(), last.c_str(), to.fd(), name.c_str()) != 0) {
    if (errno == EXDEV) return copy(from->fd(), last, to.fd(), name);
    return fail(os_error(errno, fmt::format("moving '{}'", path.native())));
  }
  // What it was a moment ago it need not have been when it was moved.
  if (is_regular(to.fd(), name.c_str())) return {};
  ::unlinkat(to.fd(), name.c_str(), 0);
  return fail(Code::invalid, fmt::format("'{}' is no file but something else", path.native()));
}

}  // namespace kiln::runtime
