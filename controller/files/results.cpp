#include "files/results.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <iterator>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "files/verified_file.h"
#include "runtime/sha256.h"

namespace kiln::files {
namespace fs = std::filesystem;
namespace {

// In incoming a file is named by its content and the path that it is for: no folders, no names from outside,
// and what has this name was verified.
std::string incoming_name(std::string_view path, std::string_view digest) {
  constexpr std::size_t prefix = std::string_view("sha256:").size();
  constexpr std::size_t enough = 16;  // 64 bits among the files of one attempt
  return fmt::format("{}-{}", digest.substr(prefix), runtime::digest_of(path).substr(prefix, enough));
}

// shot/frame.png -> shot/frame~7-k3fqa-12-1.png
std::string suffixed(const std::string& name, const TaskId& task, std::uint32_t attempt) {
  const fs::path path(name);
  const auto suffix = fmt::format("~{}-{}{}", task.str(), attempt, path.extension().string());
  constexpr std::size_t max_name = 255;  // NAME_MAX
  return path.stem().string().substr(0, max_name - std::min(max_name, suffix.size())) + suffix;
}

// rename() that fails with EEXIST instead of replacing. errno says why it failed.
bool rename_to_free(int from, const std::string& name, int to, const std::string& new_name) {
  if (::renameat2(from, name.c_str(), to, new_name.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  // Some network file systems do not know the flag; a link never replaces either.
  return ::linkat(from, name.c_str(), to, new_name.c_str(), 0) == 0 && ::unlinkat(from, name.c_str(), 0) == 0;
}

bool holds(const Result<OpenFile>& open, const payloads::ResultFile& file) {
  if (!open || open->size != file.size) return false;
  const auto digest = digest_of_open(open->fd.get());
  return digest && *digest == file.digest;
}

}  // namespace

// ---- Delivery --------------------------------------------------------------------------------------------

struct Delivery::State {
  fs::path temporary;
  fs::path target;
  VerifiedFile file;
};

Delivery::Delivery(std::unique_ptr<State> state) : state_(std::move(state)) {}
Delivery::Delivery(Delivery&&) noexcept = default;
Delivery& Delivery::operator=(Delivery&&) noexcept = default;
Delivery::~Delivery() {
  if (state_ && !state_->temporary.empty()) ::unlink(state_->temporary.c_str());
}

Status Delivery::write(std::string_view bytes) {
  return state_->file.write(bytes);
}

Status Delivery::finish() {
  if (auto status = state_->file.verify(); !status) return status;
  if (std::rename(state_->temporary.c_str(), state_->target.c_str()) != 0) {
    if (errno == ENOENT) return fail(Code::conflict, "the attempt was dropped while its file arrived");
    return fail(
        runtime::os_error(errno, fmt::format("{}: cannot put the file in place", state_->target.string())));
  }
  state_->temporary.clear();
  return runtime::fsync_dir(state_->target.parent_path());
}

// ---- Results ---------------------------------------------------------------------------------------------

struct Results::State {
  explicit State(Layout where) : layout(std::move(where)) {}
  Layout layout;
  std::atomic<std::uint64_t> next_temporary = 0;

  // A settle() is seconds after the one before; the database has been told by the third.
  static constexpr int kept_settles = 3;
  struct Renamed {
    std::vector<Rename> renames;
    int settles = 0;  // since
  };

  std::mutex mutex;  // of those below
  std::vector<Accepted> unsettled;
  std::map<std::pair<TaskId, std::uint32_t>, Renamed> renamed;
  std::set<fs::path> unsynced;  // folders
  using IsAnothers = Results::IsAnothers;

  // Moves one file; what it is called at last, below the output folder.
  Result<std::string> place(int incoming, const TaskId& task, std::uint32_t attempt,
                            const payloads::ResultFile& file, const IsAnothers& is_anothers) const {
    const auto output = layout.output(task.job);
    const auto place = find_place(output, file.path, true);
    if (!place) return fail(place.error());
    const int folder = place->folder.get();
    const auto source = incoming_name(file.path, file.digest);
    const auto other_name = suffixed(place->name, task, attempt);
    const auto other_path = file.path.substr(0, file.path.size() - place->name.size()) + other_name;

    const bool is_here =
        incoming >= 0 && ::faccessat(incoming, source.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    if (!is_here) {  // moved by an earlier run, then
      if (holds(open_regular(folder, place->name), file)) return file.path;
      if (holds(open_regular(folder, other_name), file)) return other_path;
      return fail(Code::not_found, fmt::format("frame {} ({}) is neither in incoming nor in the output",
                                               file.frame, file.path));
    }
    if (rename_to_free(incoming, source, folder, place->name)) return file.path;
    if (errno != EEXIST) {
      return fail(runtime::os_error(
          errno, fmt::format("moving frame {} ({}) to {}", file.frame, file.path, output.string())));
    }
    if (holds(open_regular(folder, place->name), file)) {  // the same picture: one is enough
      ::unlinkat(incoming, source.c_str(), 0);
      return file.path;
    }
    if (is_anothers && !is_anothers(file.path)) {  // its own, of before
      if (::renameat(incoming, source.c_str(), folder, place->name.c_str()) == 0) return file.path;
      return fail(runtime::os_error(errno, fmt::format("replacing frame {} ({})", file.frame, file.path)));
    }
    constexpr std::uint32_t most_earlier = 16;  // after a restore attempts count from far above
    for (std::uint32_t earlier = attempt > most_earlier ? attempt - most_earlier : 1;
         is_anothers && earlier < attempt; ++earlier) {
      ::unlinkat(folder, suffixed(place->name, task, earlier).c_str(), 0);
    }
    // The other name is this attempt's own, so what has it is older than this.
    if (::renameat(incoming, source.c_str(), folder, other_name.c_str()) == 0) return other_path;
    return fail(runtime::os_error(errno, fmt::format("moving frame {} to {}", file.frame, other_path)));
  }
};

Results::Results(Layout layout) : state_(std::make_unique<State>(std::move(layout))) {}
Results::~Results() = default;
Results::Results(Results&&) noexcept = default;
Results& Results::operator=(Results&&) noexcept = default;

Result<Delivery> Results::begin(const TaskId& task, std::uint32_t attempt, std::string_view path,
                                std::string_view digest, std::uint64_t size) {
  if (!payloads::is_safe_path(path)) {
    return fail(Code::invalid, fmt::format("'{}' is no path inside a job's output", path.substr(0, 256)));
  }
  if (!is_digest(digest)) {
    return fail(Code::invalid,
                fmt::format("'{}' is no digest: sha256: and 64 hex digits", digest.substr(0, 128)));
  }
  const auto folder = state_->layout.incoming(task, attempt);
  if (::mkdir(folder.c_str(), 0755) == 0) {
    // Its entry lasts before a file in it is called durable.
    if (auto status = runtime::fsync_dir(state_->layout.incoming()); !status)
      return fail(std::move(status.error()));
  } else if (errno != EEXIST) {
    return fail(runtime::os_error(errno, fmt::format("{}: cannot make the folder", folder.string())));
  }
  auto delivery = std::make_unique<Delivery::State>();
  delivery->target = folder / incoming_name(path, digest);
  delivery->temporary = folder / fmt::format("part-{}-{}", ::getpid(), ++state_->next_temporary);
  auto file = VerifiedFile::open(delivery->temporary, std::string(digest), size);
  if (!file) {
    ::unlink(delivery->temporary.c_str());
    return fail(std::move(file.error()));
  }
  delivery->file = std::move(*file);
  return Delivery(std::move(delivery));
}

bool Results::has(const TaskId& task, std::uint32_t attempt, std::string_view path,
                  std::string_view digest) const {
  if (!payloads::is_safe_path(path) || !is_digest(digest)) return false;
  return ::access((state_->layout.incoming(task, attempt) / incoming_name(path, digest)).c_str(), F_OK) == 0;
}

Status Results::write_log(const TaskId& task, std::uint32_t attempt, std::string_view text) const {
  const auto path = state_->layout.log(task, attempt);
  if (auto status = runtime::make_folders(path.parent_path()); !status) return status;
  if (text.size() <= max_log_bytes) return runtime::write_file_atomically(path, text);
  constexpr std::size_t notice_bytes = 128;
  auto end = text.substr(text.size() - (max_log_bytes - notice_bytes));
  if (const auto line = end.find('\n'); line != std::string_view::npos) end.remove_prefix(line + 1);
  return runtime::write_file_atomically(
      path, fmt::format("[the first {} bytes of this log were left out]\n{}", text.size() - end.size(), end));
}

Result<OpenFile> Results::open_log(const TaskId& task, std::uint32_t attempt) const {
  auto log = open_regular(AT_FDCWD, state_->layout.log(task, attempt).string());
  if (log || log.error().code != Code::not_found) return log;
  return fail(Code::not_found, fmt::format("task {} has no log of attempt {} (yet)", task.str(), attempt));
}

Result<Accepted> Results::accept(const scheduler::AcceptFiles& accept, const IsAnothers& is_anothers) {
  const auto folder = state_->layout.incoming(accept.task, accept.attempt);
  const runtime::Fd incoming(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  Accepted accepted{accept.task, accept.attempt, {}};
  std::set<fs::path> changed;
  const auto output = state_->layout.output(accept.task.job);
  Status status;
  for (const auto& file : accept.files) {
    const auto placed = state_->place(incoming.get(), accept.task, accept.attempt, file,
                                      accept.replaces ? is_anothers : IsAnothers());
    if (!placed) {
      if (status) status = fail(Error(placed.error()).with(fmt::format("task {}", accept.task.str())));
      continue;
    }
    if (*placed != file.path) accepted.renames.push_back({file.path, *placed});
    // The folder and those above it: one of them may be new.
    for (auto one = (output / *placed).parent_path(); one != state_->layout.jobs(); one = one.parent_path()) {
      if (!changed.insert(one).second) break;
    }
  }
  {
    const std::lock_guard lock(state_->mutex);
    if (!accept.files.empty()) changed.insert(state_->layout.jobs());
    state_->unsynced.merge(changed);
    if (status) state_->unsettled.push_back(accepted);
    if (!accepted.renames.empty()) state_->renamed[{accept.task, accept.attempt}] = {accepted.renames, 0};
  }
  if (!status) return fail(std::move(status.error()));
  // What else lies there was sent twice, or never named in the report.
  if (::rmdir(folder.c_str()) != 0 && errno != ENOENT) static_cast<void>(drop(accept.task, accept.attempt));
  return accepted;
}

std::string Results::placed(const TaskId& task, std::uint32_t attempt, const std::string& path) const {
  const std::lock_guard lock(state_->mutex);
  const auto found = state_->renamed.find({task, attempt});
  if (found == state_->renamed.end()) return path;
  const auto& renames = found->second.renames;
  const auto rename =
      std::find_if(renames.begin(), renames.end(), [&](const Rename& one) { return one.path == path; });
  return rename == renames.end() ? path : rename->placed;
}

Result<std::vector<Accepted>> Results::settle() {
  std::vector<Accepted> accepted;
  std::set<fs::path> folders;
  {
    const std::lock_guard lock(state_->mutex);
    accepted.swap(state_->unsettled);
    folders.swap(state_->unsynced);
    for (auto one = state_->renamed.begin(); one != state_->renamed.end();)
      one = ++one->second.settles > State::kept_settles ? state_->renamed.erase(one) : std::next(one);
  }
  Status status;
  for (const auto& folder : folders) {
    const auto synced = runtime::fsync_dir(folder);
    // A folder that is gone was deleted with its job.
    if (!synced && synced.error().code != Code::not_found) status = synced;
  }
  if (status) return accepted;
  const std::lock_guard lock(state_->mutex);  // again next time
  state_->unsettled.insert(state_->unsettled.end(), accepted.begin(), accepted.end());
  state_->unsynced.merge(folders);
  return fail(std::move(status.error()));
}

Status Results::drop(const TaskId& task, std::uint32_t attempt) const {
  return discard(state_->layout, state_->layout.incoming(task, attempt));
}

Result<OpenFile> Results::open(const JobId& job, std::string_view path) const {
  return open_below(state_->layout.output(job), path);
}

Result<std::vector<OutputFile>> Results::list(const JobId& job) const {
  const auto root = state_->layout.output(job);
  std::vector<OutputFile> files;
  std::error_code error;
  fs::recursive_directory_iterator entry(root, error);
  if (error == std::errc::no_such_file_or_directory) return files;
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    struct stat facts = {};
    if (::lstat(entry->path().c_str(), &facts) != 0 || !S_ISREG(facts.st_mode)) continue;
    files.push_back({entry->path().lexically_relative(root).string(),
                     static_cast<std::uint64_t>(facts.st_size), facts.st_mtim.tv_sec});
  }
  if (error) return fail(runtime::os_error(error.value(), fmt::format("{}: cannot list", root.string())));
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

Result<std::vector<IncomingAttempt>> Results::incoming() const {
  std::vector<IncomingAttempt> attempts;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(state_->layout.incoming(), error)) {
    // <task>-<attempt>
    const auto name = entry.path().filename().string();
    const auto dash = name.rfind('-');
    if (dash == std::string::npos) continue;
    const auto task = TaskId::parse(std::string_view(name).substr(0, dash));
    std::uint32_t attempt = 0;
    const auto* end = name.data() + name.size();
    const auto [stop, failure] = std::from_chars(name.data() + dash + 1, end, attempt);
    struct stat facts = {};
    if (!task || failure != std::errc{} || stop != end || ::lstat(entry.path().c_str(), &facts) != 0)
      continue;
    attempts.push_back({*task, attempt, facts.st_mtim.tv_sec});
  }
  if (error) return fail(runtime::os_error(error.value(), "cannot list incoming"));
  return attempts;
}

Status Results::remove_job(const JobId& job) const {
  if (auto status = discard(state_->layout, state_->layout.job(job)); !status) return status;
  return discard(state_->layout, state_->layout.thumbnails(job));
}

}  // namespace kiln::files
