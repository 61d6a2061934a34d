#include "cli/inspection.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include "check.h"
#include "cli/pack.h"
#include "folder.h"
#include "runtime/process.h"
#include "source_dir.h"

namespace {

namespace fs = std::filesystem;
using kiln::cli::Inspection;
using kiln::cli::Reference;
using kiln::test::Folder;

constexpr std::chrono::minutes patience{2};

bool has_blender() {
  const auto ran = kiln::runtime::run_capture({"blender", "--version"});
  return ran && ran->status.ok();
}

// A shot that links a library (which has a texture of its own, upwards from it), with a texture beside it,
// one by an absolute path elsewhere, a sequence, tiles, a font, one file that is missing, and a driver in
// Python.
constexpr const char* make_scene = R"python(
import bpy, os, sys
base = sys.argv[sys.argv.index("--") + 1]
shot, lib, tex, nas = (os.path.join(base, n) for n in ("project/shots", "project/lib", "project/tex", "nas"))
for folder in (shot, lib, tex, nas):
    os.makedirs(folder)

def picture(path):
    image = bpy.data.images.new("p", 4, 4)
    image.filepath_raw, image.file_format = path, "PNG"
    image.save()
    bpy.data.images.remove(image)

for path in [f"{tex}/wood.png", f"{nas}/sky.png", f"{shot}/seq_001.png", f"{shot}/seq_002.png", f"{shot}/seq_x.png",
             f"{shot}/skin.1001.png", f"{shot}/skin.1002.png", f"{shot}/it's ünïcode.png", f"{nas}/packed.png"]:
    picture(path)

def material(name, paths):
    mat = bpy.data.materials.new(name)
    mat.use_nodes = True
    for path, source in paths:
        node = mat.node_tree.nodes.new("ShaderNodeTexImage")
        if source == "TILED":
            node.image = bpy.data.images.new("tiles", 4, 4, tiled=True)
            node.image.filepath_raw = path
        elif os.path.exists(path):
            node.image = bpy.data.images.load(path)
            node.image.source = source
        else:
            node.image = bpy.data.images.new("gone", 4, 4)
            node.image.source, node.image.filepath = "FILE", path
    return mat

def relative():
    for image in bpy.data.images:
        if image.filepath_raw.startswith(base) and "nas" not in image.filepath_raw and image.source != "TILED":
            image.filepath_raw = bpy.path.relpath(image.filepath_raw)

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.mesh.primitive_cube_add()
bpy.context.object.name = "Pot"
bpy.context.object.data.materials.append(material("Clay", [(f"{tex}/wood.png", "FILE")]))
bpy.ops.wm.save_as_mainfile(filepath=f"{lib}/pot.blend")
relative()
bpy.ops.wm.save_mainfile()

bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.wm.save_as_mainfile(filepath=f"{shot}/shot.blend")
with bpy.data.libraries.load(f"{lib}/pot.blend", link=True, relative=True) as (source, target):
    target.objects = ["Pot"]
bpy.context.scene.collection.objects.link(target.objects[0])
bpy.ops.mesh.primitive_plane_add()
plane = bpy.context.object
plane.data.materials.append(material("Ground", [
    (f"{shot}/it's ünïcode.png", "FILE"), (f"{nas}/sky.png", "FILE"), (f"{shot}/seq_001.png", "SEQUENCE"),
    (f"{shot}/skin.<UDIM>.png", "TILED"), ("//gone.png", "FILE"), (f"{nas}/packed.png", "FILE")]))
bpy.data.images["packed.png"].pack()
unused = bpy.data.images.load(f"{nas}/sky.png", check_existing=False)
unused.name, unused.filepath = "unused", "//not there.png"
camera = bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
bpy.context.scene.collection.objects.link(camera)
bpy.context.scene.camera = camera
driver = plane.driver_add("location", 0).driver
driver.expression = "len([c for c in 'abc'])"
cloth = plane.modifiers.new("Cloth", "CLOTH")
scene = bpy.context.scene
scene.frame_start, scene.frame_end, scene.frame_step = 3, 9, 2
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 200, 100, 50
scene.render.filepath = "//out/f_"
relative()
bpy.ops.wm.save_mainfile()
)python";

