// A task's output folder: what earlier steps made is laid into it beforehand, what is new or changed in it
// afterwards is the task's result.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "payloads/http_bodies.h"
#include "session/runner.h"
#include "session/stop.h"

namespace kiln::session {

// Tells a file that was written to, or replaced, from one that was not.
struct Stamp {
  std::uint64_t inode = 0;
  std::uint64_t size = 0;
  std::int64_t written_ns = 0;
  friend bool operator==(const Stamp&, const Stamp&) = default;
};
// Of a regular file that is no symbolic link.
std::optional<Stamp> stamp_of(const std::filesystem::path& file);

// Makes the folder, or empties it, whatever a task left in it. Errors: io, full, denied.
Status empty_folder(const std::filesystem::path& folder);

// Paths below the output folder.
using Laid = std::map<std::string, Stamp>;
// Read-only, as hard links; with `copies` as copies where that is cheap, so that a task can do them no harm:
// shared blocks where the file system has them, real ones up to 1 GiB in all. Errors: io, full, invalid for a
// path that is none.
Result<Laid> lay_inputs(const InputTree& inputs, const std::filesystem::path& folder, bool copies);

// Moves the regular files out of a folder that tasks wrote to into `to`, a new folder that none of them can
// reach; what is no regular file stays. Errors: those of Beneath.
Status take_outputs(const std::filesystem::path& folder, const std::filesystem::path& to);

// A file that was checked and digested when it was stored, and what it was then.
struct KnownFile {
  payloads::ResultFile file;
  Stamp stamp;
};

struct Outputs {
  std::vector<payloads::ResultFile> files;  // sorted by path
  std::vector<std::string> warnings;
};
// Checks, digests and syncs what the task made in `folder`; what it did not make is removed from there.
// `frame`: the task's, 0 for none. Ends with frame-invalid for a picture that is not whole, too-many-files
// (the whole job), disk-full.
Step<Outputs> collect_outputs(const std::filesystem::path& folder, const Laid& laid,
                              const std::map<std::string, KnownFile>& known, std::int32_t frame,
                              const std::filesystem::path& scratch);

}  // namespace kiln::session
