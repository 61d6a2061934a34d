// Child processes: Blender, Mosquitto, vipsthumbnail, ffmpeg. No shell; nothing of ours leaks into them; they
// die when their parent does.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "runtime/files.h"

namespace kiln::runtime {

struct ExitStatus {
  int code = 0;    // exit code, when signal == 0
  int signal = 0;  // the signal that ended it, or 0
  [[nodiscard]] bool ok() const { return code == 0 && signal == 0; }
  [[nodiscard]] std::string str() const;  // "exit code 3", "killed by SIGSEGV"
};

struct Limits {
  std::uint64_t memory_bytes = 0;  // RLIMIT_AS; 0 = none, here and below
  std::uint64_t cpu_s = 0;         // RLIMIT_CPU
};

struct SpawnOptions {
  std::vector<std::string> argv;                                 // argv[0] is looked up in PATH
  std::filesystem::path cwd;                                     // "" = ours
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  // Ours -> the child's number. What is not listed is closed in the child; 0, 1 and 2 that are not listed
  // become /dev/null.
  std::vector<std::pair<int, int>> descriptors;
  Limits limits;
};

// One running child in a process group of its own. The kernel kills the child with SIGKILL when the *thread*
// that spawned it ends (PR_SET_PDEATHSIG): spawn from a thread that lives as long as the child should.
class Process {
 public:
  Process() = default;
  ~Process();  // kills the group and reaps
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  // Errors: not_found when argv[0] is no program in PATH, denied when it is not executable, io.
  static Result<Process> spawn(const SpawnOptions& options);

  [[nodiscard]] bool running() const { return pid_ > 0; }
  [[nodiscard]] pid_t pid() const { return pid_; }
  // Readable once the child has ended: for poll().
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  // Reaps it if it has ended within the time; nullopt otherwise. A negative time waits for ever.
  std::optional<ExitStatus> wait(std::chrono::milliseconds time);
  // Signals the whole group.
  void signal(int number) const;
  // SIGTERM, and SIGKILL after the grace time; reaps.
  ExitStatus stop(std::chrono::milliseconds grace);
  // SIGKILL to the group; reaps.
  ExitStatus kill();

 private:
  pid_t pid_ = 0;
  Fd pidfd_;
};

struct CaptureOptions {
  std::filesystem::path cwd;
  std::vector<std::pair<std::string, std::string>> environment;
  Limits limits;
  std::chrono::milliseconds timeout{60'000};
  std::size_t max_output_bytes = 1024 * 1024;  // what comes after is read and thrown away
};
struct Captured {
  ExitStatus status;
  std::string output;  // stdout and stderr, as they came
};
// Runs it to its end. Errors: those of spawn; timeout (the group was killed).
Result<Captured> run_capture(const std::vector<std::string>& argv, const CaptureOptions& options = {});

// A pipe, both ends close-on-exec. Errors: io.
struct Pipe {
  Fd read;
  Fd write;
};
Result<Pipe> make_pipe();

}  // namespace kiln::runtime
