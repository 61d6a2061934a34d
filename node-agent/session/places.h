// Where the PATH parameters of a template are on this box. Pure, but for is_missing().
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "actions/path_mapping.h"
#include "base/result.h"
#include "openjd/parameters.h"
#include "payloads/http_bodies.h"

namespace kiln::session {

struct Places {
  std::filesystem::path tree;    // the job's files; "" where it has none
  std::filesystem::path output;  // what the task makes
};

struct Place {
  std::string path;              // the value of Param.<name>
  std::filesystem::path folder;  // to be there before the task runs; "": none
};

// dataFlow OUT and INOUT lie in the output folder; of an absolute one its folders are kept below it, so that
// whatever is written is delivered. NONE and IN: relative ones lie among the job's files, absolute ones are
// mapped. Errors: invalid for a value that would leave its folder.
Result<Place> place_of(const openjd::ParameterValue& parameter, const Places& places,
                       const actions::PathMapping& mapping);

// Whether that IN parameter names one of the job's files, and it is not there.
bool is_missing(const openjd::ParameterValue& parameter, const Place& place, const Places& places);

// A rule for each mapped file, and for the folders above it that have the same names on both sides, so that a
// parameter may name the folder. Errors: those of PathMapping::create.
Result<actions::PathMapping> mapping_of(const std::filesystem::path& root,
                                        const std::vector<payloads::PathMapping>& mappings);

}  // namespace kiln::session
