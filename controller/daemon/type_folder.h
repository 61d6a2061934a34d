// The studio's own job types: the files of a folder, as they are now.
#pragma once

#include <filesystem>
#include <vector>

#include "compiler/job_types.h"

namespace kiln::controller {

// Every NAME.yaml, NAME.yml and NAME.json of the folder, by name. A file that cannot be one is there all the
// same, with its error. A folder that is not there holds none.
std::vector<compiler::JobType> read_types(const std::filesystem::path& folder);

}  // namespace kiln::controller
