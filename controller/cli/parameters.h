// The values of a template's parameters as a command line gives them, and the files of this machine that they
// name.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "cli/pack.h"

namespace kiln::cli {

using Values = std::map<std::string, std::string>;

// Each `NAME=VALUE`, or `file://FILE` of JSON or YAML with a value a name; of one name the last counts.
// Errors: invalid, saying how it is written; those of reading the file.
Result<Values> read_parameters(const std::vector<std::string>& given);

// PATH parameters that are uploaded, from what describe() says of a template.
struct InputParameter {
  std::string name;
  bool is_folder = false;
};
std::vector<InputParameter> input_parameters(const Json& type);

// What a job brings along: the pack so far, without two files of one path.
class Luggage {
 public:
  // A file or a folder with all that lies below it, which goes to `to` in the job's tree. Errors: not_found;
  // invalid for what can not travel or stands there already; too_large over the files of a job.
  Status add(const std::filesystem::path& source, const std::string& to);
  // A scene with what it refers to. Errors: invalid, as above.
  Status add(const Pack& pack);
  [[nodiscard]] Pack take();

 private:
  Status put(const std::string& path, const std::filesystem::path& source);
  std::map<std::string, std::filesystem::path> files_;
  std::vector<payloads::PathMapping> mappings_;
};

// "nuke" or "nuke=2". Errors: invalid.
Result<payloads::LimitUse> read_limit(const std::string& text);
// "STEP:ON". Errors: invalid.
Result<payloads::FrameByFrame> read_pair(const std::string& text);

}  // namespace kiln::cli
