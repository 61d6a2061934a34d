#include "session/outputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "runtime/beneath.h"
#include "runtime/files.h"
#include "runtime/sha256.h"
#include "session/frame_check.h"

namespace kiln::session {

namespace fs = std::filesystem;
using payloads::FailureScope;
using payloads::ResultFile;

namespace {

// A task may leave folders that not even we may enter.
void open_folders(const fs::path& folder) {
  std::error_code error;
  fs::permissions(folder, fs::perms::owner_all, fs::perm_options::add, error);
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && !at->is_symlink(ignored)) open_folders(at->path());
  }
}

tl::unexpected<Stop> too_many(std::string message) {
  return tl::make_unexpected(Stop{false, {"too-many-files", std::move(message), FailureScope::job}});
}

// An empty file is no picture that lacks something, unless its name says that it is one.
bool is_plainly_empty(const std::string& path, const Stamp& stamp) {
  static constexpr std::array<std::string_view, 10> pictures = {".png",  ".jpg", ".jpeg", ".exr",  ".tif",
                                                                ".tiff", ".tga", ".bmp",  ".webp", ".hdr"};
  const auto extension = fs::path(path).extension().native();
  return stamp.size == 0 && std::find(pictures.begin(), pictures.end(), extension) == pictures.end();
}

// A file of its own that shares the other's blocks until one of them is written to: btrfs and XFS can.
bool clone(const fs::path& from, const fs::path& to) {
  const auto in = runtime::open_file(from, O_RDONLY);
  const auto out = runtime::open_file(to, O_WRONLY | O_CREAT | O_EXCL, 0444);
  if (in && out && ::ioctl(out->get(), FICLONE, in->get()) == 0) return true;
  if (out) ::unlink(to.c_str());
  return false;
}

bool duplicate(const fs::path& from, const fs::path& to) {
  std::error_code error;
  if (fs::copy_file(from, to, error) && !error) return true;
  fs::remove(to, error);
  return false;
}

// Path below the folder -> its stamp; what is no regular file is not listed.
Result<std::map<std::string, Stamp>> files_below(const fs::path& folder) {
  std::map<std::string, Stamp> found;
  std::error_code error;
  fs::recursive_directory_iterator at(folder, error);
  for (const fs::recursive_directory_iterator end; !error && at != end; at.increment(error)) {
    if (const auto stamp = stamp_of(at->path()))
      found.emplace(at->path().native().substr(folder.native().size() + 1), *stamp);
  }
  if (error) return fail(runtime::os_error(error.value(), "looking through " + folder.string()));
  return found;
}

Status sync_folders(const fs::path& folder, const std::vector<ResultFile>& files) {
  std::set<fs::path> folders{folder.parent_path(), folder};
  for (const auto& file : files) {
    for (auto path = (folder / file.path).parent_path(); folders.insert(path).second;)
      path = path.parent_path();
  }
  for (const auto& one : folders) {
    if (auto synced = runtime::fsync_dir(one); !synced) return synced;
  }
  return {};
}

}  // namespace

std::optional<Stamp> stamp_of(const fs::path& file) {
  struct stat info {};
  if (::lstat(file.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return std::nullopt;
  return Stamp{info.st_ino, static_cast<std::uint64_t>(info.st_size),
               info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec};
}

Status empty_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) {
    open_folders(folder);
    fs::remove_all(folder, error);
  }
  if (error) return fail(runtime::os_error(error.value(), "emptying " + folder.string()));
  return runtime::make_folders(folder);
}

Status take_outputs(const fs::path& folder, const fs::path& to) {
  auto from = runtime::Beneath::open(folder);
  if (!from) return fail(std::move(from.error()));
  auto files = from->files();
  if (!files) return fail(std::move(files.error()));
  if (auto emptied = empty_folder(to); !emptied) return emptied;
  auto ours = runtime::Beneath::open(to);
  if (!ours) return fail(std::move(ours.error()));
  for (const fs::path path : *files) {
    auto place = ours->make_folders(path.parent_path());
    if (!place) return fail(std::move(place.error()));
    const auto moved = from->move_file(path, *place, path.filename());
    // One that is no file, or not there any more, was changed by what is still running: it is not the task's
    // result.
    if (!moved && moved.error().code != Code::invalid && moved.error().code != Code::not_found) return moved;
  }
  return {};
}

