// Frames: received into `incoming/<task>-<attempt>/`, moved to `jobs/<job>/output/` when their attempt was
// accepted; and the logs of attempts.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "files/layout.h"
#include "payloads/http_bodies.h"
#include "scheduler/effects.h"

namespace kiln::files {

inline constexpr std::size_t max_log_bytes = 1024UL * 1024;

// One frame on its way in; for one thread. Left without finish() it leaves nothing.
class Delivery {
 public:
  // Errors: too_large past the declared size; full, io.
  Status write(std::string_view bytes);
  // The file lies in incoming, verified and durable. Errors: invalid (size or digest), full, io;
  // conflict when the attempt was dropped meanwhile.
  Status finish();

  ~Delivery();
  Delivery(Delivery&&) noexcept;
  Delivery& operator=(Delivery&&) noexcept;

 private:
  friend class Results;
  struct State;
  explicit Delivery(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// A file that could not get the name it asked for: another task's frame has it.
struct Rename {
  std::string path;    // asked for
  std::string placed;  // `shot/frame_0001~7-k3fqa-12-1.png`
  friend bool operator==(const Rename&, const Rename&) = default;
};

struct Accepted {
  TaskId task;
  std::uint32_t attempt = 0;
  std::vector<Rename> renames;
};

struct OutputFile {
  std::string path;  // below the output folder
  std::uint64_t size = 0;
  std::int64_t modified_s = 0;  // unix seconds
};

struct IncomingAttempt {
  TaskId task;
  std::uint32_t attempt = 0;
  std::int64_t modified_s = 0;
};

// Thread-safe.
class Results {
 public:
  explicit Results(Layout layout);
  ~Results();
  Results(Results&&) noexcept;
  Results& operator=(Results&&) noexcept;

  // ---- receiving (connection threads) ---------------------------------------------------------------------

  // Begins to receive the file that the attempt calls `path`. The same one again is fine.
  // Errors: invalid (path or digest), full (before a byte was sent), io.
  Result<Delivery> begin(const TaskId& task, std::uint32_t attempt, std::string_view path,
                         std::string_view digest, std::uint64_t size);
  // True when that file, with that content, was received whole for the attempt and lies in incoming.
  [[nodiscard]] bool has(const TaskId& task, std::uint32_t attempt, std::string_view path,
                         std::string_view digest) const;

  // Keeps an attempt's log, the one before replaced. Of more than max_log_bytes the end is kept, and a first
  // line says so. Errors: full, io.
  Status write_log(const TaskId& task, std::uint32_t attempt, std::string_view text) const;
  // Errors: not_found, io.
  [[nodiscard]] Result<OpenFile> open_log(const TaskId& task, std::uint32_t attempt) const;

  // ---- after a commit (farm thread: renames, nothing that grows with a file's size) -------------------

  // Moves the files to the output; never over another task's frame: if that name is taken, the file gets its
  // attempt's suffix, and Accepted says so. Repeating it is fine: a file that lies there with the declared
  // digest is left (it is read, but only when it is not in incoming any more). Remembered for settle().
  // Where the task was done before, its older file of that name is replaced, and `is_anothers` says which
  // names are other tasks'. Errors: not_found (the file is nowhere), full, io; the other files are moved all
  // the same.
  using IsAnothers = std::function<bool(const std::string& path)>;
  Result<Accepted> accept(const scheduler::AcceptFiles& accept, const IsAnothers& is_anothers = {});
  // Where accept() put that file: `path`, or the name that it got instead. Known for some time after settle()
  // has told of it, until the database surely says so.
  [[nodiscard]] std::string placed(const TaskId& task, std::uint32_t attempt, const std::string& path) const;
  // Syncs the folders that accept() changed since the last call and returns those attempts: now they may be
  // marked moved in the database. For a housekeeping thread, every few seconds. Errors: io; nothing is lost.
  Result<std::vector<Accepted>> settle();
  // The attempt lost: its incoming files go to the trash.
  Status drop(const TaskId& task, std::uint32_t attempt) const;

  // ---- reading
  // ----------------------------------------------------------------------------------------------

  // Errors: invalid (unsafe path), not_found, io.
  [[nodiscard]] Result<OpenFile> open(const JobId& job, std::string_view path) const;
  // All output files, sorted by path; symbolic links are left out. Empty when the job has none. Errors: io.
  [[nodiscard]] Result<std::vector<OutputFile>> list(const JobId& job) const;
  // What lies in incoming: for a start, which drops what no open task can want any more.
  [[nodiscard]] Result<std::vector<IncomingAttempt>> incoming() const;

  // Output, logs and thumbnails of a job that was deleted go to the trash.
  Status remove_job(const JobId& job) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::files
