#include "resident/options.h"

#include <filesystem>

#include "check.h"

using namespace kiln;
using resident::parse_options;

namespace {

Result<resident::Options> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), {"kiln-resident", "blender"});
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

void a_request_survives_the_wire() {
  const auto options =
      parse({"--scene",  "/s/a.blend",   "--frames",      "1-4",      "--output",
             "/out",     "--format",     "PNG",           "--device", "cpu",
             "--border", "0,0.5,0.25,1", "--samples",     "8",        "--sample-offset",
             "0",        "--set",        "cycles.seed=7", "--set",    "render.dither_intensity=0",
             "--name",   "tile_####",    "--autoexec"});
  check_ok(options);
  const auto& request = options->request;
  check_equal(request.scene, "/s/a.blend");
  check((request.border == std::array<double, 4>{0, 0.5, 0.25, 1}));
  check(request.sample_offset == 0U);
  check_equal(request.overrides.at("cycles.seed"), "7");
  const auto decoded = session::decode_render_request(session::encode(request));
  check_ok(decoded);
  // `name` stands with the request, not with its settings.
  check(*decoded == request);
}

void a_scripts_arguments_are_its_own() {
  const auto options = parse({"--output", "/out", "--script", "/s/bake.py", "--", "--grid", "3", "-x"});
  check_ok(options);
  check((options->request.arguments == std::vector<std::string>{"--grid", "3", "-x"}));
  check_ok(session::decode_render_request(session::encode(options->request)));
}

void relative_paths_are_of_this_folder() {
  const auto options = parse({"--scene", "a.blend", "--frames", "1", "--output", "sub/../out"});
  check_ok(options);
  check_equal(options->request.scene, (std::filesystem::current_path() / "a.blend").native());
  check_equal(options->request.output, (std::filesystem::current_path() / "out").native());
}

void neighbouring_tiles_share_their_edge() {
  const auto left = resident::border_of_tile("0,2", "3,3");
  const auto right = resident::border_of_tile("1,2", "3,3");
  check_ok(left);
  check_ok(right);
  check_equal((*left)[1], (*right)[0]);
  check_equal((*left)[0], 0.0);
  check_equal((*left)[3], 1.0);
}

void what_is_wrong_is_named() {
  const struct {
    std::vector<const char*> arguments;
    const char* said;
  } cases[] = {
      {{"--output", "/out"}, "--scene"},
      {{"--scene", "/a", "--output", "/out"}, "--frames"},
      {{"--scene", "/a", "--frames", "4-1", "--output", "/out"}, "4-1"},
      {{"--scene", "/a", "--frames", "1"}, "--output"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--border", "0,1,0"}, "--border 0,1,0"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--border", "0.5,0.5,0,1"}, "X0 < X1"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--border", "0,1.5,0,1"}, "--border"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--tile", "3,0", "--tiles", "3,3"}, "2,2"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--tile", "0,0"}, "--tiles"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--set", "seed"}, "NAME=VALUE"},
      {{"--scene", "/a", "--frames", "1", "--output", "/out", "--device", "tpu"}, "tpu"},
  };
  for (const auto& one : cases) {
    const auto options = parse(one.arguments);
    check(!options);
    test::check_contains_at(options.error().message, one.said, __FILE__, __LINE__);
  }
}

void a_hostile_request_is_refused() {
  for (const char* text :
       {"", "{}", R"({"output": "out", "scene": "/a", "frames": "1"})",
        R"({"output": "/out", "scene": "a", "frames": "1"})", R"({"output": "/out", "scene": "/a"})",
        R"({"output": "/out", "scene": "/a", "frames": "x"})",
        R"({"output": "/out", "scene": "/a", "frames": "1", "border": [0, 1, 1, 0]})",
        R"({"output": "/out", "scene": "/a", "frames": "1", "border": [0, "1", 0, 1]})",
        R"({"output": "/out", "scene": "/a", "frames": "1", "set": {"a": 1}})",
        R"({"output": "/out", "scene": "/a", "frames": "1", "samples": -1})",
        R"({"output": "/out", "scene": "/a", "frames": "1", "arguments": [1]})"}) {
    check(!session::decode_render_request(text));
  }
}

}  // namespace

int main() {
  return test::run("options", {{"a request survives the wire", &a_request_survives_the_wire},
                               {"a script's arguments are its own", &a_scripts_arguments_are_its_own},
                               {"relative paths are of this folder", &relative_paths_are_of_this_folder},
                               {"neighbouring tiles share their edge", &neighbouring_tiles_share_their_edge},
                               {"what is wrong is named", &what_is_wrong_is_named},
                               {"a hostile request is refused", &a_hostile_request_is_refused}});
}
