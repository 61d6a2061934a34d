"""Says what a scene refers to and what is wrong with it, as JSON.

    blender -b --factory-startup --disable-autoexec SCENE -P inspect_scene.py -- SCENE OUT.json

Embedded in `kiln`, which packs what is listed here. The answer has a file of its own because Blender and the
libraries under it write what they like to stdout. Nothing of the scene is run or changed.

    {"file", "blender": "3.4.1", "saved_with": "3.4", "scene", "engine", "frame_start", "frame_end", "frame_step",
     "width", "height", "camera", "marker_cameras", "output", "format", "movie",
     "references": [{"kind", "raw", "path", "from", "user", "missing", "needed"}], "problems": […], "warnings": […]}

A reference: `raw` is the path as the scene holds it ("//" = relative to the file that holds it), `path` the same
made absolute, `from` the blend file that holds it, `user` who needs it. A sequence, a set of tiles and a cache
folder become one reference for each file found. `needed` is false for what the picture does not depend on.
`problems` keep the scene from rendering at all; `warnings` make a wrong picture.
"""

import glob
import json
import os
import re
import sys

import bpy

MOVIE_FORMATS = {"AVI_JPEG", "AVI_RAW", "FFMPEG"}
MAX_REFERENCES = 100_000  # as many files as a manifest holds


class Inspection:
    def __init__(self):
        self.references = []
        self.problems = []
        self.warnings = []
        self.seen = set()

    def holder(self, owner):
        """The blend file whose text holds owner's paths."""
        library = getattr(owner, "library", None) if owner is not None else None
        return library_path(library) if library else os.path.normpath(bpy.data.filepath)

    def add(self, kind, raw, owner, user, needed=True, path=None):
        """One file. `raw` as Blender holds it; `path` where that is known better."""
        if not raw or raw.startswith("<"):
            return
        holder = self.holder(owner)
        path = path or absolute(raw, owner)
        key = (raw, holder, path)
        if key in self.seen or len(self.references) >= MAX_REFERENCES:
            return
        self.seen.add(key)
        self.references.append(
            {
                "kind": kind,
                "raw": raw,
                "path": path,
                "from": holder,
                "user": user,
                "missing": not os.path.isfile(path),
                "needed": needed,
            }
        )

    def add_found(self, kind, raw, owner, user, files):
        """The files that one path stands for; the path itself, as missing, when there are none."""
        folder = raw[: len(raw) - len(re.split(r"[/\\]", raw)[-1])]
        for file in files:
            self.add(kind, folder + os.path.basename(file), owner, user, path=file)
        if not files:
            self.add(kind, raw, owner, user)

    def add_folder(self, kind, raw, owner, user, match=lambda name: True):
        """Every file below a folder that matches. Returns how many there were."""
        base, count = absolute(raw, owner), 0
        for folder, folders, names in os.walk(base):
            folders.sort()
            for name in sorted(filter(match, names)):
                path = os.path.join(folder, name)
                below = os.path.relpath(path, base)
                self.add(kind, os.path.join(raw, below), owner, user, path=path)
                count += 1
        return count


def library_path(library):
    return os.path.normpath(bpy.path.abspath(library.filepath))


def absolute(raw, owner):
    library = getattr(owner, "library", None) if owner is not None else None
    start = os.path.dirname(library_path(library)) if library else None
    return os.path.normpath(bpy.path.abspath(raw, start=start) if start else bpy.path.abspath(raw))


def label(block):
    return f"{block.bl_rna.name.lower()} '{block.name}'"


def numbered(path):
    """The files of a sequence: the same name with other digits where the last run of digits stands."""
    folder, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    match = re.match(r"^(.*?)(\d+)(\D*)$", stem)
    if not match:
        return [path] if os.path.isfile(path) else []
    pattern = re.compile(re.escape(match[1]) + r"\d+" + re.escape(match[3] + extension) + "$")
    try:
        return sorted(os.path.join(folder, n) for n in os.listdir(folder) if pattern.match(n))
    except OSError:
        return []


def tiles(path):
    wanted = glob.escape(path).replace("<UDIM>", "[0-9][0-9][0-9][0-9]").replace("<UVTILE>", "u[0-9]*_v[0-9]*")
    return sorted(glob.glob(wanted))


def images(found):
    for image in bpy.data.images:
        used = image.users - (1 if image.use_fake_user else 0)
        if image.source in {"GENERATED", "VIEWER"} or image.packed_file or len(image.packed_files) or used == 0:
            continue
        path, user = absolute(image.filepath_raw, image), label(image)
        if image.source == "SEQUENCE":
            found.add_found("image sequence", image.filepath_raw, image, user, numbered(path))
        elif image.source == "TILED":
            found.add_found("image tiles", image.filepath_raw, image, user, tiles(path))
        else:
            found.add("image", image.filepath_raw, image, user)


