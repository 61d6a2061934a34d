// Debian's tools, called by the box: systemctl, rauc, sfdisk. No shell.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace kiln::box {

// What it printed, when it ended with 0. Errors: io with its name and what it said; those of
// runtime::run_capture.
Result<std::string> output_of(const std::vector<std::string>& argv,
                              std::chrono::seconds timeout = std::chrono::seconds(60),
                              std::size_t max_bytes = 1024UL * 1024);
// The same for those that only have to succeed.
Status run(const std::vector<std::string>& argv, std::chrono::seconds timeout = std::chrono::seconds(60));

}  // namespace kiln::box
