// Small files that survive a power cut, and the questions that rooms ask a file system.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/fd.h"

namespace kiln::runtime {

// An errno as an Error: "<doing>: <the system's text>". full for ENOSPC and EDQUOT, not_found, denied, io.
Error os_error(int error, std::string_view doing);

// The file holds either what it held or all of `bytes`, whatever happens: temporary file beside it, fsync,
// rename, fsync of the folder. The folder must exist. Errors: full, denied, not_found, io, each with the
// path.
Status write_file_atomically(const std::filesystem::path& path, std::string_view bytes, mode_t mode = 0644);

// A file of that folder, whose other users are not trusted: made anew in place of whatever has that name,
// 0600. Errors as above.
Status write_file_in(int folder, const std::string& name, std::string_view bytes);

// Errors: not_found; too_large over max_bytes; denied, io.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t max_bytes);

// Opened with O_CLOEXEC and these flags. Errors as above.
Result<Fd> open_file(const std::filesystem::path& path, int flags, mode_t mode = 0644);
// Writes all of it, whatever the chunks. `what` stands in the error.
Status write_all(int fd, std::string_view bytes, std::string_view what);

Status fsync_file(const std::filesystem::path& path);
// Makes a rename, creation or removal in that folder durable.
Status fsync_dir(const std::filesystem::path& folder);

// mkdir -p. Errors name the folder that could not be made.
Status make_folders(const std::filesystem::path& folder);

struct Space {
  std::uint64_t free_bytes = 0;  // for us, without root's reserve
  std::uint64_t total_bytes = 0;
};
Result<Space> disk_space(const std::filesystem::path& path);

// Holds an exclusive lock on <folder>/lock while it lives. Errors: conflict when another process holds it
// (names the folder, and `who` could it be: "kiln-agent"); io.
Result<Fd> lock_folder(const std::filesystem::path& folder, std::string_view who);

}  // namespace kiln::runtime