def other_data(found):
    for clip in bpy.data.movieclips:
        if clip.source == "SEQUENCE":
            found.add_found("movie clip", clip.filepath, clip, label(clip), numbered(absolute(clip.filepath, clip)))
        else:
            found.add("movie clip", clip.filepath, clip, label(clip))
    for sound in bpy.data.sounds:
        if not sound.packed_file:
            # A frame has no sound; it is wanted only where it moves something, which is baked into curves.
            found.add("sound", sound.filepath, sound, label(sound), needed=False)
    for font in bpy.data.fonts:
        if not font.packed_file:
            found.add("font", font.filepath, font, label(font))
    for volume in getattr(bpy.data, "volumes", ()):
        if volume.packed_file:
            continue
        if volume.is_sequence:
            files = numbered(absolute(volume.filepath, volume))
            found.add_found("volume", volume.filepath, volume, label(volume), files)
        else:
            found.add("volume", volume.filepath, volume, label(volume))
    for cache in bpy.data.cache_files:
        files = numbered(absolute(cache.filepath, cache)) if cache.is_sequence else []
        if files:
            found.add_found("geometry cache", cache.filepath, cache, label(cache), files)
        else:
            found.add("geometry cache", cache.filepath, cache, label(cache))
        for layer in getattr(cache, "layers", ()):
            found.add("geometry cache", layer.filepath, cache, label(cache))
    for text in bpy.data.texts:
        if text.filepath:  # its content is in the blend file as well
            found.add("text", text.filepath, text, label(text), needed=False)
    for library in bpy.data.libraries:
        if library.packed_file:
            continue
        parent = library.parent
        raw, path = library.filepath, library_path(library)
        if parent and raw.startswith("//"):
            # Blender rewrites a nested library's path to the opened file; the holder's own text is relative to it.
            raw = "//" + os.path.relpath(path, os.path.dirname(library_path(parent)))
        owner = type("Held", (), {"library": parent})() if parent else None
        found.add("library", raw, owner, f"library '{library.name}'", path=path)


def strips(found):
    for scene in bpy.data.scenes:
        editor = scene.sequence_editor
        if not editor:
            continue
        for strip in getattr(editor, "strips_all", None) or editor.sequences_all:
            user = f"strip '{strip.name}'"
            if strip.type == "IMAGE":
                for element in strip.elements:
                    found.add("strip image", os.path.join(strip.directory, element.filename), scene, user)
            elif strip.type == "MOVIE":
                found.add("strip movie", strip.filepath, scene, user)


def node_trees():
    data = bpy.data
    for collection in (data.materials, data.worlds, data.lights, data.textures, data.linestyles, data.scenes):
        for owner in collection:
            tree = getattr(owner, "node_tree", None)
            if tree:
                yield owner, tree
    for group in bpy.data.node_groups:
        yield group, group


def nodes(found):
    for owner, tree in node_trees():
        for node in tree.nodes:
            if node.bl_idname in {"ShaderNodeTexIES", "ShaderNodeScript"} and node.mode == "EXTERNAL":
                kind = "IES profile" if node.bl_idname == "ShaderNodeTexIES" else "OSL shader"
                found.add(kind, node.filepath, owner, label(owner))


def point_caches(obj):
    """(what, cache) of everything on this object that Blender simulates frame after frame."""
    for modifier in obj.modifiers:
        if modifier.type in {"CLOTH", "SOFT_BODY"}:
            yield modifier.name, modifier.point_cache
        elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings:
            for surface in modifier.canvas_settings.canvas_surfaces:
                yield f"{modifier.name}/{surface.name}", surface.point_cache
    for system in obj.particle_systems:
        settings = system.settings
        emits = settings.type == "EMITTER" and settings.physics_type not in {"NO", "KEYED"}
        if emits or (settings.type == "HAIR" and system.use_hair_dynamics):
            yield system.name, system.point_cache


def simulations(found):
    main = os.path.splitext(os.path.basename(bpy.data.filepath))[0]
    scene = bpy.context.scene
    animated = scene.frame_end > scene.frame_start
    unbaked, on_disk = [], False

    def look(what, cache, owner):
        nonlocal on_disk
        if cache is None:
            return
        if cache.use_external:
            files = lambda name: name.endswith((".bphys", ".bobj.gz", ".vdb")) and name.startswith(cache.name)
            if not found.add_folder("point cache", cache.filepath, owner, what, files):
                found.add("point cache", cache.filepath, owner, what)
            return
        on_disk = on_disk or cache.use_disk_cache
        if not cache.is_baked and animated:
            unbaked.append(what)

    for obj in bpy.data.objects:
        if obj.users == 0:
            continue
        for what, cache in point_caches(obj):
            look(f"object '{obj.name}' ({what})", cache, obj)
        for modifier in obj.modifiers:
            user = f"object '{obj.name}' ({modifier.name})"
            if modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
                domain = modifier.domain_settings
                baked = found.add_folder("fluid cache", domain.cache_directory, obj, user)
                if animated and not (baked and (domain.has_cache_baked_any or domain.cache_type == "REPLAY")):
                    unbaked.append(user)
            elif modifier.type == "OCEAN" and modifier.is_cached:
                found.add_folder("ocean cache", modifier.filepath, obj, user)
            elif modifier.type == "MESH_CACHE":
                found.add("mesh cache", modifier.filepath, obj, user)
    if scene.rigidbody_world and scene.rigidbody_world.enabled and scene.rigidbody_world.collection:
        look("rigid bodies", scene.rigidbody_world.point_cache, scene)
    if on_disk:
        found.add_folder("point cache", f"//blendcache_{main}", None, "simulation caches")
    if unbaked:
        found.warnings.append(
            f"not baked: {several(unbaked)}; frames are rendered out of order, so bake the simulation and save first"
        )


