#include "bundles/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <system_error>

#include "base/text.h"
#include "runtime/fd.h"
#include "runtime/files.h"

namespace kiln::bundles {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t piece_bytes = 64UL * 1024;
constexpr mode_t file_mode = 0444;
constexpr mode_t executable_mode = 0555;

struct Free {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using Reader = std::unique_ptr<archive, Free>;

Error trouble(archive* reader) {
  const char* text = ::archive_error_string(reader);
  const int number = ::archive_errno(reader);
  if (number == EIO || number == ENOMEM) return runtime::os_error(number, "reading the archive");
  return {
      Code::invalid,
      fmt::format("the archive cannot be read ({}): it is damaged, cut off or of another kind; tar (plain, "
                  "gzip, bzip2, xz, zstd) and zip are read",
                  text == nullptr ? "no reason given" : to_utf8(text))};
}

std::string text_of(const char* utf8, const char* plain) {
  return utf8 != nullptr ? utf8 : (plain != nullptr ? plain : "");
}

Entry entry_of(archive_entry* entry) {
  Entry out;
  out.path = text_of(::archive_entry_pathname_utf8(entry), ::archive_entry_pathname(entry));
  out.hard_link = text_of(::archive_entry_hardlink_utf8(entry), ::archive_entry_hardlink(entry));
  out.link = text_of(::archive_entry_symlink_utf8(entry), ::archive_entry_symlink(entry));
  const auto type = ::archive_entry_filetype(entry);
  if (type == AE_IFDIR) out.kind = Kind::folder;
  if (type == AE_IFREG || !out.hard_link.empty()) out.kind = Kind::file;
  if (type == AE_IFLNK) out.kind = Kind::link;
  out.is_executable = (::archive_entry_perm(entry) & 0111) != 0;
  return out;
}

// What becomes of the entries: nothing, or files.
class Target {
 public:
  virtual ~Target() = default;
  virtual Status begin(const std::string& path, const Entry& entry) = 0;
  virtual Status write(const void* bytes, std::size_t size, std::uint64_t offset) = 0;
  virtual Status end() = 0;
};

class Nowhere final : public Target {
 public:
  Status begin(const std::string&, const Entry&) override { return {}; }
  Status write(const void*, std::size_t, std::uint64_t) override { return {}; }
  Status end() override { return {}; }
};

// Below a folder that is nobody else's. No parent of a path is a link: Entries saw to that.
class Folder final : public Target {
 public:
  explicit Folder(fs::path root) : root_(std::move(root)) {}

