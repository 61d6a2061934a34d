// The command line of `kiln-resident`.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "session/render_request.h"

namespace kiln::resident {

struct Options {
  session::RenderRequest request;
  std::string blender = "blender";  // where no slot offers its own
  std::string text = {};            // help or version: to be printed, and nothing else done
};

// Paths become absolute. Errors: invalid, one line.
Result<Options> parse_options(int argc, const char* const* argv);

// "0,0.5,0.25,1" and, as "column,row" of "columns,rows" counted from the lower left, a tile as such a border.
// Errors: invalid.
Result<std::array<double, 4>> parse_border(const std::string& text);
Result<std::array<double, 4>> border_of_tile(const std::string& tile, const std::string& tiles);

}  // namespace kiln::resident
