// Job types: templates of Open Job Description that a submission names. Those of this room ship with the
// controller; a studio's own lie in a folder that the shell reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "payloads/http_bodies.h"

namespace kiln::compiler {

struct JobType {
  std::string name;  // an id: "blender-animation"
  payloads::TemplateText text;
  bool is_built_in = false;
  std::string error = {};  // why its file cannot be used at all
  friend bool operator==(const JobType&, const JobType&) = default;
};

// By name.
const std::vector<JobType>& built_in_types();
// The studio's and the built-in ones by name; the studio's own takes a built-in one's place.
std::vector<JobType> all_types(std::vector<JobType> own);
// nullptr when there is none of that name.
const JobType* find_type(const std::vector<JobType>& types, std::string_view name);

// Whether a studio may call a type so: an id, and none of the words that mean something else. Errors:
// invalid.
Status check_type_name(std::string_view name);

// For people and programs that ask what there is: name, title (the first line of the template's description),
// description (the rest), built_in, and parameters as the template defines them; of a template that is wrong,
// `error` instead of the last.
Json describe(const JobType& type);

}  // namespace kiln::compiler