// Made and looked into once: Blender's starts are what this test costs.
struct Shot {
  Folder folder;
  fs::path scene;
  Inspection inspection;
};
const Shot& shot() {
  static const auto made = [] {
    auto shot = std::make_unique<Shot>();
    const auto script = shot->folder.write("make.py", make_scene);
    const auto ran = kiln::runtime::run_capture({"blender", "-b", "--factory-startup", "--python-exit-code",
                                                 "3", "-P", script, "--", shot->folder.path()});
    check_ok(ran);
    if (!ran->status.ok()) print_error("%s\n", ran->output.c_str());
    check(ran->status.ok());
    shot->scene = shot->folder.path() / "project/shots/shot.blend";
    auto inspection = kiln::cli::inspect("blender", shot->scene, patience);
    check_ok(inspection);
    shot->inspection = std::move(*inspection);
    return shot;
  }();
  return *made;
}

const Reference* find(const Inspection& inspection, const std::string& path) {
  const auto found = std::find_if(inspection.references.begin(), inspection.references.end(),
                                  [&](const Reference& reference) { return reference.path == path; });
  return found == inspection.references.end() ? nullptr : &*found;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

void blender_lists_all_that_a_scene_refers_to() {
  if (!has_blender()) return;
  const auto base = shot().folder.path().string();
  const auto* inspection = &shot().inspection;
  check_equal(joined(inspection->problems), "");
  check_equal(inspection->frames(), "3-9x2");
  check_equal(inspection->width, 100);
  check_equal(inspection->height, 50);
  check_equal(inspection->camera, "Eye");
  check_equal(inspection->output, "//out/f_");
  check_equal(inspection->format, "PNG");

  const struct {
    const char *path, *raw, *from;
  } wanted[] = {
      {"/project/lib/pot.blend", "//../lib/pot.blend", "/project/shots/shot.blend"},
      {"/project/tex/wood.png", "//../tex/wood.png", "/project/lib/pot.blend"},
      {"/project/shots/it's ünïcode.png", "//it's ünïcode.png", "/project/shots/shot.blend"},
      {"/project/shots/seq_001.png", "//seq_001.png", "/project/shots/shot.blend"},
      {"/project/shots/seq_002.png", "//seq_002.png", "/project/shots/shot.blend"},
      {"/project/shots/gone.png", "//gone.png", "/project/shots/shot.blend"},
  };
  for (const auto& one : wanted) {
    const auto* reference = find(*inspection, base + one.path);
    if (reference == nullptr) print_error("%s is not listed\n", one.path);
    check(reference != nullptr);
    check_equal(reference->raw, one.raw);
    check_equal(reference->from, base + one.from);
    check_equal(reference->missing, std::string(one.path).ends_with("gone.png"));
  }
  for (const char* tile : {"1001", "1002"})
    check(find(*inspection, base + "/project/shots/skin." + tile + ".png") != nullptr);
  check_equal(find(*inspection, base + "/nas/sky.png")->raw, base + "/nas/sky.png");
  check(find(*inspection, base + "/project/shots/seq_x.png") == nullptr);
  check(find(*inspection, base + "/nas/packed.png") == nullptr);
  check(find(*inspection, base + "/project/shots/not there.png") == nullptr);

  const auto warnings = joined(inspection->warnings);
  check_contains(warnings, "missing: " + base + "/project/shots/gone.png\n");
  check_contains(warnings, "--autoexec");
  check_contains(warnings, "not baked");
}

// The proof of the packing: the tree alone, somewhere else, opens and finds everything by itself or by the
// mappings.
void a_packed_scene_finds_its_files_elsewhere() {
  if (!has_blender()) return;
  const Folder other;
  const auto pack = kiln::cli::plan_pack(shot().scene, shot().inspection.references);
  check_ok(pack);
  for (const auto& file : pack->files) {
    fs::create_directories((other.path() / file.path).parent_path());
    fs::copy_file(file.source, other.path() / file.path);
  }
  fs::rename(shot().folder.path() / "project", shot().folder.path() / "gone");
  fs::rename(shot().folder.path() / "nas", shot().folder.path() / "gone too");
  const auto moved = kiln::cli::inspect("blender", other.path() / pack->scene_file, patience);
  check_ok(moved);
  for (const auto& reference : moved->references) {
    if (!reference.missing || reference.path.ends_with("gone.png")) continue;
    // A pattern (<UDIM>) is found by its folder, everything else by its name.
    const auto mapped = std::find_if(pack->mappings.begin(), pack->mappings.end(), [&](const auto& mapping) {
      const bool is_pattern = reference.raw.find('<') != std::string::npos;
      return is_pattern ? fs::path(mapping.from).parent_path() == fs::path(reference.raw).parent_path()
                        : mapping.from == reference.raw;
    });
    if (mapped == pack->mappings.end()) print_error("%s is lost\n", reference.raw.c_str());
    check(mapped != pack->mappings.end());
    check(fs::exists(other.path() / mapped->to));
  }
  check(find(*moved, (other.path() / "tex/wood.png").string()) != nullptr);
}

void the_shared_scenes_are_read() {
  // Where tests/integration looks for them as well.
  const char* named = std::getenv("KILN_SCENES");
  const fs::path scenes = named != nullptr ? named : kiln::test::source_dir() / "../shared/scenes";
  if (!has_blender() || !fs::exists(scenes / "the_column/the_column.blend")) return;
  const auto column = kiln::cli::inspect("blender", scenes / "the_column/the_column.blend", patience);
  check_ok(column);
  check_equal(column->saved_with, "2.79");
  check_equal(column->references.size(), 3U);
  const auto pack = kiln::cli::plan_pack(scenes / "the_column/the_column.blend", column->references);
  check_ok(pack);
  check_equal(pack->scene_file, "the_column.blend");
  check_equal(pack->files.size(), 4U);
  check(pack->mappings.empty());
  const auto script3d =
      kiln::cli::inspect("blender", scenes / "armory_ui_script3d/ui_script3d.blend", patience);
  check_ok(script3d);
  check_contains(joined(script3d->warnings), "test.hdr");
}

void what_blender_cannot_open_is_said_so() {
  if (!has_blender()) return;
  const Folder folder;
  const auto scene = folder.write("s.blend", "this is no scene");
  const auto inspection = kiln::cli::inspect("blender", scene, patience);
  const bool is_refused = !inspection || !inspection->problems.empty();
  check(is_refused);
}

void no_blender_is_not_found() {
  const auto inspection = kiln::cli::inspect("/nonexistent/blender", "/tmp/s.blend", patience);
  check(!inspection.has_value());
  check_equal(to_string(inspection.error().code), to_string(kiln::Code::not_found));
}

void a_silly_answer_is_refused() {
  for (const char* text :
       {"", "[]", R"({"references":[{}]})", R"({"references":[{"kind":1}]})", R"({"frame_start":"x"})"}) {
    check(!kiln::cli::decode_inspection(text).has_value());
  }
  const auto one_frame = kiln::cli::decode_inspection(R"({"frame_start":5,"frame_end":5,"frame_step":0})");
  check_ok(one_frame);
  check_equal(one_frame->frames(), "5");
}

}  // namespace

int main() {
  return kiln::test::run(
      "cli inspection",
      {{"Blender lists all that a scene refers to", blender_lists_all_that_a_scene_refers_to},
       {"a packed scene finds its files elsewhere", a_packed_scene_finds_its_files_elsewhere},
       {"the shared scenes are read", the_shared_scenes_are_read},
       {"what Blender cannot open is said so", what_blender_cannot_open_is_said_so},
       {"no Blender is not found", no_blender_is_not_found},
       {"a silly answer is refused", a_silly_answer_is_refused}});
}
