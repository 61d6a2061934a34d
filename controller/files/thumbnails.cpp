#include "files/thumbnails.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "base/text.h"
#include "files/picture.h"
#include "runtime/process.h"

namespace kiln::files {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t max_failures = 4096;   // remembered; beyond, all are forgotten
constexpr std::size_t max_said_bytes = 300;  // of what the program said, in an error
constexpr int low_priority = 10;

// A folder for one picture, gone with it.
class Workshop {
 public:
  static Result<Workshop> open(const Layout& layout) {
    if (auto status = runtime::make_folders(layout.workshop()); !status)
      return fail(std::move(status.error()));
    std::string name = (layout.workshop() / "XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      return fail(
          runtime::os_error(errno, fmt::format("{}: cannot make a folder", layout.workshop().string())));
    }
    return Workshop(name);
  }
  explicit Workshop(fs::path folder) : folder_(std::move(folder)) {}
  ~Workshop() {
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }
  Workshop(Workshop&& other) noexcept : folder_(std::exchange(other.folder_, {})) {}
  Workshop& operator=(Workshop&&) = delete;
  [[nodiscard]] const fs::path& folder() const { return folder_; }

 private:
  fs::path folder_;
};

std::string package_of(std::string_view program) {
  return program == "ffmpeg" ? "ffmpeg" : "libvips-tools";
}

Result<std::string> read_head(int fd) {
  std::string head(picture_head_bytes, '\0');
  const auto got = ::pread(fd, head.data(), head.size(), 0);
  if (got < 0) return fail(runtime::os_error(errno, "cannot read the picture"));
  head.resize(static_cast<std::size_t>(got));
  return head;
}

}  // namespace

struct Thumbnails::State {
  Layout layout;
  Bounds bounds;

  std::mutex mutex;  // of what follows
  std::condition_variable changed;
  int making = 0;
  int waiting = 0;
  std::set<std::string> in_work;
  struct Failure {
    Error error;
    Clock::time_point until;
  };
  std::map<std::string, Failure> failures;

  State(Layout where, const Bounds& limits) : layout(std::move(where)), bounds(limits) {}

  static std::string cached_name(std::string_view path) { return std::string(path) + ".jpg"; }

  // The cached one, which carries its frame's time; not_found: none of this version of the frame.
  Result<OpenFile> cached(const JobId& job, const std::string& path, const OpenFile& frame) const {
    auto file = open_below(layout.thumbnails(job), cached_name(path));
    if (file && file->modified_ns != frame.modified_ns) return fail(Code::not_found, "of another frame");
    return file;
  }

  Status make(const JobId& job, const std::string& path, const OpenFile& frame) const {
    const auto head = read_head(frame.fd.get());
    if (!head) return fail(head.error());
    const auto picture = recognise(*head, path);
    if (!picture) return fail(picture.error());
    const auto workshop = Workshop::open(layout);
    if (!workshop) return fail(workshop.error());
    // A fixed name: libvips and ffmpeg take `[`, `%` and `:` in a name for options.
    const auto target = fs::absolute(layout.output(job)) / path;
    if (::symlink(target.c_str(), (workshop->folder() / "in").c_str()) != 0) {
      return fail(runtime::os_error(errno, "cannot make a thumbnail"));
    }
    if (auto status = run(*picture, path, workshop->folder()); !status) return status;
    const auto place = find_place(layout.thumbnails(job), cached_name(path), true);
    if (!place) return fail(place.error());
    const auto made = workshop->folder() / "out.jpg";
    constexpr std::int64_t second_ns = 1'000'000'000;
    const timespec time = {frame.modified_ns / second_ns, frame.modified_ns % second_ns};
    const timespec times[] = {time, time};
    if (::utimensat(AT_FDCWD, made.c_str(), times, 0) != 0) {
      return fail(runtime::os_error(errno, "cannot date a thumbnail"));
    }
    if (auto status = runtime::fsync_file(made); !status) return status;
    if (::renameat(AT_FDCWD, made.c_str(), place->folder.get(), place->name.c_str()) == 0) return {};
    return fail(runtime::os_error(errno, fmt::format("cannot keep the thumbnail of '{}'", path)));
  }

