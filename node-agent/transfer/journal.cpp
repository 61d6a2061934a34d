#include "transfer/journal.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "base/json.h"
#include "runtime/files.h"
#include "runtime/log.h"

namespace kiln::transfer {

namespace fs = std::filesystem;
using runtime::os_error;

namespace {

constexpr std::size_t max_refused = 20;  // enough to see what is wrong, too few to fill a disk
constexpr auto refused = "refused";

std::optional<Entry> parse_name(const std::string& name) {
  const auto dash = name.rfind('-');
  if (dash == std::string::npos) return std::nullopt;
  auto task = TaskId::parse(std::string_view(name).substr(0, dash));
  Entry entry;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + dash + 1, end, entry.attempt);
  if (!task || error != std::errc{} || stop != end) return std::nullopt;
  entry.task = std::move(*task);
  if (entry.name() != name) return std::nullopt;
  return entry;
}

void discard(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
}

std::int64_t modified_ns(const fs::path& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return 0;
  return info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec;
}

// The folders of an entry oldest first.
std::vector<fs::path> by_age(const fs::path& folder) {
  std::multimap<std::int64_t, fs::path> found;
  std::error_code error;
  for (auto it = fs::directory_iterator(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    if (parse_name(it->path().filename().string()))
      found.emplace(modified_ns(it->path() / "report.json"), it->path());
  }
  std::vector<fs::path> out;
  for (auto& [age, path] : found) out.push_back(std::move(path));
  return out;
}

std::string name_beside(std::string_view kind, const Entry& entry) {
  static std::atomic<std::uint64_t> counter = 0;
  return fmt::format(".{}-{}-{}", kind, entry.name(), ++counter);
}

Status move_to(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return fail(os_error(errno, fmt::format("while renaming {} to {}", from.string(), to.string())));
}

// Into a folder that nobody looks at yet: no need for a detour.
Status write_synced(const fs::path& path, std::string_view bytes) {
  const auto doing = fmt::format("while writing {}", path.string());
  const runtime::Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!fd) return fail(os_error(errno, doing));
  if (auto written = runtime::write_all(fd.get(), bytes, doing); !written) return written;
  if (::fsync(fd.get()) != 0) return fail(os_error(errno, doing));
  return {};
}

Status copy_durably(const fs::path& from, const fs::path& to) {
  const auto doing = fmt::format("while copying {} to {}", from.string(), to.string());
  if (auto made = runtime::make_folders(to.parent_path()); !made) return made;
  const runtime::Fd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  const runtime::Fd out(in ? ::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644) : -1);
  if (!out) return fail(os_error(errno, doing));
  std::array<char, 64UL * 1024> buffer{};
  for (;;) {
    const auto got = ::read(in.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(os_error(errno, doing));
    if (got == 0) return {};
    auto written = runtime::write_all(out.get(), {buffer.data(), static_cast<std::size_t>(got)}, doing);
    if (!written) return written;
  }
}

Status check_files(const payloads::ResultReport& report, const fs::path& folder) {
  for (const auto& file : report.files) {
    struct stat info {};
    const bool is_there = payloads::is_safe_path(file.path) &&
                          ::lstat((folder / file.path).c_str(), &info) == 0 && S_ISREG(info.st_mode);
    if (!is_there || static_cast<std::uint64_t>(info.st_size) != file.size) {
      return fail(Code::invalid, fmt::format("the result names '{}' with {} bytes, and {} has no such file",
                                             file.path, file.size, folder.string()));
    }
  }
  return {};
}

// The report and, beside its own fields, the farm: a file of its own would cost another sync.
std::string with_farm(std::string report, const Entry& entry) {
  KILN_ASSERT(report.ends_with('}') && report.size() > 2);
  const bool fits = report.size() + 64 <= payloads::max_result_bytes;  // or it could not be read again
  if (fits && is_id(entry.farm)) report.insert(report.size() - 1, fmt::format(R"(,"farm":"{}")", entry.farm));
  return report;
}
std::string farm_in(const fs::path& file) {
  const auto text = runtime::read_file(file, payloads::max_result_bytes);
  const auto json =
      text ? Json::parse(*text, {payloads::max_result_bytes, 8, 100'000}) : Result<Json>(fail(text.error()));
  const auto* farm = json ? json->find("farm") : nullptr;
  const auto* id = farm == nullptr ? nullptr : farm->as_string();
  return id != nullptr && is_id(*id) ? *id : std::string();
}

// Everything of the report below `root`, and the folders that lead there.
Status sync_files(const payloads::ResultReport& report, const fs::path& root) {
  std::set<fs::path> folders{root};
  for (const auto& file : report.files) {
    if (auto synced = runtime::fsync_file(root / file.path); !synced) return synced;
    for (auto parent = (root / file.path).parent_path(); parent != root; parent = parent.parent_path()) {
      if (!folders.insert(parent).second) break;
    }
  }
  for (const auto& folder : folders) {
    if (auto synced = runtime::fsync_dir(folder); !synced) return synced;
  }
  return {};
}

}  // namespace

std::string Entry::name() const {
  return fmt::format("{}-{}", task.str(), attempt);
}

Journal::Journal(fs::path folder) : folder_(std::move(folder)) {}

fs::path Journal::file(const Entry& entry, const std::string& name) const {
  return path(entry) / "files" / name;
}
fs::path Journal::log(const Entry& entry) const {
  return path(entry) / "log";
}

Result<std::vector<Entry>> Journal::recover() {
  if (auto made = runtime::make_folders(folder_ / refused); !made) return fail(made.error());
  std::error_code error;
  std::vector<fs::path> half_done;
  for (auto it = fs::directory_iterator(folder_, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const auto name = it->path().filename().string();
    if (name.starts_with(".new-") || name.starts_with(".old-")) half_done.push_back(it->path());
  }
  if (error) return fail(os_error(error.value(), fmt::format("while reading {}", folder_.string())));
  for (const auto& path : half_done) discard(path);
  std::vector<Entry> out;
  for (const auto& path : by_age(folder_)) {
    auto entry = *parse_name(path.filename().string());
    entry.farm = farm_in(path / "report.json");
    out.push_back(std::move(entry));
  }
  return out;
}

Status Journal::put(const Entry& entry, const payloads::ResultReport& report, const fs::path& folder,
                    const std::string& log) {
  const auto doing = [&](Error error) {
    return fail(std::move(error).with(
        fmt::format("while journalling task {} attempt {}", entry.task.str(), entry.attempt)));
  };
  std::error_code error;
  if (fs::exists(path(entry), error)) {
    if (!folder.empty()) discard(folder);
    return {};
  }
  if (report.ok) {
    if (auto checked = check_files(report, folder); !checked) return doing(checked.error());
  }
  const auto building = folder_ / name_beside("new", entry);
  const auto files = building / "files";
  bool was_moved = false;
  const auto write = [&]() -> Status {
    if (auto made = runtime::make_folders(building); !made) return made;
    if (!log.empty()) {
      if (auto put = write_synced(building / "log", log); !put) return put;
    }
    if (auto put = write_synced(building / "report.json", with_farm(payloads::encode(report), entry)); !put)
      return put;
    if (report.ok && !report.files.empty()) {
      was_moved = ::rename(folder.c_str(), files.c_str()) == 0;
      if (!was_moved && errno != EXDEV)
        return fail(os_error(errno, fmt::format("moving {}", folder.string())));
      for (const auto& one : report.files) {
        if (was_moved) break;
        if (auto copied = copy_durably(folder / one.path, files / one.path); !copied) return copied;
      }
      if (auto synced = sync_files(report, files); !synced) return synced;
    }
    if (auto synced = runtime::fsync_dir(building); !synced) return synced;
    return move_to(building, path(entry));
  };
  if (auto written = write(); !written) {
    if (was_moved) ::rename(files.c_str(), folder.c_str());
    discard(building);
    return doing(written.error());
  }
  if (!was_moved && !folder.empty()) discard(folder);
  // The entry is complete from here on; an error says only that a power cut might still undo it.
  if (auto synced = runtime::fsync_dir(folder_); !synced)
    kiln::log::warn("transfer", "{}", synced.error().message);
  return {};
}

Result<payloads::ResultReport> Journal::report(const Entry& entry) const {
  const auto text = runtime::read_file(path(entry) / "report.json", payloads::max_result_bytes);
  if (!text) return fail(text.error());
  return payloads::decode_result_report(*text);
}

void Journal::erase(const Entry& entry) {
  // Renamed first, so that a crash half way leaves no entry without its files.
  const auto doomed = folder_ / name_beside("old", entry);
  const auto renamed = move_to(path(entry), doomed);
  if (!renamed) kiln::log::error("transfer", "{}", renamed.error().message);
  discard(doomed);
}

void Journal::refuse(const Entry& entry, const std::string& reason) {
  if (auto put = runtime::write_file_atomically(path(entry) / "reason", reason + "\n"); !put) {
    kiln::log::error("transfer", "{}", put.error().message);
  }
  const auto aside = folder_ / refused / entry.name();
  discard(aside);
  if (auto moved = move_to(path(entry), aside); !moved) {
    kiln::log::error("transfer", "{}", moved.error().message);
    return erase(entry);
  }
  auto kept = by_age(folder_ / refused);
  for (std::size_t i = 0; i + max_refused < kept.size(); ++i) discard(kept[i]);
}

}  // namespace kiln::transfer
