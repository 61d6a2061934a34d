// A job from its template and the values of its parameters: everything that is known at submission is
// resolved, what the node alone knows stays a format string.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "openjd/parameter_space.h"
#include "openjd/parameters.h"
#include "openjd/problems.h"
#include "openjd/template.h"

namespace kiln::openjd {

// Of a host, for a session of the step. Names in lower case; values compare without case.
struct Amount {
  std::string name;  // "amount.worker.gpu"
  double min = 0;    // reserved for the session; the specification's default filled in
  std::optional<double> max;
};
struct Attribute {
  std::string name;                 // "attr.worker.os.family"
  std::vector<std::string> any_of;  // empty: not asked
  std::vector<std::string> all_of;
};

struct Step {
  std::string name;
  std::string description;
  std::vector<std::size_t> dependencies;  // indices into Job::steps; no cycle among them
  std::vector<Environment> environments;
  std::vector<Amount> amounts;
  std::vector<Attribute> attributes;
  ParameterSpace space;
  StepScript script;
};

// Its LateInteger and late modes all have their values.
struct Job {
  Extensions extensions;
  std::string name;
  std::string description;
  std::vector<ParameterValue> parameters;
  std::vector<Environment>
      environments;         // in the order of entering: the environment templates', then its own
  std::vector<Step> steps;  // in the order of the template
  std::vector<Extensions> environment_extensions = {};  // of each of `environments`
};

struct Submission {
  const JobTemplate* job = nullptr;
  std::vector<const EnvironmentTemplate*> environments;  // in the order of entering
  ParameterInput parameters;
  PathBase base;
};

// Problems with values have the path "parameters.<name>", those that only resolving brings to light the
// template's path; of an environment template, under "environments[i]".
Checked<Job> create_job(const Submission& submission);

// The same from the texts, as a job document carries them. PATH values stay as they are. Problems of an
// environment template start with "environments[i]", those of the job template have no prefix.
struct Source {
  std::string_view text;
  Syntax syntax = Syntax::yaml;
};
Checked<Job> create_job(const Source& job, const std::vector<Source>& environments,
                        const std::map<std::string, std::string>& parameters);

}  // namespace kiln::openjd
