#include "resident/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "base/version.h"

namespace kiln::resident {

namespace fs = std::filesystem;

namespace {

constexpr int max_tiles = 256;  // in one direction: smaller than any film's pixel

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const auto end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

template <class T>
bool read(const std::string& text, T& out) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, out);
  return error == std::errc{} && stop == end;
}

bool read_pair(const std::string& text, int& first, int& second) {
  const auto parts = split(text);
  return parts.size() == 2 && read(parts[0], first) && read(parts[1], second);
}

void make_absolute(std::string& path) {
  if (path.empty()) return;
  std::error_code error;
  const auto absolute = fs::absolute(path, error);
  if (!error) path = absolute.lexically_normal().native();
}

}  // namespace

Result<std::array<double, 4>> parse_border(const std::string& text) {
  const auto parts = split(text);
  std::array<double, 4> out{};
  bool is_right = parts.size() == 4;
  for (std::size_t i = 0; is_right && i < 4; ++i) is_right = read(parts[i], out.at(i));
  if (is_right && out[0] >= 0 && out[0] < out[1] && out[1] <= 1 && out[2] >= 0 && out[2] < out[3] &&
      out[3] <= 1)
    return out;
  return fail(
      Code::invalid,
      fmt::format("--border {}: must be X0,X1,Y0,Y1 with 0 <= X0 < X1 <= 1 and 0 <= Y0 < Y1 <= 1, from "
                  "the lower left",
                  text));
}

Result<std::array<double, 4>> border_of_tile(const std::string& tile, const std::string& tiles) {
  int columns = 0;
  int rows = 0;
  if (!read_pair(tiles, columns, rows) || columns < 1 || rows < 1 || columns > max_tiles ||
      rows > max_tiles) {
    return fail(Code::invalid,
                fmt::format("--tiles {}: must be COLUMNS,ROWS, each 1 to {}", tiles, max_tiles));
  }
  int column = 0;
  int row = 0;
  if (!read_pair(tile, column, row) || column < 0 || row < 0 || column >= columns || row >= rows) {
    return fail(Code::invalid, fmt::format("--tile {}: must be COLUMN,ROW from 0,0 (lower left) to {},{}",
                                           tile, columns - 1, rows - 1));
  }
  // Neighbours compute the same number for the edge that they share.
  const auto edge = [](int index, int count) { return static_cast<double>(index) / count; };
  return std::array<double, 4>{edge(column, columns), edge(column + 1, columns), edge(row, rows),
                               edge(row + 1, rows)};
}

Result<Options> parse_options(int argc, const char* const* argv) {
  Options options;
  auto& request = options.request;
  CLI::App app(
      "Renders with the Blender that stays open on this slot of a render box; by itself, with one of "
      "its own",
      "kiln-resident");
  app.set_version_flag("--version", std::string(version));
  app.require_subcommand(1);
  auto* blender = app.add_subcommand("blender", "Render frames of a scene, or run a script with it open");
  std::string border;
  std::string tile;
  std::string tiles;
  std::string device = "any";
  std::uint32_t samples = 0;
  std::uint32_t offset = 0;
  std::vector<std::string> overrides;
  if (const char* program = std::getenv("KILN_BLENDER")) options.blender = program;
  blender->add_option("--scene", request.scene, "The scene")->type_name("FILE");
  blender->add_option("--frames", request.frames, "1-24; 1,5,9; 1-100x10")->type_name("FRAMES");
  blender->add_option("--output", request.output, "Folder that the pictures lie below")
      ->type_name("FOLDER")
      ->required();
  blender
      ->add_option("--name", request.name,
                   "Name of the pictures below it, without extension; # is a digit of the frame (the "
                   "scene's own output path)")
      ->type_name("NAME");
  blender->add_option("--format", request.format, "PNG, OPEN_EXR, … (as the scene says)")
      ->type_name("FORMAT");
  blender->add_option("--device", device, "What must render: cpu or gpu; any: as the scene says")
      ->check(CLI::IsMember({"any", "cpu", "gpu"}));
  auto* by_border = blender
                        ->add_option("--border", border,
                                     "X0,X1,Y0,Y1: only this part of the picture, 0 to 1 from the "
                                     "lower left, cropped")
                        ->type_name("BORDER");
  auto* by_tile = blender->add_option("--tile", tile, "COLUMN,ROW of --tiles, 0,0 is the lower left")
                      ->type_name("TILE")
                      ->excludes(by_border);
  blender->add_option("--tiles", tiles, "COLUMNS,ROWS")->type_name("TILES")->needs(by_tile);
  auto* has_samples = blender->add_option("--samples", samples, "Samples a pixel");
  auto* has_offset =
      blender->add_option("--sample-offset", offset,
                          "Cycles: samples that other tasks render (turns adaptive sampling and "
                          "denoising off)");
  blender->add_option("--set", overrides, "A setting of the scene: cycles.seed=7")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  blender->add_option("--script", request.script, "Run this Python file inside Blender in place of rendering")
      ->type_name("FILE");
  blender->add_flag("--autoexec", request.autoexec, "Let the scene's own scripts run");
  blender->add_option("--blender", options.blender, "The program, where no slot offers its own")
      ->type_name("PROGRAM");
  blender->add_option("ARGUMENTS", request.arguments, "After --: of the script");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& wanted) {
    std::ostringstream out;
    app.exit(wanted, out, out);
    options.text = out.str();
    return options;
  } catch (const CLI::ParseError& error) {
    return fail(Code::invalid, std::string(error.what()));
  }

  if (request.script.empty() && request.scene.empty()) return fail(Code::invalid, "--scene is needed");
  if (request.script.empty() && request.frames.empty()) return fail(Code::invalid, "--frames is needed");
  if (!request.frames.empty()) {
    auto frames = payloads::FrameSet::parse(request.frames);
    if (!frames) return fail(std::move(frames.error()).with("--frames"));
  }
  if (!tile.empty() || !tiles.empty()) {
    auto part = border_of_tile(tile, tiles);
    if (!part) return fail(std::move(part.error()));
    request.border = *part;
  } else if (!border.empty()) {
    auto part = parse_border(border);
    if (!part) return fail(std::move(part.error()));
    request.border = *part;
  }
  if (has_samples->count() > 0) request.samples = samples;
  if (has_offset->count() > 0) request.sample_offset = offset;
  for (const auto& one : overrides) {
    const auto equals = one.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::invalid, fmt::format("--set {}: must be NAME=VALUE", one));
    request.overrides[one.substr(0, equals)] = one.substr(equals + 1);
  }
  request.device = payloads::parse_device(device).value_or(payloads::Device::any);
  for (auto* path : {&request.scene, &request.output, &request.script}) make_absolute(*path);
  return options;
}

}  // namespace kiln::resident
