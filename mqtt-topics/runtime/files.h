// Small durable file tools: what is reported as written survives a power cut.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace kiln::runtime {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// The error of a failed system call: full for ENOSPC and EDQUOT, not_found for ENOENT, denied for EACCES and
// EPERM, else io; its message is `<doing>: <strerror>`. errno_value is errno at the failure.
Error system_error(int errno_value, std::string_view doing);

// The whole file as bytes. Errors: not_found, io, too_large over max_bytes.
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t max_bytes);

// Replaces the file: temporary beside it, written, synced, renamed over it, folder synced. Errors: io, full.
Status write_file(const std::filesystem::path& path, std::string_view bytes, int mode = 0644);

// Writes all of it, or fails. Errors: io, full.
Status write_all(int fd, std::string_view bytes, std::string_view doing);

// fsync of a folder: makes renames and creations in it last. Errors: io.
Status sync_folder(const std::filesystem::path& folder);
// fsync of one file. Errors: io, full.
Status sync_file(const std::filesystem::path& file);

// mkdir -p. Errors: io, full, denied.
Status make_folders(const std::filesystem::path& folder);

struct Space {
  std::uint64_t free_bytes = 0;  // for us: without what only root may use
  std::uint64_t total_bytes = 0;
};
// Of the file system that holds the path. Errors: io.
Result<Space> space_of(const std::filesystem::path& path);

// Holds an exclusive lock on <folder>/lock while it lives. Errors: conflict when another process holds it,
// naming the folder and `who` ("kiln-agent") could be running; io.
Result<Fd> lock_folder(const std::filesystem::path& folder, std::string_view who);

}  // namespace kiln::runtime