  Status run(const Picture& picture, const std::string& path, const fs::path& folder) const {
    const auto command = thumbnail_command(picture);
    runtime::CaptureOptions options;
    options.cwd = folder;
    options.timeout = bounds.timeout;
    options.niceness = low_priority;
    options.limits.memory_bytes = bounds.memory_bytes;
    options.limits.cpu_s = static_cast<std::uint64_t>(bounds.timeout.count() / 1000 + 1);
    options.environment = {{"VIPS_CONCURRENCY", "1"}, {"TMPDIR", folder.string()}, {"HOME", folder.string()}};
    // libvips counts its EXR loader among the untrusted. The file's signature was checked, so this one is
    // what runs.
    if (picture.kind == Picture::Kind::plain) options.environment.emplace_back("VIPS_BLOCK_UNTRUSTED", "1");
    const auto ran = runtime::run_capture(command, options);
    if (!ran && ran.error().code == Code::not_found) {
      return fail(Code::unsupported,
                  fmt::format("thumbnails of this kind need {}, which is not installed on the "
                              "controller: apt-get install {}",
                              command.front(), package_of(command.front())));
    }
    if (!ran) return fail(Error(ran.error()).with(fmt::format("making a thumbnail of '{}'", path)));
    std::error_code ignored;
    if (ran->status.ok() && fs::is_regular_file(folder / "out.jpg", ignored)) return {};
    auto said = std::string(clip(to_utf8(ran->output), max_said_bytes));
    for (auto& c : said) c = c == '\n' ? ' ' : c;
    return fail(Code::invalid, fmt::format("'{}' cannot be shown small: {} ended with {}: {}", path,
                                           command.front(), ran->status.str(), said));
  }
};

Thumbnails::Thumbnails(Layout layout) : Thumbnails(std::move(layout), Bounds()) {}
Thumbnails::Thumbnails(Layout layout, const Bounds& bounds)
    : state_(std::make_unique<State>(std::move(layout), bounds)) {
  // What a crash left half made.
  static_cast<void>(discard(state_->layout, state_->layout.workshop()));
}
Thumbnails::~Thumbnails() = default;
Thumbnails::Thumbnails(Thumbnails&&) noexcept = default;
Thumbnails& Thumbnails::operator=(Thumbnails&&) noexcept = default;

Result<OpenFile> Thumbnails::open(const JobId& job, const std::string& path) {
  auto& state = *state_;
  const auto frame = open_below(state.layout.output(job), path);
  if (!frame) return fail(frame.error());
  if (auto cached = state.cached(job, path, *frame)) return cached;

  // One version of one frame.
  const auto key = fmt::format("{}/{}@{}", job.str(), path, frame->modified_ns);
  {
    std::unique_lock lock(state.mutex);
    const auto failed_before = [&]() -> const Error* {
      const auto found = state.failures.find(key);
      return found != state.failures.end() && Clock::now() < found->second.until ? &found->second.error
                                                                                 : nullptr;
    };
    if (const auto* error = failed_before()) return fail(*error);
    const auto is_free = [&] { return state.making < state.bounds.at_once && !state.in_work.contains(key); };
    if (!is_free()) {
      if (state.waiting >= state.bounds.waiting) {
        return fail(Code::unavailable, "too many thumbnails are being made: ask again in a moment");
      }
      ++state.waiting;
      const bool got = state.changed.wait_for(lock, state.bounds.timeout, is_free);
      --state.waiting;
      if (const auto* error = failed_before()) return fail(*error);
      if (!got) return fail(Code::unavailable, "too many thumbnails are being made: ask again in a moment");
    }
    ++state.making;
    state.in_work.insert(key);
  }
  // Somebody else may have made it while this one waited.
  auto made = state.cached(job, path, *frame);
  if (!made) {
    if (auto status = state.make(job, path, *frame); status) {
      made = state.cached(job, path, *frame);
    } else {
      made = fail(std::move(status.error()));
    }
  }
  {
    const std::lock_guard lock(state.mutex);
    --state.making;
    state.in_work.erase(key);
    if (state.failures.size() >= max_failures) state.failures.clear();
    if (!made)
      state.failures.insert_or_assign(key, State::Failure{made.error(), Clock::now() + state.bounds.forget});
  }
  state.changed.notify_all();
  return made;
}

}  // namespace kiln::files
