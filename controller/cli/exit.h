// What the program's exit code says: part of the contract with scripts (kiln.1 lists it).
#pragma once

#include "base/result.h"

namespace kiln::cli {

enum class Exit : int {
  ok = 0,
  job_failed = 1,    // the job failed or was cancelled
  usage = 2,         // wrong arguments or input
  unreachable = 3,   // no controller, or it cannot answer now
  not_found = 4,     // the controller does not know that job, task or node
  refused = 5,       // the controller understood and says no: a conflict, or not allowed
  local = 6,         // this machine: disk full, a file that cannot be written, ffmpeg missing
  interrupted = 130  // Ctrl-C
};

Exit exit_of(Code code);

}  // namespace kiln::cli
