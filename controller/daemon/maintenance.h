// What is done to a farm's data beside serving it: `kiln-controller backup`, `restore` and `certificate`, and
// the look for frames that are done but whose files are gone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "daemon/config.h"
#include "files/layout.h"
#include "files/results.h"
#include "store/reader.h"

namespace kiln::controller {

// Each prints what it did on stdout. Errors: those of store/backup.h, and what to do.
Status run_backup(const Config& config);
Status run_restore(const Config& config);
// key.pem (0600, kept when it is there), certificate.pem and ca.pem in the folder. Errors: not_found when the
// farm has no authority yet; invalid for a client's name that is the controller's own or none; those of the
// key's file.
Status run_certificate(const Config& config);

// A frame's file lies in the output with its size, or still in incoming. It may be on its way from one to the
// other.
bool is_there(const files::Results& results, const scheduler::ResultRow& result);

struct MissingFiles {
  std::uint64_t of_open_jobs = 0;
  std::uint64_t of_ended_jobs = 0;  // people take finished frames away: no alarm
  std::string first;                // of an open job, or else of an ended one: "job 7: shot/frame_0001.png"
};
// Looks for the file of every result: a stat each. Ends early once is_stopping says so. Errors: those of the
// reader.
Result<MissingFiles> look_for_missing(const store::Reader& reader, const files::Results& results,
                                      const std::function<bool()>& is_stopping);

}  // namespace kiln::controller
