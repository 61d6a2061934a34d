// Child processes: Blender, Mosquitto, vipsthumbnail, ffmpeg. No shell; nothing of ours leaks into them; they
// die when we do.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/fd.h"

namespace kiln::runtime {

struct ExitStatus {
  int code = 0;    // exit code, when signal == 0
  int signal = 0;  // the signal that ended it, or 0
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
  [[nodiscard]] std::string str() const;  // "exit code 3", "killed by SIGSEGV"
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

struct Limits {
  std::uint64_t memory_bytes = 0;  // RLIMIT_AS; 0 = none, here and below
  std::uint64_t cpu_s = 0;         // RLIMIT_CPU
};

class Launcher;

struct SpawnOptions {
  // argv[0] is looked up in PATH, the one in `environment` if there is one, unless it holds a '/'.
  std::vector<std::string> argv;
  std::filesystem::path cwd;  // "" = ours
  // Added to ours, or in place of it. What speaks to systemd in our name (NOTIFY_SOCKET, WATCHDOG_*) is not
  // passed on.
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> without = {};  // of ours, not passed on
  // Ours (borrowed for the call) -> the child's number. Not listed: 0 reads /dev/null, 1 and 2 are ours,
  // every other one is closed.
  std::vector<std::pair<int, int>> descriptors;
  Limits limits;
  int niceness = 0;              // added to ours; 19 is the least urgent
  bool keeps_group = false;      // what it left behind in its group when it ended by itself lives on
  Launcher* launcher = nullptr;  // starts there; borrowed for the call; `limits` are not for it
};

// A child of somebody else, who starts it for us.
struct Launched {
  pid_t pid = 0;  // as we see it
  Fd pidfd;
  Fd reaper;  // a byte is answered by its wait status, an int, once it has ended: until then its pid is its
              // own
};

// Where children may be started instead of here: a cage. For one thread at a time.
class Launcher {
 public:
  virtual ~Launcher() = default;
  // `program` is found, `environment` complete. Errors: those of Process::spawn.
  virtual Result<Launched> launch(const SpawnOptions& options, const std::filesystem::path& program,
                                  const std::vector<std::string>& environment) = 0;
  // Whether that variable of ours is passed on.
  [[nodiscard]] virtual bool passes_on(std::string_view variable) const = 0;
  // What runs in there now and is not of an outer level may go on until its level is swept.
  virtual void keep(std::size_t level) = 0;
  // Kills what runs in there, but for what was kept of levels below `level` and its children.
  virtual void sweep(std::size_t level) = 0;
  // Why it killed everything by itself, once: a limit; "" when it did not.
  virtual std::string trouble() = 0;
};

// One child in a process group of its own. The kernel kills the child when this process ends, however that
// happens; not when the thread that spawned it ends.
class Process {
 public:
  Process() = default;
  ~Process();  // kills the group and reaps
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  // The child runs its program when this returns. Errors: not_found when there is no such program or cwd,
  // denied when it may not be executed, io; each names what was to be started.
  static Result<Process> spawn(const SpawnOptions& options);

  // Not reaped yet: its end was not seen by wait, stop or kill.
  [[nodiscard]] bool running() const { return pid_ > 0 && !status_; }
  [[nodiscard]] pid_t pid() const { return pid_; }  // 0: none
  // Readable once the child has ended: for poll().
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // How it ended; nullopt while it runs on after the time. A negative time waits for ever. What it left
  // behind in its group is killed with it, unless keeps_group. Once ended, the answer stays.
  std::optional<ExitStatus> wait(std::chrono::milliseconds time);
  // Signals the whole group, while running().
  void signal(int number) const;
  // SIGTERM, and SIGKILL after the grace time; reaps.
  ExitStatus stop(std::chrono::milliseconds grace);
  // SIGKILL to the group; reaps.
  ExitStatus kill();

 private:
  static Result<Process> launch(const SpawnOptions& options, const std::filesystem::path& program,
                                const std::vector<std::string>& environment);
  [[nodiscard]] ExitStatus ask_end() const;

  pid_t pid_ = 0;
  Fd pidfd_;
  Fd reaper_;  // of one that a Launcher started
  std::optional<ExitStatus> status_;
  bool keeps_group_ = false;
};

struct CaptureOptions {
  std::filesystem::path cwd;
  std::vector<std::pair<std::string, std::string>> environment;
  Limits limits;
  int niceness = 0;
  std::chrono::milliseconds timeout{60'000};
  std::size_t max_output_bytes = 1024ULL * 1024;  // what comes after is read and thrown away
  int cancel_fd = -1;                             // readable: stop it (an EventFd's)
  Launcher* launcher = nullptr;                   // see SpawnOptions
};
struct Captured {
  ExitStatus status;
  std::string output;  // stdout and stderr, as they came
};
// Runs it to its end. Errors: those of spawn; timeout when it was killed at the deadline or by cancel_fd.
Result<Captured> run_capture(const std::vector<std::string>& argv, const CaptureOptions& options = {});

// Where PATH, or the `path` given in its place, has the program; the name itself when it holds a '/'. Errors:
// not_found.
Result<std::filesystem::path> find_program(const std::string& name,
                                           const std::optional<std::string>& path = std::nullopt);

// A pipe, both ends close-on-exec. Errors: io.
struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();

}  // namespace kiln::runtime
