#include "actions/command.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <ctime>
#include <memory>

#include "actions/leftovers.h"
#include "base/json.h"
#include "runtime/clock.h"
#include "runtime/files.h"

namespace kiln::actions {

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

constexpr std::size_t chunk_bytes = 64UL * 1024;  // of output between two looks at the clock
// What a pipe can hold, with room to spare: written by one that nothing can kill, it would never end.
constexpr std::size_t max_last_words = 1024UL * 1024;
// No deadline is this far off, and time points do not overflow.
constexpr std::int64_t for_ever_ms = 1000LL * 3600 * 24 * 365 * 10;

// How much was read; 0: nothing there now; -1: the end.
ssize_t read_some(const runtime::Fd& fd, std::array<char, chunk_bytes>& buffer) {
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got > 0) return got;
    if (got == 0) return -1;
    if (errno == EAGAIN) return 0;
    if (errno != EINTR) return -1;
  }
}

// "2026-11-22T18:00:07Z"
std::string utc(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return std::string(text.data(), length);
}

class Run {
 public:
  Run(const Command& command, Cancel& cancel, std::uint64_t seen, std::vector<Background>& backgrounds,
      const Ears& ears)
      : command_(command), cancel_(cancel), seen_(seen), backgrounds_(backgrounds), ears_(ears) {}

  Result<CommandEnd> run() {
    auto pipe = runtime::make_pipe();
    if (!pipe) return fail(std::move(pipe.error()));
    auto options = command_.spawn;
    options.descriptors = {{pipe->write.get(), STDOUT_FILENO}, {pipe->write.get(), STDERR_FILENO}};
    options.environment.emplace_back(marker_name, command_.marker);
    options.keeps_group = true;  // what is left is killed here, when it is time
    auto process = runtime::Process::spawn(options);
    if (!process) return fail(std::move(process.error()));
    process_ = std::move(*process);
    pipe->write.reset();
    output_ = std::move(pipe->read);
    ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
    const auto after = [now = Clock::now()](const std::optional<std::int64_t>& time_ms) {
      return now + Milliseconds(std::min(time_ms.value_or(for_ever_ms), for_ever_ms));
    };
    timeout_at_ = after(command_.timeout_ms);
    limit_at_ = after(command_.limit_ms);
    heard_at_ = Clock::now();
    while (!listen()) {
    }
    return finish();
  }

 private:
  // True once the process has ended.
  bool listen() {
    std::vector<pollfd> fds{
        {process_.pidfd(), POLLIN, 0}, {output_.get(), POLLIN, 0}, {cancel_.fd(), POLLIN, 0}};
    for (const auto& one : backgrounds_) fds.push_back({one.output.get(), POLLIN, 0});
    const auto left = std::chrono::ceil<Milliseconds>(deadline() - Clock::now()).count();
    const auto patience = std::clamp<std::int64_t>(left, 0, INT_MAX);
    if (::poll(fds.data(), fds.size(), static_cast<int>(patience)) < 0) {
      KILN_ASSERT(errno == EINTR);
      return false;
    }
    for (std::size_t i = 0; i < backgrounds_.size(); ++i) {
      if (fds[i + 3].revents != 0) hear(backgrounds_[i]);
    }
    if (fds[1].revents != 0) hear();
    if (fds[0].revents != 0) return true;
    if (fds[2].revents != 0) {
      const auto wish = cancel_.take();
      if (wish.count > seen_) {
        seen_ = wish.count;
        end(Cause::cancelled, wish.max_notify_ms);
      }
    }
    if (Clock::now() >= deadline()) on_deadline();
    return false;
  }

  [[nodiscard]] Clock::time_point deadline() const {
    if (is_killed_) return Clock::now() + Milliseconds(for_ever_ms);
    return is_notified_ ? kill_at_ : std::min({timeout_at_, limit_at_, silent_at()});
  }
  [[nodiscard]] Clock::time_point silent_at() const {
    return heard_at_ + Milliseconds(std::min(command_.silence_ms.value_or(for_ever_ms), for_ever_ms));
  }

  void on_deadline() {
    if (is_notified_) {
      note("It did not end in time after SIGTERM");
      kill();
    } else if (Clock::now() >= limit_at_) {
      note("Its time is over");
      end(Cause::limit, command_.limit_notify_ms);
    } else if (Clock::now() >= silent_at()) {
      note("It has said nothing for too long");
      end(Cause::silence, command_.limit_notify_ms);
    } else {
      note(fmt::format("It ran longer than its timeout of {} s", command_.timeout_ms.value_or(0) / 1000));
      end(Cause::timeout, Cancel::as_the_action_says);
    }
  }

