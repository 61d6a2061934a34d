// `openjd run`: a job on this computer, in one session, one task after another.
#pragma once

#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace kiln::openjd {

struct RunOptions {
  std::filesystem::path file;
  // "NAME=VALUE", "file://FILE" of an object in JSON or YAML, or such an object as JSON; the last one counts.
  std::vector<std::string> parameters = {};
  std::vector<std::filesystem::path> environments = {};  // environment templates, in the order of entering
  std::string path_mapping_rules = {};                   // "file://FILE" or the JSON itself; "": none
  std::string step = {};                                 // only this one; "": all
  bool with_dependencies = false;                        // and the steps that it depends on
  std::vector<std::string> task_parameters = {};  // "NAME=VALUE": only the tasks of `step` with these values
  bool keeps_folder = false;                      // of the session, to look at
};

// Runs the job and prints its log on `out`; what is wrong with the input goes to `err`, a line a problem.
// The first SIGINT or SIGTERM cancels by the rules of the action that runs, the next ones kill; environments
// are left either way. Blocks both signals for good; call it before any thread is started.
// 0: every task succeeded; 1: one did not, or the input is wrong; 130: interrupted.
int run_file(const RunOptions& options, std::FILE* out, std::FILE* err);

}  // namespace kiln::openjd
