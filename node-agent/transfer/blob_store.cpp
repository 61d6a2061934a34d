#include "transfer/blob_store.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <system_error>

#include "runtime/files.h"

namespace kiln::transfer {

namespace fs = std::filesystem;
using runtime::os_error;

namespace {

// The time of writing that every blob carries: one that was written to since has another. It also makes the
// files of a job equal on every box.
constexpr timespec untouched{1'000'000'000, 0};  // 2001-09-09 01:46:40 UTC
constexpr mode_t read_only = 0444;
constexpr std::size_t hex_digits = 64;

bool is_hex(std::string_view name) {
  return name.size() == hex_digits && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::optional<struct stat> stat_of(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return std::nullopt;
  return info;
}

std::uint64_t size_of(const struct stat& info) {
  return static_cast<std::uint64_t>(info.st_size);
}

bool is_as_stored(const struct stat& info, std::optional<std::uint64_t> size) {
  return S_ISREG(info.st_mode) && (!size || size_of(info) == *size) &&
         info.st_mtim.tv_sec == untouched.tv_sec && info.st_mtim.tv_nsec == untouched.tv_nsec;
}

std::int64_t nanoseconds(const timespec& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    out.push_back(it->path().filename().string());
  }
  return out;
}

void discard(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
}

// Marks the time of last use, which eviction goes by.
void touch(const fs::path& path) {
  ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
}

Status seal(int fd, const std::string& doing) {
  const std::array<timespec, 2> times{untouched, untouched};
  if (::fchmod(fd, read_only) != 0 || ::futimens(fd, times.data()) != 0 || ::fsync(fd) != 0) {
    return fail(os_error(errno, doing));
  }
  return {};
}

// The same content once more, for the 65,001st name that a file system does not let a file have.
Status copy_blob(const fs::path& from, const fs::path& to) {
  const auto doing = fmt::format("while copying {} to {}", from.string(), to.string());
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) return fail(os_error(error.value(), doing));
  const runtime::Fd fd(::open(to.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return fail(os_error(errno, doing));
  return seal(fd.get(), doing);
}

struct Hold {
  explicit Hold(fs::path tree) : path(std::move(tree)) {}
  ~Hold() { touch(path); }
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
  const fs::path path;
};

}  // namespace

std::string hex_of(std::string_view digest) {
  return std::string(digest.substr(digest.find(':') + 1));
}

std::string human_bytes(std::uint64_t bytes) {
  static constexpr std::array<const char*, 5> units = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

// What eviction may remove, and when it was last of use.
struct BlobStore::Candidate {
  std::int64_t used_ns = 0;
  enum class Kind { tree, blob, partial } kind = Kind::blob;
  std::string hex;
};

BlobStore::BlobStore(fs::path folder, std::uint64_t max_bytes)
    : folder_(std::move(folder)), max_bytes_(max_bytes) {
  ready_ = recover();
}

Status BlobStore::recover() {
  for (const auto* name : {"blobs", "partial", "trees"}) {
    if (auto made = runtime::make_folders(folder_ / name); !made) return made;
  }
  for (const auto& name : names_in(folder_ / "trees")) {
    if (!is_hex(name)) discard(tree(name));  // was being built, or removed
  }
  for (const auto* kind : {"blobs", "partial"}) {
    for (const auto& name : names_in(folder_ / kind)) {
      if (const auto info = stat_of(folder_ / kind / name)) used_ += size_of(*info);
    }
  }
  if (used_ > max_bytes_) evict_locked(used_ - max_bytes_);  // the bound was lowered
  return {};
}

std::uint64_t BlobStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

bool BlobStore::has(const std::string& hex, std::optional<std::uint64_t> size) {
  const std::lock_guard lock(mutex_);
  const auto info = stat_of(blob(hex));
  if (!info) return false;
  if (is_as_stored(*info, size)) return true;
  remove_file(blob(hex));
  return false;
}

BlobStore::Pins::Pins(BlobStore& store, std::set<std::string> blobs)
    : store_(store), blobs_(std::move(blobs)) {
  const std::lock_guard lock(store_.mutex_);
  for (const auto& hex : blobs_) ++store_.pins_[hex];
}

BlobStore::Pins::~Pins() {
  const std::lock_guard lock(store_.mutex_);
  for (const auto& hex : blobs_) {
    const auto pin = store_.pins_.find(hex);
    if (--pin->second == 0) store_.pins_.erase(pin);
  }
}

Status BlobStore::reserve(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (used_ + bytes > max_bytes_) evict_locked(used_ + bytes - max_bytes_);
  if (used_ + bytes > max_bytes_) {
    return fail(
        Code::full,
        fmt::format("{} more are needed, and running jobs hold {} of the {} that the cache may take: wait "
                    "for them, or raise --cache-size",
                    human_bytes(bytes), human_bytes(used_), human_bytes(max_bytes_)));
  }
  used_ += bytes;
  return {};
}

void BlobStore::settle(std::uint64_t counted, std::uint64_t actual) {
  const std::lock_guard lock(mutex_);
  used_ -= std::min(counted, used_);
  used_ += actual;
}

std::uint64_t BlobStore::evict(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  return evict_locked(bytes);
}

std::vector<BlobStore::Candidate> BlobStore::candidates() const {
  std::vector<Candidate> out;
  const auto is_pinned = [&](const std::string& hex) { return pins_.contains(hex); };
  for (const auto& hex : names_in(folder_ / "trees")) {
    const auto holder = held_.find(hex);
    const bool is_held = holder != held_.end() && !holder->second.hold.expired();
    const auto info = stat_of(tree(hex));
    if (is_hex(hex) && info && !is_held && !is_pinned(hex)) {
      out.push_back({nanoseconds(info->st_mtim), Candidate::Kind::tree, hex});
    }
  }
  for (const auto& hex : names_in(folder_ / "blobs")) {
    const auto info = stat_of(blob(hex));
    // In no tree, and no tree's manifest: left over from a fetch that did not end. Its last change of status
    // is when it lost its last link.
    if (info && info->st_nlink == 1 && !is_pinned(hex) && !stat_of(tree(hex))) {
      out.push_back({nanoseconds(info->st_ctim), Candidate::Kind::blob, hex});
    }
  }
  for (const auto& hex : names_in(folder_ / "partial")) {
    const auto info = stat_of(partial(hex));
    if (info && !is_pinned(hex)) out.push_back({nanoseconds(info->st_mtim), Candidate::Kind::partial, hex});
  }
  std::sort(out.begin(), out.end(),
            [](const Candidate& a, const Candidate& b) { return a.used_ns < b.used_ns; });
  return out;
}

std::uint64_t BlobStore::evict_locked(std::uint64_t bytes) {
  std::uint64_t freed = 0;
  for (const auto& candidate : candidates()) {
    if (freed >= bytes) break;
    switch (candidate.kind) {
      case Candidate::Kind::tree:
        freed += remove_tree(candidate.hex);
        break;
      case Candidate::Kind::blob:
        freed += remove_if_unused(candidate.hex);
        break;
      case Candidate::Kind::partial:
        freed += remove_file(partial(candidate.hex));
        break;
    }
  }
  return freed;
}

std::uint64_t BlobStore::remove_file(const fs::path& path) {
  const auto info = stat_of(path);
  if (!info || ::unlink(path.c_str()) != 0) return 0;
  const auto freed = std::min(size_of(*info), used_);
  used_ -= freed;
  return freed;
}

std::uint64_t BlobStore::remove_if_unused(const std::string& hex) {
  const auto info = stat_of(blob(hex));
  if (!info || info->st_nlink != 1 || pins_.contains(hex) || stat_of(tree(hex))) return 0;
  return remove_file(blob(hex));
}

// Removes the tree and the blobs that only it had.
std::uint64_t BlobStore::remove_tree(const std::string& hex) {
  // Renamed first, so that a crash half way leaves no tree that looks complete.
  const auto doomed = folder_ / "trees" / (".old-" + hex);
  discard(doomed);
  if (::rename(tree(hex).c_str(), doomed.c_str()) != 0) return 0;
  discard(doomed);
  held_.erase(hex);
  std::uint64_t freed = 0;
  const auto text = runtime::read_file(blob(hex), payloads::max_manifest_bytes);
  const auto manifest = text ? payloads::decode_manifest(*text) : Result<payloads::Manifest>();
  if (text && manifest) {
    for (const auto& file : manifest->files) freed += remove_if_unused(hex_of(file.digest));
  }
  return freed + remove_if_unused(hex);
}

Status BlobStore::adopt(const std::string& hex) {
  const auto doing = fmt::format("while storing {}", blob(hex).string());
  {
    const runtime::Fd fd(::open(partial(hex).c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return fail(os_error(errno, doing));
    if (auto sealed = seal(fd.get(), doing); !sealed) return sealed;
  }
  if (::rename(partial(hex).c_str(), blob(hex).c_str()) != 0) return fail(os_error(errno, doing));
  return {};
}

// mutex_ is held.
Tree BlobStore::hold(const std::string& manifest_hex, const std::vector<payloads::PathMapping>& mappings) {
  auto& entry = held_[manifest_hex];
  std::shared_ptr<const void> holder = entry.hold.lock();
  if (!holder) holder = std::make_shared<const Hold>(tree(manifest_hex));
  entry = {holder, mappings};
  return {tree(manifest_hex), mappings, std::move(holder)};
}

std::optional<Tree> BlobStore::held(const std::string& manifest_hex) {
  const std::lock_guard lock(mutex_);
  const auto found = held_.find(manifest_hex);
  if (found == held_.end()) return std::nullopt;
  auto holder = found->second.hold.lock();
  if (!holder) {
    held_.erase(found);
    return std::nullopt;
  }
  return Tree{tree(manifest_hex), found->second.mappings, std::move(holder)};
}

std::optional<Tree> BlobStore::find_tree(const std::string& manifest_hex,
                                         const payloads::Manifest& manifest) {
  if (!stat_of(tree(manifest_hex))) return std::nullopt;
  const bool is_whole = std::all_of(manifest.files.begin(), manifest.files.end(), [&](const auto& file) {
    const auto info = stat_of(tree(manifest_hex) / file.path);
    return info && is_as_stored(*info, file.size);
  });
  const std::lock_guard lock(mutex_);
  if (!is_whole) {
    remove_tree(manifest_hex);
    return std::nullopt;
  }
  touch(tree(manifest_hex));
  return hold(manifest_hex, manifest.mappings);
}

Result<Tree> BlobStore::build_tree(const std::string& manifest_hex, const payloads::Manifest& manifest) {
  static std::atomic<std::uint64_t> counter = 0;
  const auto building = folder_ / "trees" / fmt::format(".new-{}-{}", manifest_hex, ++counter);
  const auto give_up = [&](Error error) {
    discard(building);
    return fail(std::move(error).with("while laying out the job's files"));
  };
  if (auto made = runtime::make_folders(building); !made) return give_up(made.error());
  fs::path last_parent = building;  // files come sorted: most share their folder with the one before
  for (const auto& file : manifest.files) {
    const auto to = building / file.path;
    if (to.parent_path() != last_parent) {
      last_parent = to.parent_path();
      if (auto made = runtime::make_folders(last_parent); !made) return give_up(made.error());
    }
    const auto from = blob(hex_of(file.digest));
    if (::link(from.c_str(), to.c_str()) == 0) continue;
    const int error = errno;
    if (error == EMLINK) {
      if (auto copied = copy_blob(from, to); !copied) return give_up(copied.error());
    } else if (error == EEXIST) {
      return give_up({Code::invalid, fmt::format("the manifest lists '{}' twice", file.path)});
    } else if (error == EPERM || error == EOPNOTSUPP || error == ENOSYS) {
      return give_up(
          {Code::unsupported, fmt::format("the file system of {} has no hard links: choose another "
                                          "folder for the agent's data",
                                          folder_.string())});
    } else {
      return give_up(os_error(error, file.path));
    }
  }
  const std::lock_guard lock(mutex_);
  if (::rename(building.c_str(), tree(manifest_hex).c_str()) != 0) {
    return give_up(os_error(errno, tree(manifest_hex).string()));
  }
  touch(tree(manifest_hex));
  return hold(manifest_hex, manifest.mappings);
}

}  // namespace kiln::transfer
