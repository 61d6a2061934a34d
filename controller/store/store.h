// The farm's truth on disk: one SQLite file, written by the farm thread only. Readers have their own
// connections (reader.h).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "scheduler/effects.h"
#include "scheduler/rows.h"

namespace kiln::store {

// An epoch counts restores of a backup in its millions and starts since then below: what nodes saw before a
// restore is always less. Attempts are numbered anew, by the thousand, for each restore.
inline constexpr std::uint64_t epochs_a_restore = 1'000'000;
inline constexpr std::uint32_t attempts_a_restore = 1'000;

class Store {
 public:
  // Opens the file, or makes it: migrates it to this version's schema and checks its integrity. `new_farm_id`
  // (random, an id's form) becomes the farm's when the file is made. Locks the folder that holds it
  // (runtime::lock_folder), so that no second controller works on the same data.
  // Errors: conflict (another process has it), invalid (not a database, damaged, or not Kiln's), unsupported
  // (from a newer version), full, io. Each names the file and what to do.
  static Result<Store> open(const std::filesystem::path& path, const std::string& new_farm_id);
  ~Store();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;

  [[nodiscard]] const std::string& farm_id() const;
  // Raises the stored epoch and returns it; on disk when this returns. Before every connect to the broker.
  Result<std::uint64_t> raise_epoch();
  // What the scheduler needs after a restart. `usage` is of the newest hour that any node has a row of.
  Result<scheduler::FarmRows> load();

  // Every Save* and Erase* of the batch, in order, in one transaction that is on disk when this returns;
  // other effects are left to the shell, except that an AcceptFiles is noted with it (unmoved()). Applying a
  // batch twice is harmless. On failure nothing of it was done.
  // Errors: full, io, unavailable (locked by another program for 5 s), internal (a row that contradicts
  // others). Costs: a few microseconds a row, and one sync a batch.
  Status apply(const std::vector<scheduler::Effect>& effects);

  // ---- files that a crash may have left in incoming -------------------------------------------------------

  struct Rename {
    std::string path;    // as the result says
    std::string placed;  // where it lies instead, below the job's output
  };
  // The attempt's files lie in the output folder, and that is synced. Costs nothing now: written with the
  // next batch, or at close; a crash before that only moves the files again. Renames change the result's
  // path.
  void mark_moved(const TaskId& task, std::uint32_t attempt, const std::vector<Rename>& renames = {});
  // Whether a result of another task of the job has that path. O(results of the job).
  Result<bool> is_of_another_task(const TaskId& task, const std::string& path);
  // Accepted attempts that were never marked moved, to be accepted again at start.
  Result<std::vector<scheduler::AcceptFiles>> unmoved();

 private:
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::store
