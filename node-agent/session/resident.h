// One Blender process that stays open: started before it is needed, fed one frame after another. Commands go
// to its stdin, answers come on a pipe of their own; its stdout is only listened to.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "runtime/fd.h"
#include "runtime/process.h"

namespace kiln::session {

// resident/kiln_resident.py, embedded by CMake.
extern const std::string_view resident_script;

struct Launch {
  std::string blender;                                                // program, looked up in PATH
  std::filesystem::path script;                                       // resident_script as a file
  std::filesystem::path tmp;                                          // its TMPDIR; exists
  std::uint32_t threads = 0;                                          // 0: Blender's own choice
  bool autoexec = false;                                              // the scenes' own scripts run
  std::vector<std::pair<std::string, std::string>> environment = {};  // over ours
  runtime::Launcher* cage = nullptr;                                  // it runs there; outlives the Resident
};

class Resident {
 public:
  // Starts the process and returns at once; its first answer is `ready`. Errors: those of Process::spawn, io.
  static Result<Resident> start(const Launch& launch);
  ~Resident() { kill(); }
  Resident(Resident&&) = default;
  Resident& operator=(Resident&&) = default;

  [[nodiscard]] pid_t pid() const { return process_.pid(); }
  // False once the process has ended, though nobody may have asked how.
  [[nodiscard]] bool alive() const;
  // Memory that it holds now (RSS), MiB; 0 when that is not known.
  [[nodiscard]] std::uint64_t memory_mib() const;

  // Errors: io when the process is gone.
  Status send(const Json& command);

  struct Ended {
    runtime::ExitStatus status;
  };
  struct Woken {};   // one of `wakes` is readable, or its other side is gone
  struct Silent {};  // no sign of life for Patience::hang_ms
  struct Late {};    // Patience::until has passed
  struct Nonsense {  // an answer that is none
    std::string why;
  };
  struct Ear {
    std::function<void(std::string_view)> on_line;  // a line of stdout or stderr
    std::function<void()> on_tick;                  // at most a second apart while waiting
  };
  struct Patience {
    std::int64_t hang_ms = -1;                                   // with silence; below 0: for ever
    std::optional<std::chrono::steady_clock::time_point> until;  // whatever is heard
  };
  using Next = std::variant<Json, Ended, Woken, Silent, Late, Nonsense>;
  using Wakes = std::array<int, 2>;  // descriptors; below 0: none
  // Waits for the next answer, with one poll over answers, stdout, the process and `wakes`. After Ended the
  // process is reaped and its group killed.
  Next next(const Wakes& wakes, const Patience& patience, const Ear& ear);

  // SIGKILL to its group; reaped on return.
  void kill();

 private:
  Resident() = default;
  // Reads what is there; false at the end of the pipe.
  static bool drain(const runtime::Fd& pipe, std::string& into, bool& heard);
  void tell_lines(const Ear& ear, bool all);

  runtime::Process process_;
  runtime::Fd commands_;
  runtime::Fd answers_;
  runtime::Fd output_;
  std::string answer_bytes_;
  std::string output_bytes_;
};

}  // namespace kiln::session
