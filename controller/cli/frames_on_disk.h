// A job's frames, fetched into a folder: what is there and whole is kept, the rest comes, each checked by
// digest.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/context.h"

namespace kiln::cli {

struct Frame {
  std::int32_t frame = 0;
  std::filesystem::path file;  // on this machine
};
struct Fetched {
  std::vector<Frame> frames;  // in the order of the frame numbers, then of the paths
  std::uint64_t fetched = 0;  // files that came now
  std::uint64_t bytes = 0;    // of these
};
// frames: "" = all that are done, else the wanted ones among them. Shows progress on stderr. Errors: those of
// the client; invalid for frames that are none; full, io; not_found when the job has no such frame done.
Result<Fetched> fetch_frames(Context& context, const Json& job, const std::filesystem::path& folder,
                             const std::string& frames);

// "<name>-<number>", fit for a folder's name.
std::string folder_name(const Json& job);

}  // namespace kiln::cli