def leftovers(found):
    """What Blender itself lists and nothing above knew, so that a kind of reference new to it is not lost."""
    known = {reference["path"] for reference in found.references}
    skipped = {absolute(image.filepath_raw, image) for image in bpy.data.images if image.filepath_raw}
    skipped |= {absolute(clip.filepath, clip) for clip in bpy.data.movieclips}
    skipped |= {absolute(volume.filepath, volume) for volume in getattr(bpy.data, "volumes", ())}
    skipped |= {absolute(cache.filepath, cache) for cache in bpy.data.cache_files}
    for path in bpy.utils.blend_paths(absolute=True, packed=False, local=False):
        path = os.path.normpath(path)
        if path not in known and path not in skipped and os.path.isfile(path):
            # How it is written is not told: both ways are kept valid, the absolute one by a mapping.
            found.add("file", path, None, "the scene")


def scripts(found):
    modules = [text.name for text in bpy.data.texts if text.use_module]
    if modules:
        found.warnings.append(f"scripts that start with the file: {several(modules)}; they run only with --autoexec")
    blocked = []
    for name in dir(bpy.data):
        blocks = getattr(bpy.data, name)
        if not isinstance(blocks, bpy.types.bpy_prop_collection):
            continue
        for block in blocks:
            for holder in (block, getattr(block, "node_tree", None), getattr(block, "shape_keys", None)):
                animation = getattr(holder, "animation_data", None)
                for curve in animation.drivers if animation else ():
                    driver = curve.driver
                    if driver.type == "SCRIPTED" and not driver.is_simple_expression:
                        where = f"{block.name}.{curve.data_path}"
                        if where not in blocked:
                            blocked.append(where)
    if blocked:
        found.warnings.append(f"drivers in Python: {several(blocked)}; they stand still unless you add --autoexec")


def several(names, limit=3):
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def describe(found):
    scene = bpy.context.scene
    render = scene.render
    cameras = [marker.camera.name for marker in scene.timeline_markers if marker.camera]
    edited = render.use_sequencer and scene.sequence_editor and len(scene.sequence_editor.sequences_all)
    composed = render.use_compositing and scene.use_nodes and scene.node_tree
    layers = composed and any(node.bl_idname == "CompositorNodeRLayers" for node in scene.node_tree.nodes)
    if not scene.camera and not cameras and not edited and (layers or not composed):
        found.warnings.append(f"scene '{scene.name}' has no camera: add one, make it the active camera and save")
    output_format = render.image_settings.file_format
    percentage = render.resolution_percentage
    return {
        "file": os.path.normpath(bpy.data.filepath),
        "blender": bpy.app.version_string,
        "saved_with": ".".join(str(part) for part in bpy.data.version[:2]),
        "scene": scene.name,
        "engine": render.engine,
        "frame_start": scene.frame_start,
        "frame_end": scene.frame_end,
        "frame_step": scene.frame_step,
        "width": render.resolution_x * percentage // 100,
        "height": render.resolution_y * percentage // 100,
        "camera": scene.camera.name if scene.camera else "",
        "marker_cameras": cameras,
        "output": render.filepath,
        "format": output_format,
        "movie": output_format in MOVIE_FORMATS,
    }


def main():
    scene, out = sys.argv[sys.argv.index("--") + 1 :]
    opened = bpy.data.filepath
    if not opened or not os.path.exists(opened) or not os.path.samefile(opened, scene):
        answer = {"problems": ["Blender could not open it: the file is damaged, or saved by a newer Blender"]}
    else:
        found = Inspection()
        answer = describe(found)
        for part in (other_data, images, strips, nodes, simulations, leftovers, scripts):
            try:
                part(found)
            except Exception as error:  # one kind of data that this Blender knows differently hides only itself
                found.warnings.append(f"{part.__name__.replace('_', ' ')} could not be looked up: {error}")
        missing = [r["path"] for r in found.references if r["missing"] and r["needed"]]
        if missing:
            found.warnings.append(f"missing: {several(sorted(set(missing)))}")
        if len(found.references) >= MAX_REFERENCES:
            found.problems.append(f"it refers to more than {MAX_REFERENCES} files")
        answer["references"] = found.references
        answer["problems"] = found.problems
        answer["warnings"] = found.warnings
    with open(out + ".part", "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(answer, file, ensure_ascii=False)
    os.replace(out + ".part", out)


main()
