// The pure parts of Blender's script, in plain Python with nothing in bpy's place but its name.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/json.h"
#include "runtime/process.h"
#include "session/resident.h"

#include "check.h"

namespace fs = std::filesystem;
using kiln::Json;

namespace {

const char* const harness = R"py(
import json, sys, types
for name in ("bpy", "bpy.app", "bpy.app.handlers"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["bpy.app.handlers"].persistent = lambda f: f
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import kiln_resident as script
calls = {
    "output": lambda path, folder: script.relative_output(path, folder),
    "map": lambda mappings, path: script.Mapper(mappings).find(path),
    "warnings": lambda names: (lambda w: (w.add_each("no {}", names), w.take())[1])(script.Warnings()),
    "failure": lambda said: (lambda f: [f.code, f.scope])(script.render_failure(said)),
}
print(json.dumps([calls[one[0]](*one[1:]) for one in json.loads(sys.argv[2])]))
)py";

// The answers to calls of the script's functions.
Json ask(const Json& calls) {
  std::string name = (fs::temp_directory_path() / "kiln-script-XXXXXX").string();
  KILN_ASSERT(::mkdtemp(name.data()) != nullptr);
  std::ofstream(fs::path(name) / "kiln_resident.py") << kiln::session::resident_script;
  const auto said = kiln::runtime::run_capture({"python3", "-c", harness, name, calls.dump()});
  fs::remove_all(name);
  check_ok(said);
  const auto answers = Json::parse(said->output);
  if (!answers) print_error("%s\n", said->output.c_str());
  check_ok(answers);
  return *answers;
}

void results_keep_the_scenes_own_names() {
  const struct {
    const char* path;
    bool is_folder;
    const char* result;
  } cases[] = {
      {"//render/shot_####", false, "render/shot_####"},
      {"//shot_", false, "shot_"},
      {"//", false, ""},
      {"", false, ""},
      {"//render/", false, "render/"},
      {"//../../out/x_", false, "out/x_"},
      {"//a/./b//c_", false, "a/b/c_"},
      {"//..", false, ""},
      {"/tmp/foo_", false, "foo_"},
      {"/tmp/", false, ""},
      {"render/x_", false, "render/x_"},
      {"C:\\renders\\x_", false, "x_"},
      {"//renders\\x_", false, "renders/x_"},
      {"\\\\server\\share\\x_", false, "x_"},
      {"//a\nb/c\x01_", false, "a_b/c__"},
      {"//passes/", true, "passes/"},
      {"//passes/depth", true, "passes/depth/"},
      {"/mnt/x/passes/", true, "passes/"},
      {"/mnt/x/passes", true, "passes/"},
      {"", true, ""},
  };
  Json calls{Json::Array{}};
  for (const auto& one : cases) calls.push(Json(Json::Array{"output", one.path, one.is_folder}));
  const auto answers = ask(calls);
  for (std::size_t i = 0; i < std::size(cases); ++i)
    check_equal(*answers.as_array()->at(i).as_string(), cases[i].result);
}

void absolute_paths_find_their_copies() {
  const Json mappings(
      Json::Array{Json::object({{"from", "/s/tex/a.png"}, {"to", "/job/ext/tex/a.png"}}),
                  Json::object({{"from", "/s/seq/f0001.exr"}, {"to", "/job/ext/seq/f0001.exr"}}),
                  Json::object({{"from", "C:\\lib\\car.blend"}, {"to", "/job/ext/car.blend"}}),
                  Json::object({{"from", "/s/cache/data/x.vdb"}, {"to", "/job/ext/cache/data/x.vdb"}}),
                  Json::object({{"from", "/s/odd/x.png"}, {"to", "/job/ext/renamed.png"}})});
  const struct {
    const char* path;
    const char* copy;  // "": none
  } cases[] = {
      {"/s/tex/a.png", "/job/ext/tex/a.png"},
      {"/s//tex/a.png", "/job/ext/tex/a.png"},
      {"/s/tex/u.<UDIM>.png", "/job/ext/tex/u.<UDIM>.png"},
      {"/s/seq/f0007.exr", "/job/ext/seq/f0007.exr"},
      {"C:\\lib\\car.blend", "/job/ext/car.blend"},
      {"/s/cache/data", "/job/ext/cache/data"},
      {"/s/cache/", "/job/ext/cache/"},
      {"/s/odd/x.png", "/job/ext/renamed.png"},
      {"/s/odd/y.png", ""},
      {"//tex/a.png", ""},
      {"/elsewhere/a.png", ""},
  };
  Json calls{Json::Array{}};
  for (const auto& one : cases) calls.push(Json(Json::Array{"map", mappings, one.path}));
  const auto answers = ask(calls);
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const auto* copy = answers.as_array()->at(i).as_string();
    check_equal(copy != nullptr ? *copy : "", cases[i].copy);
  }
}

void many_warnings_of_a_kind_become_a_few() {
  Json names{Json::Array{}};
  for (int i = 1; i <= 9; ++i) names.push(fmt::format("f{}", i));
  const auto answers = ask(Json(Json::Array{Json(Json::Array{"warnings", names})}));
  const auto& lines = *answers.as_array()->at(0).as_array();
  check_equal(lines.size(), 6U);
  check_equal(*lines[0].as_string(), "no f1");
  check_equal(*lines[5].as_string(), "no f6; and 3 more");
}

void what_blender_says_gets_a_code_and_a_scope() {
  const struct {
    const char* said;
    const char* code;
    const char* scope;
  } cases[] = {
      {"Cannot render, no camera", "no-camera", "job"},
      {"Render error (No space left on device) cannot save: '/x.png'", "disk-full", "attempt"},
      {"System is out of GPU and shared host memory", "out-of-memory", "attempt"},
      {"Out of memory in CUDA queue enqueue", "out-of-memory", "attempt"},
      {"All render layers are disabled", "render-failed", "job"},
      {"something else", "render-failed", "attempt"},
  };
  Json calls{Json::Array{}};
  for (const auto& one : cases) calls.push(Json(Json::Array{"failure", one.said}));
  const auto answers = ask(calls);
  for (std::size_t i = 0; i < std::size(cases); ++i) {
    const auto& pair = *answers.as_array()->at(i).as_array();
    check_equal(*pair[0].as_string(), cases[i].code);
    check_equal(*pair[1].as_string(), cases[i].scope);
  }
}

}  // namespace

int main() {
  return kiln::test::run(
      "script", {{"results keep the scene's own names", results_keep_the_scenes_own_names},
                 {"absolute paths find their copies", absolute_paths_find_their_copies},
                 {"many warnings of a kind become a few", many_warnings_of_a_kind_become_a_few},
                 {"what Blender says gets a code and a scope", what_blender_says_gets_a_code_and_a_scope}});
}