  void end(Cause cause, std::int64_t max_notify_ms) {
    if (is_killed_) return;
    if (cause_ == Cause::itself) cause_ = cause;
    if (has_ended_) return;
    const auto notify_ms = std::min(command_.notifies ? command_.notify_ms : 0, max_notify_ms);
    const auto kill_at = Clock::now() + Milliseconds(notify_ms);
    if (notify_ms <= 0) {
      kill();
    } else if (!is_notified_ || kill_at < kill_at_) {
      is_notified_ = true;
      kill_at_ = kill_at;
      const auto info = Json::object({{"NotifyEnd", utc(runtime::now().after_ms(notify_ms).unix_ms)}}).dump();
      if (const auto written = runtime::write_file_in(command_.folder->get(), command_.cancel_info, info);
          !written)
        note(written.error().message);
      note(fmt::format("Sending SIGTERM; it has {} s to end", (notify_ms + 999) / 1000));
      process_.signal(SIGTERM);
    }
  }

  void kill() {
    is_killed_ = true;
    note("Sending SIGKILL to it and everything that it started");
    // It and its group stand still, so that it starts no more; then those that left the group, while they can
    // still be found as its descendants.
    process_.signal(SIGSTOP);
    kill_rest(process_.pid());
    process_.signal(SIGKILL);
  }

  void kill_rest(pid_t root = 0) {
    if (auto* launcher = command_.spawn.launcher) {
      launcher->sweep(command_.level);
    } else {
      kill_leftovers(command_.marker, root);
    }
  }

  void hear() {
    const auto got = read_some(output_, buffer_);
    if (got < 0) output_.reset();
    if (got <= 0) return;
    heard_at_ = Clock::now();
    lines_.add({buffer_.data(), static_cast<std::size_t>(got)},
               [this](std::string_view line, bool is_cut) { tell(line, is_cut); });
  }

  void tell(std::string_view line, bool is_cut) {
    if (!ears_.on_line(line, is_cut)) end(Cause::bad_message, Cancel::as_the_action_says);
  }

  void hear(Background& background) {
    const auto got = read_some(background.output, buffer_);
    if (got < 0) background.output.reset();
    if (got <= 0) return;
    background.lines.add({buffer_.data(), static_cast<std::size_t>(got)}, ears_.on_background_line);
  }

  Result<CommandEnd> finish() {
    has_ended_ = true;
    const bool leaves_background = command_.leaves_background && !is_notified_ && !is_killed_;
    auto* launcher = command_.spawn.launcher;
    if (!leaves_background) {
      process_.signal(SIGKILL);  // its group; it has ended itself
      kill_rest();
    } else if (launcher != nullptr) {
      launcher->keep(command_.level);
    }
    std::size_t last_words = 0;
    while (output_ && last_words < max_last_words) {
      const auto got = read_some(output_, buffer_);
      if (got == 0) break;
      if (got < 0) {
        output_.reset();
        break;
      }
      last_words += static_cast<std::size_t>(got);
      lines_.add({buffer_.data(), static_cast<std::size_t>(got)},
                 [this](std::string_view line, bool is_cut) { tell(line, is_cut); });
    }
    lines_.finish([this](std::string_view line, bool is_cut) { tell(line, is_cut); });
    CommandEnd out;
    out.status = process_.wait(Milliseconds(-1)).value_or(runtime::ExitStatus{});
    out.cause = cause_;
    if (launcher != nullptr && !out.status.ok()) out.trouble = launcher->trouble();
    if (leaves_background) out.background = std::move(output_);
    return out;
  }

  void note(std::string text) {
    if (ears_.on_note) ears_.on_note(std::move(text));
  }

  const Command& command_;
  Cancel& cancel_;
  std::uint64_t seen_;
  std::vector<Background>& backgrounds_;
  const Ears& ears_;
  runtime::Process process_;
  runtime::Fd output_;
  Lines lines_;
  std::array<char, chunk_bytes> buffer_{};
  Clock::time_point timeout_at_;
  Clock::time_point limit_at_;
  Clock::time_point heard_at_;
  Clock::time_point kill_at_;
  bool is_notified_ = false;
  bool is_killed_ = false;
  bool has_ended_ = false;
  Cause cause_ = Cause::itself;
};

}  // namespace

Result<CommandEnd> run_command(const Command& command, Cancel& cancel, std::uint64_t seen,
                               std::vector<Background>& backgrounds, const Ears& ears) {
  // On the heap: a task's thread need not have room for the buffer.
  return std::make_unique<Run>(command, cancel, seen, backgrounds, ears)->run();
}

}  // namespace kiln::actions
