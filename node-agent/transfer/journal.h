// The disk side of delivery: one folder an attempt, there as a whole or not at all.
//
//   <task>-<attempt>/report.json   payloads::ResultReport, and "farm": the one that it was made for, if known
//   <task>-<attempt>/log           the renderer's output
//   <task>-<attempt>/files/…       the frames, under their result paths
//   refused/<task>-<attempt>/…     the same and `reason`: what the controller would not take, newest 20
//   .new-… .old-…                  being written, being removed; removed at the next start
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::transfer {

struct Entry {
  TaskId task;
  std::uint32_t attempt = 0;
  std::string farm = {};  // its id; "": not known

  [[nodiscard]] std::string name() const;  // "7-k3fqa-12-3"
};

// Different entries may be worked on from different threads.
class Journal {
 public:
  explicit Journal(std::filesystem::path folder);

  // What is there, oldest first. Clears what a crash left half done. Errors: the folder cannot be used.
  Result<std::vector<Entry>> recover();

  // Writes the entry, synced; takes `folder` over when the report is ok, and removes it otherwise. An error
  // leaves `folder` as it was. An entry that is there already stays. Errors: full, io; invalid when a file of
  // the report is not in `folder` or has another size.
  Status put(const Entry& entry, const payloads::ResultReport& report, const std::filesystem::path& folder,
             const std::string& log);

  [[nodiscard]] Result<payloads::ResultReport> report(const Entry& entry) const;
  [[nodiscard]] std::filesystem::path file(const Entry& entry, const std::string& path) const;
  [[nodiscard]] std::filesystem::path log(const Entry& entry) const;

  void erase(const Entry& entry);
  void refuse(const Entry& entry, const std::string& reason);

 private:
  [[nodiscard]] std::filesystem::path path(const Entry& entry) const { return folder_ / entry.name(); }
  const std::filesystem::path folder_;
};

}  // namespace kiln::transfer
