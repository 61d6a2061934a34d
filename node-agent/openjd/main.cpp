// `openjd`: Open Job Description templates at the command line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "base/version.h"
#include "openjd/check.h"

int main(int argc, char** argv) {
  CLI::App app("Open Job Description templates (2023-09)", "openjd");
  app.set_version_flag("--version", std::string(kiln::version));
  app.require_subcommand(1);
  std::string file;
  auto* check =
      app.add_subcommand("check", "Say whether a template is valid, and everything that is wrong with it");
  check->add_option("FILE", file, "A job or environment template; JSON when it ends in .json, YAML otherwise")
      ->required();
  CLI11_PARSE(app, argc, argv);
  return kiln::openjd::check_file(file, stdout, stderr);
}
