#include "session/places.h"

#include "check.h"

using namespace kiln;
using session::place_of;
using session::Places;

namespace {

openjd::ParameterValue path(const std::string& value, const std::string& flow, const std::string& kind) {
  return {"P", openjd::ParameterType::path, value, kind, flow};
}

void a_parameter_has_its_place() {
  const auto mapping = session::mapping_of(
      "/tree", {{"/mnt/show/tex/wood.png", "ext/tex/wood.png"}, {"C:\\show\\tex\\a.png", "ext/c/tex/a.png"}});
  check_ok(mapping);
  const Places places{"/tree", "/out"};
  const struct {
    const char* value;
    const char* flow;
    const char* kind;
    const char* path;
    const char* folder;
  } cases[] = {
      {"a/b.blend", "IN", "FILE", "/tree/a/b.blend", ""},
      {"./a/../b.blend", "NONE", "FILE", "/tree/b.blend", ""},
      {"", "IN", "FILE", "", ""},
      {".", "IN", "DIRECTORY", "/tree", ""},
      {"/mnt/show/tex/wood.png", "IN", "FILE", "/tree/ext/tex/wood.png", ""},
      {"/mnt/show/tex", "IN", "DIRECTORY", "/tree/ext/tex", ""},
      {"/mnt/show/tex/more/x.png", "IN", "FILE", "/tree/ext/tex/more/x.png", ""},
      {"/mnt/show/texture.png", "IN", "FILE", "/mnt/show/texture.png", ""},
      {"c:/SHOW/tex/a.png", "IN", "FILE", "/tree/ext/c/tex/a.png", ""},
      {"", "OUT", "DIRECTORY", "/out", "/out"},
      {".", "INOUT", "DIRECTORY", "/out", "/out"},
      {"a/b/", "OUT", "DIRECTORY", "/out/a/b", "/out/a/b"},
      {"film/cut.mp4", "OUT", "FILE", "/out/film/cut.mp4", "/out/film"},
      {"cut.mp4", "OUT", "FILE", "/out/cut.mp4", "/out"},
      {"/mnt/show/out", "OUT", "DIRECTORY", "/out/mnt/show/out", "/out/mnt/show/out"},
      {"D:\\show\\out", "OUT", "DIRECTORY", "/out/show/out", "/out/show/out"},
  };
  for (const auto& one : cases) {
    const auto place = place_of(path(one.value, one.flow, one.kind), places, *mapping);
    check_ok(place);
    check_equal(place->path, one.path);
    check_equal(place->folder.native(), one.folder);
  }
}

void nothing_leaves_its_folder() {
  const Places places{"/tree", "/out"};
  for (const char* flow : {"NONE", "IN", "OUT", "INOUT"}) {
    for (const char* value : {"..", "../x", "a/../../x"})
      check(!place_of(path(value, flow, "FILE"), places, {}));
  }
  check(!place_of(path("/../../x", "OUT", "FILE"), places, {}));
}

void without_files_a_value_stays_as_it_is() {
  const auto place = place_of(path("a/b", "IN", "FILE"), {"", "/out"}, {});
  check_ok(place);
  check_equal(place->path, "a/b");
}

}  // namespace

int main() {
  return test::run("places",
                   {{"a parameter has its place", &a_parameter_has_its_place},
                    {"nothing leaves its folder", &nothing_leaves_its_folder},
                    {"without files a value stays as it is", &without_files_a_value_stays_as_it_is}});
}
