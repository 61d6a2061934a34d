// Where everything lies below the data directory, and how a path from outside is followed there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/ids.h"
#include "base/result.h"
#include "runtime/files.h"

namespace kiln::files {

class Layout {
 public:
  explicit Layout(std::filesystem::path data) : data_(std::move(data)) {}
  // Makes the folders. Errors: full, denied, io.
  [[nodiscard]] Status create() const;

  [[nodiscard]] const std::filesystem::path& data() const { return data_; }
  [[nodiscard]] std::filesystem::path database() const { return data_ / "kiln.db"; }
  [[nodiscard]] std::filesystem::path accounts() const { return data_ / "accounts.db"; }

  // The digest is valid (is_digest), here and below.
  [[nodiscard]] std::filesystem::path blob(std::string_view digest) const;
  [[nodiscard]] std::filesystem::path partials() const { return data_ / "blobs" / "partial"; }

  [[nodiscard]] std::filesystem::path incoming() const { return data_ / "incoming"; }
  [[nodiscard]] std::filesystem::path incoming(const TaskId& task, std::uint32_t attempt) const;

  [[nodiscard]] std::filesystem::path jobs() const { return data_ / "jobs"; }
  [[nodiscard]] std::filesystem::path job(const JobId& job) const { return jobs() / job.str(); }
  [[nodiscard]] std::filesystem::path output(const JobId& job) const { return this->job(job) / "output"; }
  [[nodiscard]] std::filesystem::path log(const TaskId& task, std::uint32_t attempt) const;

  [[nodiscard]] std::filesystem::path thumbnails() const { return data_ / "thumbnails"; }
  [[nodiscard]] std::filesystem::path thumbnails(const JobId& job) const { return thumbnails() / job.str(); }

  // Where thumbnails are being made. No job's id begins with a dot.
  [[nodiscard]] std::filesystem::path workshop() const { return thumbnails() / ".making"; }

  // What is on its way out: renamed to here at once, removed when there is time.
  [[nodiscard]] std::filesystem::path trash() const { return data_ / "trash"; }

 private:
  std::filesystem::path data_;
};

// A regular file open for reading.
struct OpenFile {
  runtime::Fd fd;
  std::uint64_t size = 0;
  std::int64_t modified_ns = 0;  // unix nanoseconds: with the size, a version of the content
};

// The folder that holds `path` below `root`, opened, and the path's last segment. No symbolic link on the way
// is followed. `path` is safe (payloads::is_safe_path); a missing folder is made if `make` says so.
// Errors: invalid (an unsafe path, or a name that the file system does not take), not_found, full, io.
struct Place {
  runtime::Fd folder;
  std::string name;
};
Result<Place> find_place(const std::filesystem::path& root, std::string_view path, bool make);

// Opens the regular file at that path below root. Errors: as find_place; not_found for what is no regular
// file.
Result<OpenFile> open_below(const std::filesystem::path& root, std::string_view path);
// Errors: not_found, io.
Result<OpenFile> open_regular(int folder, const std::string& name);

// "sha256:<hex>" of an open file, from its start.
Result<std::string> digest_of_open(int fd);

// Moves a folder or file into the trash: at once, whatever its size. What is not there is fine.
Status discard(const Layout& layout, const std::filesystem::path& path);
// Removes what lies in the trash; takes as long as it takes.
Status empty_trash(const Layout& layout);

}  // namespace kiln::files
