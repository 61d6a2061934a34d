// What every command works with.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/client.h"
#include "cli/exit.h"
#include "cli/terminal.h"

namespace kiln::cli {

struct Context {
  Client client;
  Terminal out;  // what was asked for
  Terminal err;  // progress, warnings, errors
  bool json = false;
  std::string blender;          // program asked for what a scene refers to
  std::filesystem::path cache;  // ~/.cache/kiln

  // One JSON document on stdout.
  void print(const Json& document) { out.line(out.is_tty() ? document.dump_pretty() : document.dump()); }
  // One line on stderr, for people.
  void warn(std::string_view text);
  // A line for people on stdout; nothing with --json.
  void say(std::string_view text) {
    if (!json) out.line(text);
  }
  // Sleeps; false when interrupted.
  [[nodiscard]] bool pause_ms(int ms) const;
};

std::int64_t now_ms();  // unix

// Errors: invalid when the text can be neither a number nor an id.
Status check_id(std::string_view text, std::string_view what);
// The job's present state, by number or id.
Result<Json> find_job(Context& context, const std::string& id_or_number);
// How a job ended, as an exit code.
Exit exit_of_job(const Json& job);

}  // namespace kiln::cli