Result<Laid> lay_inputs(const InputTree& inputs, const fs::path& folder, bool copies) {
  Laid laid;
  constexpr std::uint64_t cheap_bytes = 1024UL * 1024 * 1024;
  std::uint64_t total_bytes = 0;
  for (const auto& file : inputs.manifest.files) total_bytes += file.size;
  const bool may_copy = total_bytes <= cheap_bytes;
  for (const auto& file : inputs.manifest.files) {
    if (!payloads::is_safe_path(file.path))
      return fail(Code::invalid, fmt::format("'{}' is no path that an input can have", file.path));
    const auto from = inputs.tree.root / file.path;
    const auto to = folder / file.path;
    if (auto made = runtime::make_folders(to.parent_path()); !made) return fail(made.error());
    const bool is_laid = copies && (clone(from, to) || (may_copy && duplicate(from, to)));
    if (!is_laid && ::link(from.c_str(), to.c_str()) != 0) {
      const int why = errno;
      std::error_code error;
      const bool must_copy = why == EXDEV || why == EMLINK || why == EPERM;
      if (must_copy) fs::copy_file(from, to, error);
      if (!must_copy || error)
        return fail(runtime::os_error(must_copy ? error.value() : why, "laying out " + to.string()));
    }
    if (const auto stamp = stamp_of(to)) laid.emplace(file.path, *stamp);
  }
  return laid;
}

Step<Outputs> collect_outputs(const fs::path& folder, const Laid& laid,
                              const std::map<std::string, KnownFile>& known, std::int32_t frame,
                              const fs::path& scratch) {
  const auto stop = [&](const Error& error, const std::string& path) {
    return tl::make_unexpected(stopped_by(error, path, scratch));
  };
  open_folders(folder);
  const auto found = files_below(folder);
  if (!found) return stop(found.error(), "collecting what the task made");
  Outputs out;
  std::vector<std::pair<std::string, Stamp>> made;
  for (const auto& [path, stamp] : *found) {
    const auto file = folder / path;
    const auto input = laid.find(path);
    if (input != laid.end() && input->second == stamp) {
      std::error_code ignored;
      fs::remove(file, ignored);
      continue;
    }
    if (!payloads::is_safe_path(path)) {
      if (out.warnings.size() < payloads::max_warnings)
        out.warnings.push_back(
            fmt::format("'{}' is not delivered: no result may have that name", clip(to_utf8(path), 200)));
      std::error_code ignored;
      fs::remove(file, ignored);
      continue;
    }
    if (out.files.size() >= payloads::max_result_files) {
      return too_many(
          fmt::format("the task made more than {} files; pack them into fewer, or cut the step "
                      "into more tasks",
                      payloads::max_result_files));
    }
    const auto before = known.find(path);
    if (before != known.end() && before->second.stamp == stamp) {
      out.files.push_back(before->second.file);
      continue;
    }
    ResultFile result;
    result.frame = frame;
    result.path = path;
    result.size = stamp.size;
    std::error_code ignored;
    fs::permissions(file, fs::perms::owner_read, fs::perm_options::add, ignored);
    if (!is_plainly_empty(path, stamp)) {
      const auto picture = check_picture_file(file);
      if (!picture) return stop(picture.error(), path);
      result.width = picture->width;
      result.height = picture->height;
    }
    if (auto synced = runtime::fsync_file(file); !synced) return stop(synced.error(), path);
    auto digest = runtime::digest_of_file(file);
    if (!digest) return stop(digest.error(), path);
    result.digest = std::move(*digest);
    out.files.push_back(std::move(result));
  }
  if (auto synced = sync_folders(folder, out.files); !synced) return stop(synced.error(), "syncing");
  payloads::ResultReport report;
  report.files = out.files;
  constexpr std::size_t room_for_the_rest = 64UL * 1024;  // warnings and their like
  if (payloads::encode(report).size() + room_for_the_rest > payloads::max_result_bytes) {
    return too_many(
        fmt::format("the names of the task's {} files are too long for one report; pack them into "
                    "fewer, or cut the step into more tasks",
                    out.files.size()));
  }
  return out;
}

}  // namespace kiln::session
