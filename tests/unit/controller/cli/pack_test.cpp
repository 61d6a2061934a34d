#include "cli/pack.h"

#include "check.h"

namespace {

using kiln::cli::PackedFile;
using kiln::cli::plan_pack;
using kiln::cli::Reference;
using kiln::payloads::PathMapping;

Reference image(const std::string& raw, const std::string& path,
                const std::string& from = "/p/shots/s.blend") {
  return {"image", raw, path, from, "image 'x'", false, true};
}

struct Case {
  const char* what;
  std::vector<Reference> references;
  const char* root;
  std::vector<PackedFile> files;
  std::vector<PathMapping> mappings;
};

Reference missing(Reference reference) {
  reference.missing = true;
  return reference;
}
Reference unneeded(Reference reference) {
  reference.needed = false;
  return reference;
}

const std::vector<Case> cases = {
    {"a scene alone", {}, "/p/shots", {{"s.blend", "/p/shots/s.blend"}}, {}},
    {"textures beside it",
     {image("//tex/a.png", "/p/shots/tex/a.png")},
     "/p/shots",
     {{"s.blend", "/p/shots/s.blend"}, {"tex/a.png", "/p/shots/tex/a.png"}},
     {}},
    {"a relative path upwards moves the root",
     {image("//../tex/a.png", "/p/tex/a.png")},
     "/p",
     {{"shots/s.blend", "/p/shots/s.blend"}, {"tex/a.png", "/p/tex/a.png"}},
     {}},
    {"to the very top",
     {image("//../../t/a.png", "/t/a.png")},
     "/",
     {{"p/shots/s.blend", "/p/shots/s.blend"}, {"t/a.png", "/t/a.png"}},
     {}},
    {"a name that only begins alike is another folder",
     {image("//../shots2/a.png", "/p/shots2/a.png")},
     "/p",
     {{"shots/s.blend", "/p/shots/s.blend"}, {"shots2/a.png", "/p/shots2/a.png"}},
     {}},
    {"a library's own relative path upwards counts as well",
     {image("//lib/l.blend", "/p/shots/lib/l.blend"),
      image("//../../tex/a.png", "/p/tex/a.png", "/p/shots/lib/l.blend")},
     "/p",
     {{"shots/lib/l.blend", "/p/shots/lib/l.blend"},
      {"shots/s.blend", "/p/shots/s.blend"},
      {"tex/a.png", "/p/tex/a.png"}},
     {}},
    {"an absolute path inside gets a mapping, and the root stays",
     {image("/p/shots/a.png", "/p/shots/a.png")},
     "/p/shots",
     {{"a.png", "/p/shots/a.png"}, {"s.blend", "/p/shots/s.blend"}},
     {{"/p/shots/a.png", "a.png"}}},
    {"an absolute path outside goes outside",
     {image("/nas/a.png", "/nas/a.png")},
     "/p/shots",
     {{"_outside/nas/a.png", "/nas/a.png"}, {"s.blend", "/p/shots/s.blend"}},
     {{"/nas/a.png", "_outside/nas/a.png"}}},
    {"a path as the scene writes it is what is mapped",
     {image("/nas//x/../a.png", "/nas/a.png")},
     "/p/shots",
     {{"_outside/nas/a.png", "/nas/a.png"}, {"s.blend", "/p/shots/s.blend"}},
     {{"/nas//x/../a.png", "_outside/nas/a.png"}}},
    {"an outside library finds its neighbours outside, even those that the root has",
     {image("/nas/l.blend", "/nas/l.blend"), image("//a.png", "/nas/a.png", "/nas/l.blend"),
      image("//../p/shots/b.png", "/p/shots/b.png", "/nas/l.blend")},
     "/p/shots",
     {{"_outside/nas/a.png", "/nas/a.png"},
      {"_outside/nas/l.blend", "/nas/l.blend"},
      {"_outside/p/shots/b.png", "/p/shots/b.png"},
      {"s.blend", "/p/shots/s.blend"}},
     {{"/nas/l.blend", "_outside/nas/l.blend"}}},
    {"missing files neither travel nor move the root",
     {missing(image("//../../gone.png", "/gone.png"))},
     "/p/shots",
     {{"s.blend", "/p/shots/s.blend"}},
     {}},
    {"unneeded files travel only from inside",
     {unneeded(image("//../note.txt", "/p/note.txt")), unneeded(image("//b.py", "/p/shots/b.py"))},
     "/p/shots",
     {{"b.py", "/p/shots/b.py"}, {"s.blend", "/p/shots/s.blend"}},
     {}},
    {"a folder of the project that is called _outside is not mixed up",
     {image("//_outside/a.png", "/p/shots/_outside/a.png"), image("/nas/b.png", "/nas/b.png")},
     "/p/shots",
     {{"_outside/a.png", "/p/shots/_outside/a.png"},
      {"_outside_/nas/b.png", "/nas/b.png"},
      {"s.blend", "/p/shots/s.blend"}},
     {{"/nas/b.png", "_outside_/nas/b.png"}}},
    {"a file named twice is one file",
     {image("//a.png", "/p/shots/a.png"), image("/p/shots/a.png", "/p/shots/a.png")},
     "/p/shots",
     {{"a.png", "/p/shots/a.png"}, {"s.blend", "/p/shots/s.blend"}},
     {{"/p/shots/a.png", "a.png"}}},
};

void files_keep_their_places() {
  for (const auto& one : cases) {
    const auto pack = plan_pack("/p/shots/s.blend", one.references);
    check_ok(pack);
    if (pack->files != one.files || pack->mappings != one.mappings || pack->root != one.root) {
      print_error("%s: root %s\n", one.what, pack->root.c_str());
      for (const auto& file : pack->files)
        print_error("  %s <- %s\n", file.path.c_str(), file.source.c_str());
      for (const auto& mapping : pack->mappings)
        print_error("  %s -> %s\n", mapping.from.c_str(), mapping.to.c_str());
    }
    check_equal(pack->root.string(), one.root);
    check(pack->files == one.files);
    check(pack->mappings == one.mappings);
  }
}

void what_is_packed_is_a_manifest_that_decodes() {
  for (const auto& one : cases) {
    const auto pack = plan_pack("/p/shots/s.blend", one.references);
    check_ok(pack);
    kiln::payloads::Manifest manifest;
    manifest.mappings = pack->mappings;
    for (const auto& file : pack->files)
      manifest.files.push_back({file.path, "sha256:" + std::string(64, '0'), 1});
    const auto decoded = kiln::payloads::decode_manifest(kiln::payloads::encode(manifest));
    check_ok(decoded);
    check_equal(pack->scene_file.empty(), false);
  }
}

void names_that_cannot_travel_are_refused() {
  for (const char* name : {"/p/shots/a\\b.png", "/p/shots/a\nb.png", "/p/shots/\xff.png"}) {
    const auto pack = plan_pack("/p/shots/s.blend", {image("//x", name)});
    check(!pack.has_value());
    check_contains(pack.error().message, "rename it");
  }
  check(!plan_pack("/p/a\\b.blend", {}).has_value());
}

}  // namespace

int main() {
  return kiln::test::run(
      "cli pack", {{"files keep their places to each other", files_keep_their_places},
                   {"what is packed is a manifest that decodes", what_is_packed_is_a_manifest_that_decodes},
                   {"names that cannot travel are refused", names_that_cannot_travel_are_refused}});
}
