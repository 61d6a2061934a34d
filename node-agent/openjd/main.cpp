// `openjd`: Open Job Description templates at the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/version.h"
#include "openjd/check.h"
#include "openjd/run.h"

int main(int argc, char** argv) {
  CLI::App app("Open Job Description templates (2023-09)", "openjd");
  app.set_version_flag("--version", std::string(kiln::version));
  app.require_subcommand(1);
  std::string file;
  auto* check =
      app.add_subcommand("check", "Say whether a template is valid, and everything that is wrong with it");
  check->add_option("FILE", file, "A job or environment template; JSON when it ends in .json, YAML otherwise")
      ->required();
  kiln::openjd::RunOptions options;
  auto* run = app.add_subcommand("run", "Run a job on this computer, one task after another");
  run->add_option("FILE", options.file, "A job template")->required();
  run->add_option("-p,--param,--parameter", options.parameters,
                  "A job parameter, NAME=VALUE, or many: file://FILE or an object as JSON")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  run->add_option("--env,--environment", options.environments, "An environment template to run it in")
      ->type_name("FILE")
      ->allow_extra_args(false);
  run->add_option("--path-mapping-rules", options.path_mapping_rules,
                  "Where paths of the submitter's computer are here: file://FILE or JSON")
      ->type_name("RULES");
  run->add_option("--step", options.step, "Run only this step")->type_name("NAME");
  run->add_flag("--run-dependencies", options.with_dependencies,
                "With --step: also the steps that it depends on");
  run->add_option("--task-param", options.task_parameters, "With --step: only the tasks with this value")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  run->add_flag("--preserve", options.keeps_folder, "Keep the session's folder, to look at");
  CLI11_PARSE(app, argc, argv);
  if (run->parsed()) return kiln::openjd::run_file(options, stdout, stderr);
  return kiln::openjd::check_file(file, stdout, stderr);
}
