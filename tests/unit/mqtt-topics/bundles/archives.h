// Archives as a test wants them, honest or not.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace kiln::test {

struct Packed {
  std::string path;
  std::string bytes = {};
  mode_t type = AE_IFREG;
  mode_t mode = 0755;
  std::string link = {};  // of a symbolic link
  std::string hard = {};  // of a hard link
};

enum class Pack { tar, tar_gz, tar_xz, tar_zst, zip };

inline void write_archive(const std::filesystem::path& file, const std::vector<Packed>& entries,
                          Pack pack = Pack::tar_gz) {
  auto* out = ::archive_write_new();
  if (pack == Pack::zip)
    ::archive_write_set_format_zip(out);
  else
    ::archive_write_set_format_pax_restricted(out);
  if (pack == Pack::tar_gz) ::archive_write_add_filter_gzip(out);
  if (pack == Pack::tar_xz) ::archive_write_add_filter_xz(out);
  if (pack == Pack::tar_zst) ::archive_write_add_filter_zstd(out);
  if (::archive_write_open_filename(out, file.c_str()) != ARCHIVE_OK) ::abort();
  for (const auto& one : entries) {
    auto* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, one.path.c_str());
    ::archive_entry_set_filetype(entry, one.type);
    ::archive_entry_set_perm(entry, one.mode);
    if (!one.link.empty()) ::archive_entry_set_symlink(entry, one.link.c_str());
    if (!one.hard.empty()) ::archive_entry_set_hardlink(entry, one.hard.c_str());
    ::archive_entry_set_size(entry, static_cast<la_int64_t>(one.bytes.size()));
    if (::archive_write_header(out, entry) != ARCHIVE_OK) ::abort();
    if (!one.bytes.empty()) ::archive_write_data(out, one.bytes.data(), one.bytes.size());
    ::archive_entry_free(entry);
  }
  ::archive_write_close(out);
  ::archive_write_free(out);
}

inline std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A renderer as its makers pack it.
inline std::vector<Packed> honest() {
  return {{"blender-4.2.1-linux-x64", "", AE_IFDIR},
          {"blender-4.2.1-linux-x64/blender", "#!/bin/sh\necho hello\n"},
          {"blender-4.2.1-linux-x64/readme.html", "read me", AE_IFREG, 0644},
          {"blender-4.2.1-linux-x64/lib/libfoo.so.1", std::string(100'000, 'l'), AE_IFREG, 0644},
          {"blender-4.2.1-linux-x64/lib/libfoo.so", "", AE_IFLNK, 0777, "libfoo.so.1"},
          {"blender-4.2.1-linux-x64/4.2/up", "", AE_IFLNK, 0777, "../lib/libfoo.so.1"}};
}

}  // namespace kiln::test