  Status begin(const std::string& path, const Entry& entry) override {
    place_ = root_ / path;
    const auto folder = entry.kind == Kind::folder ? place_ : place_.parent_path();
    if (folder != made_) {
      if (auto made = runtime::make_folders(folder); !made) return made;
      made_ = folder;
      for (auto one = folder; one != root_; one = one.parent_path()) folders_.insert(one);
    }
    if (entry.kind == Kind::folder) return {};
    if (entry.kind == Kind::link) return check(::symlink(entry.link.c_str(), place_.c_str()));
    if (!entry.hard_link.empty())
      return check(::link((root_ / plain(entry.hard_link)).c_str(), place_.c_str()));
    auto file = runtime::open_file(place_, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
    if (!file) return fail(std::move(file.error()));
    file_ = std::move(*file);
    size_ = 0;
    mode_ = entry.is_executable ? executable_mode : file_mode;
    return {};
  }

  Status write(const void* bytes, std::size_t size, std::uint64_t offset) override {
    const auto* from = static_cast<const char*>(bytes);
    while (size > 0) {
      const auto count = ::pwrite(file_.get(), from, size, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return check(-1);
      from += count;
      size -= static_cast<std::size_t>(count);
      offset += static_cast<std::uint64_t>(count);
    }
    size_ = std::max(size_, offset);
    return {};
  }

  Status end() override {
    if (!file_) return {};
    if (auto cut = check(::ftruncate(file_.get(), static_cast<off_t>(size_))); !cut) return cut;
    auto closed = check(::fchmod(file_.get(), mode_));
    file_.reset();
    return closed;
  }

  Status close_folders() {
    for (const auto& one : folders_) {
      if (::chmod(one.c_str(), executable_mode) != 0) return fail(runtime::os_error(errno, one.string()));
    }
    return {};
  }

 private:
  static std::string plain(const std::string& path) { return fs::path(path).lexically_normal().string(); }
  Status check(int result) const {
    if (result == 0) return {};
    return fail(runtime::os_error(errno, "writing " + place_.string()));
  }

  const fs::path root_;
  fs::path place_;
  fs::path made_;
  std::set<fs::path> folders_;
  runtime::Fd file_;
  std::uint64_t size_ = 0;
  mode_t mode_ = file_mode;
};

Result<Contents> read_all(int fd, std::string_view program, const Bounds& bounds, const Cancelled& cancelled,
                          Target& target) {
  const Reader reader(::archive_read_new());
  KILN_ASSERT(reader != nullptr);
  auto* const in = reader.get();
  // No other formats: each is code that strangers' bytes run through.
  ::archive_read_support_format_tar(in);
  ::archive_read_support_format_zip_seekable(in);
  ::archive_read_support_filter_gzip(in);
  ::archive_read_support_filter_bzip2(in);
  ::archive_read_support_filter_xz(in);
  ::archive_read_support_filter_zstd(in);
  if (::lseek(fd, 0, SEEK_SET) != 0) return fail(runtime::os_error(errno, "reading the archive"));
  if (::archive_read_open_fd(in, fd, piece_bytes) != ARCHIVE_OK) return fail(trouble(in));
  const auto is_over = [&] { return cancelled && cancelled(); };
  Entries entries(bounds);
  for (;;) {
    if (is_over()) return fail(Code::timeout, "cancelled");
    archive_entry* at = nullptr;
    const int next = ::archive_read_next_header(in, &at);
    if (next == ARCHIVE_EOF) break;
    if (next < ARCHIVE_WARN) return fail(trouble(in));
    if (::archive_entry_is_encrypted(at) != 0)
      return fail(Code::invalid, "the archive is encrypted: pack it without a password");
    const auto entry = entry_of(at);
    const auto path = entries.take(entry);
    if (!path) return fail(path.error());
    if (path->empty()) continue;
    if (auto begun = target.begin(*path, entry); !begun) return fail(std::move(begun.error()));
    if (entry.kind != Kind::file || !entry.hard_link.empty()) continue;
    for (;;) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t offset = 0;
      const int got = ::archive_read_data_block(in, &bytes, &size, &offset);
      if (got == ARCHIVE_EOF) break;
      if (got < ARCHIVE_OK) return fail(trouble(in));
      if (is_over()) return fail(Code::timeout, "cancelled");
      if (auto counted = entries.add_bytes(size); !counted) return fail(std::move(counted.error()));
      if (offset < 0 || static_cast<std::uint64_t>(offset) > bounds.max_bytes)
        return fail(Code::invalid, fmt::format("'{}' in the archive has holes without end", *path));
      if (auto written = target.write(bytes, size, static_cast<std::uint64_t>(offset)); !written)
        return fail(std::move(written.error()));
    }
    if (auto ended = target.end(); !ended) return fail(std::move(ended.error()));
  }
  auto found = entries.program(program);
  if (!found) return fail(std::move(found.error()));
  return Contents{std::move(*found), entries.bytes()};
}

}  // namespace

Result<Contents> examine(int fd, std::string_view program, const Bounds& bounds, const Cancelled& cancelled) {
  Nowhere nowhere;
  return read_all(fd, program, bounds, cancelled, nowhere);
}

Result<Contents> unpack(const fs::path& archive, const fs::path& folder, std::string_view program,
                        const Bounds& bounds, const Cancelled& cancelled) {
  const auto file = runtime::open_file(archive, O_RDONLY);
  if (!file) return fail(file.error());
  Folder target(folder);
  auto contents = read_all(file->get(), program, bounds, cancelled, target);
  if (!contents) return contents;
  if (auto closed = target.close_folders(); !closed) return fail(std::move(closed.error()));
  return contents;
}

Status remove_tree(const fs::path& folder) {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(folder, error))) return {};
  ::chmod(folder.c_str(), 0700);
  // A folder must be open before it is entered and emptied.
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) ::chmod(at->path().c_str(), 0700);
  }
  fs::remove_all(folder, error);
  if (error) return fail(runtime::os_error(error.value(), "removing " + folder.string()));
  return {};
}

}  // namespace kiln::bundles
