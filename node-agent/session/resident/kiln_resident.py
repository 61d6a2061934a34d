"""Kiln's side inside Blender: opens scenes and renders single frames on command.

Run as `blender -b --factory-startup ... -P kiln_resident.py -- FD`. Commands arrive as JSON lines on stdin;
answers leave as JSON lines on descriptor FD, never on stdout, which belongs to Blender. The end of stdin
ends the process. ../README.md describes the commands. Python 3.7 (Blender 2.93) and later; what differs
between Blender versions sits in functions marked "versions".
"""
import contextlib
import json
import os
import re
import runpy
import sys
import threading
import time
import traceback

import bpy
from bpy.app.handlers import persistent

MAX_WARNINGS = 20  # as many as a person reads
MOVIE_FORMATS = ("AVI_JPEG", "AVI_RAW", "FFMPEG", "FRAMESERVER", "H264", "THEORA", "XVID")
GPU_ORDER = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")  # OPTIX before CUDA: the same cards, faster
STATS_INTERVAL_S = 0.25


class Failed(Exception):
    """What the attempt ends with. scope "job": no box can do better; "attempt": another try may."""

    def __init__(self, code, message, scope="job"):
        super().__init__(message)
        self.code, self.message, self.scope = code, message, scope


class Answers:
    def __init__(self, descriptor):
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor
        self.lock = threading.Lock()  # render_stats comes from the render engine's thread

    def say(self, event, **fields):
        # A name that is no UTF-8 comes from Blender as lone surrogates, which JSON cannot carry.
        line = (json.dumps(dict(fields, event=event), ensure_ascii=False) + "\n").encode("utf-8", "replace")
        with self.lock:
            while line:
                line = line[os.write(self.descriptor, line):]


class Warnings:
    def __init__(self):
        self.lines = []

    def add(self, text):
        if text not in self.lines:
            self.lines.append(text)

    def add_each(self, what, names):
        """One line a name, the rest counted."""
        names = sorted(set(names))
        for name in names[:5]:
            self.add(what.format(name))
        if len(names) > 5:
            self.add("%s; and %d more" % (what.format(names[5]), len(names) - 6))

    def take(self):
        lines, self.lines = self.lines[:MAX_WARNINGS], []
        return lines


def version_text(version):
    return ".".join(str(part) for part in version)


def this_blender():
    return "Blender " + version_text(bpy.app.version)


def blender_says(error):
    """The sentence in an operator's RuntimeError: "Error: Cannot render, no camera\\n"."""
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(re.sub(r"^Error: ", "", line) for line in lines if line)


# ---- which files a scene refers to ---------------------------------------------------------------------


def path_slots():
    """Every (owner, attribute) of the open scene that holds the path of a file or a folder to read."""
    collections = (("images", "filepath"), ("sounds", "filepath"), ("fonts", "filepath"),
                   ("movieclips", "filepath"), ("cache_files", "filepath"), ("volumes", "filepath"))
    for name, attribute in collections:
        for block in getattr(bpy.data, name, ()):
            yield block, attribute
    for owner in bpy.data.objects:
        for modifier in owner.modifiers:
            if modifier.type == "FLUID" and modifier.domain_settings:
                yield modifier.domain_settings, "cache_directory"
            elif modifier.type in ("MESH_CACHE", "OCEAN"):
                yield modifier, "filepath"
            elif hasattr(modifier, "point_cache"):
                yield modifier.point_cache, "filepath"
        for particles in owner.particle_systems:
            yield particles.point_cache, "filepath"
    for tree in [m.node_tree for m in bpy.data.materials if m.node_tree] + \
                [w.node_tree for w in bpy.data.worlds if w.node_tree] + \
                [l.node_tree for l in bpy.data.lights if l.node_tree] + list(bpy.data.node_groups):
        for node in tree.nodes:
            if node.bl_idname in ("ShaderNodeTexIES", "ShaderNodeScript"):
                yield node, "filepath"
    for scene in bpy.data.scenes:
        for strip in strips(scene):
            if strip.type == "IMAGE":
                yield strip, "directory"
            elif strip.type == "MOVIE":
                yield strip, "filepath"


def strips(scene):
    """versions: 4.4 renamed sequences to strips."""
    editor = scene.sequence_editor
    if not editor:
        return []
    return list(getattr(editor, "strips_all", None) or getattr(editor, "sequences_all", ()))


def strip_file(strip):
    if strip.type == "IMAGE" and len(strip.elements):
        return bpy.path.abspath(os.path.join(strip.directory, strip.elements[0].filename))
    return bpy.path.abspath(strip.filepath) if strip.type == "MOVIE" else ""


def plain_path(path):
    return re.sub(r"/+", "/", path.replace("\\", "/"))


class Mapper:
    """Points absolute paths of the scene at this box's copies.

    A path is looked up as written, then as a folder above mapped files: image sequences, UDIM tiles and
    caches name files by pattern, so only their folder is known.
    """

    def __init__(self, mappings):
        self.files, self.folders = {}, {}
        for one in mappings:
            source, target = plain_path(one["from"]), one["to"]
            self.files[source] = target
            if os.path.basename(source) != os.path.basename(target):
                continue
            # Upwards while both sides agree on the folder's name, so that a folder can stand for its files.
            source, target = os.path.dirname(source.rstrip("/")), os.path.dirname(target)
            while len(source) > 1 and source not in self.folders:
                self.folders[source] = target
                if os.path.basename(source) != os.path.basename(target):
                    break
                source, target = os.path.dirname(source), os.path.dirname(target)

    def find(self, path):
        path = plain_path(path)
        if path in self.files:
            return self.files[path]
        if path.rstrip("/") in self.folders:
            return self.folders[path.rstrip("/")] + ("/" if path.endswith("/") else "")
        folder = self.folders.get(os.path.dirname(path))
        return folder and os.path.join(folder, os.path.basename(path))

    def apply(self):
        if not self.files:
            return
        # A library brings others with it once it is found: as many rounds as they are nested.
        for _ in range(16):
            moved = [(lib, to) for lib in bpy.data.libraries
                     for to in [self.find(lib.filepath)] if to and lib.filepath != to]
            for library, to in moved:
                library.filepath = to
                library.reload()
            if not moved:
                break
        for owner, attribute in path_slots():
            path = getattr(owner, attribute, "")
            to = path and self.find(path)
            if to and to != path:
                try:
                    setattr(owner, attribute, to)
                except AttributeError:  # linked data is read-only: its library's paths are the library's matter
                    continue
                if isinstance(owner, bpy.types.Image):
                    owner.reload()


def exists_for(path, library):
    """Whether a file for that path is there; a pattern (UDIM tiles, <UVTILE>) counts when its folder is."""
    found = bpy.path.abspath(path, library=library)
    return os.path.isdir(os.path.dirname(found)) if "<" in os.path.basename(found) else os.path.exists(found)


def missing_libraries():
    return [bpy.path.abspath(lib.filepath, library=lib.parent) for lib in bpy.data.libraries
            if not getattr(lib, "packed_file", None)
            and not os.path.exists(bpy.path.abspath(lib.filepath, library=lib.parent))]


def warn_of_missing_files(warnings):
    images = [i for i in bpy.data.images
              if i.source in ("FILE", "SEQUENCE", "MOVIE", "TILED") and i.users and i.filepath and not i.packed_file
              and not (getattr(i, "packed_files", None) and len(i.packed_files))]
    warnings.add_each("missing texture {}: the picture shows pink in its place",
                      [bpy.path.abspath(i.filepath, library=i.library) for i in images
                       if not exists_for(i.filepath, i.library)])
    others = [b for name in ("fonts", "movieclips", "cache_files", "volumes") for b in getattr(bpy.data, name, ())
              if b.users and b.filepath and b.filepath != "<builtin>" and not getattr(b, "packed_file", None)]
    warnings.add_each("missing file {}: the picture lacks it",
                      [bpy.path.abspath(b.filepath, library=b.library) for b in others
                       if not exists_for(b.filepath, b.library)])
    if bpy.context.scene.render.use_sequencer:
        warnings.add_each("missing strip file {}: the picture lacks it",
                          [path for strip in strips(bpy.context.scene) for path in [strip_file(strip)]
                           if path and not strip.mute and not os.path.exists(path)])
    warnings.add_each("linked data is not in its library: {}",
                      ["%s of %s" % (block.name, block.library.filepath)
                       for name in ("objects", "collections", "meshes", "materials", "node_groups")
                       for block in getattr(bpy.data, name)
                       if block.library and getattr(block, "is_missing", False)
                       and os.path.exists(bpy.path.abspath(block.library.filepath, library=block.library.parent))])


# ---- what a scene needs ------------------------------------------------------------------------------------


def compositor(scene):
    """versions: the tree that runs after a render, or None. 5.0 moved it to compositing_node_group."""
    if not scene.render.use_compositing:
        return None
    if hasattr(scene, "compositing_node_group"):
        return scene.compositing_node_group
    return scene.node_tree if scene.use_nodes else None


def nodes_of(tree, seen=None):
    seen = seen if seen is not None else set()
    if tree is None or tree in seen:
        return
    seen.add(tree)
    for node in tree.nodes:
        if node.mute:
            continue
        yield node
        if getattr(node, "node_tree", None):
            yield from nodes_of(node.node_tree, seen)


def check_camera(scene):
    if scene.camera or any(marker.camera for marker in scene.timeline_markers):
        return
    if scene.render.use_sequencer and strips(scene):
        return
    tree = compositor(scene)
    if tree and not any(node.bl_idname == "CompositorNodeRLayers" for node in nodes_of(tree)):
        return
    raise Failed("no-camera", "scene '%s' has no camera: add one and make it the scene's active camera, or bind "
                              "one to a timeline marker" % scene.name)


def image_formats(settings):
    return [item.identifier for item in settings.bl_rna.properties["file_format"].enum_items
            if item.identifier not in MOVIE_FORMATS]


def set_format(settings, wanted):
    """versions: 5.0 splits formats by media_type and refuses one of another type."""
    if hasattr(settings, "media_type"):
        settings.media_type = "MULTI_LAYER_IMAGE" if wanted == "OPEN_EXR_MULTILAYER" else "IMAGE"
    settings.file_format = wanted


def choose_format(scene, wanted, warnings):
    settings = scene.render.image_settings
    known = image_formats(settings)
    current = settings.file_format
    if wanted:
        if wanted not in known:
            raise Failed("bad-format", "format %s cannot be written by %s: use one of %s"
                         % (wanted, this_blender(), ", ".join(known)))
        set_format(settings, wanted)
    elif current in MOVIE_FORMATS:
        set_format(settings, "PNG")
        warnings.add("the scene's output is a film (%s): rendered as PNG frames instead" % current)
    elif current not in known:
        raise Failed("bad-format", "the scene's output format is not known to %s: choose one of %s"
                     % (this_blender(), ", ".join(known)))


def unbaked(scene):
    """Names of what is simulated from frame to frame without being baked: it depends on the frames before."""
    if scene.rigidbody_world and scene.rigidbody_world.enabled and scene.rigidbody_world.collection \
            and len(scene.rigidbody_world.collection.objects) and not scene.rigidbody_world.point_cache.is_baked:
        yield "the rigid body world"
    for owner in scene.objects:
        if owner.hide_render:
            continue
        for modifier in owner.modifiers:
            if not modifier.show_render:
                continue
            cache = getattr(modifier, "point_cache", None)
            if modifier.type in ("CLOTH", "SOFT_BODY") and cache and not (cache.is_baked or cache.use_external):
                yield "%s on %s" % (modifier.type.lower().replace("_", " "), owner.name)
            elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN" and modifier.domain_settings \
                    and not (modifier.domain_settings.has_cache_baked_data
                             or modifier.domain_settings.has_cache_baked_any):
                yield "fluid on %s" % owner.name
            elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings \
                    and any(not s.point_cache.is_baked for s in modifier.canvas_settings.canvas_surfaces):
                yield "dynamic paint on %s" % owner.name
            elif modifier.type == "NODES" and modifier.node_group and unbaked_zone(modifier):
                yield "simulation nodes on %s" % owner.name
        for particles in owner.particle_systems:
            dynamic = particles.use_hair_dynamics if particles.settings.type == "HAIR" else \
                particles.settings.physics_type not in ("NO", "KEYED")
            if dynamic and not (particles.point_cache.is_baked or particles.point_cache.use_external):
                yield "particles %s on %s" % (particles.name, owner.name)


def unbaked_zone(modifier):
    """versions: simulation zones came with 3.6, per-zone bakes with 4.1."""
    if not any(node.bl_idname == "GeometryNodeSimulationOutput" for node in nodes_of(modifier.node_group)):
        return False
    bakes = getattr(modifier, "bakes", ())
    return not bakes or any(not bpy.path.abspath(b.directory or modifier.bake_directory)
                            or not os.path.isdir(bpy.path.abspath(b.directory or modifier.bake_directory))
                            for b in bakes)


def can_keep_data(scene, simulated):
    """Whether use_persistent_data leaves every pixel as `blender -a` makes it. Measured: ../README.md."""
    return scene.render.engine == "CYCLES" and not simulated \
        and not any(o.particle_systems or any(m.type == "FLUID" for m in o.modifiers) for o in bpy.data.objects)


def denoiser_built():
    """versions: the flag has been there since 2.81; a build that lost it is taken to have the denoiser."""
    try:
        import _cycles
        return bool(getattr(_cycles, "with_openimagedenoise", True))
    except ImportError:
        return True


def turn_off_denoiser(scene, warnings):
    scene.cycles.use_denoising = False
    warnings.add("this box's %s is built without OpenImageDenoise: rendered without denoising" % this_blender())


def choose_denoiser(scene, warnings):
    if denoiser_built():
        return
    if scene.render.engine == "CYCLES" and scene.cycles.use_denoising:
        turn_off_denoiser(scene, warnings)
    if any(node.bl_idname == "CompositorNodeDenoise" for node in nodes_of(compositor(scene))):
        warnings.add("this box's %s is built without OpenImageDenoise: the compositor's Denoise node does nothing"
                     % this_blender())


def cycles_preferences():
    try:
        return bpy.context.preferences.addons["cycles"].preferences
    except KeyError:
        return None


def enable_gpus():
    """--factory-startup forgets which GPUs the user enabled: enable every one of the first type that works."""
    preferences = cycles_preferences()
    for kind in GPU_ORDER if preferences else ():
        try:
            preferences.compute_device_type = kind
        except TypeError:  # not in this build
            continue
        # versions: 3.x renamed get_devices to refresh_devices.
        getattr(preferences, "refresh_devices", None) and preferences.refresh_devices() or preferences.get_devices()
        if any(device.type == kind for device in preferences.devices):
            for device in preferences.devices:
                device.use = device.type == kind
            return True
    return False


def no_gpu(why):
    return Failed("no-gpu", "the job asks for a GPU, and %s: the scene is not rendered on this box's CPU instead" % why,
                  "attempt")


def check_gpu(scene):
    """What a frame is going to be rendered on, asked again before each: a scene's script may have changed it."""
    if scene.render.engine != "CYCLES":
        check_drawing_gpu(scene.render.engine)
        return
    preferences = cycles_preferences()
    kind = preferences.compute_device_type if preferences else "NONE"
    enabled = [device.type for device in preferences.devices if device.use] if preferences else []
    if kind == "NONE" or not enabled:
        raise no_gpu("%s finds none on this box that Cycles can use" % this_blender())
    if scene.cycles.device != "GPU" or kind not in enabled or "CPU" in enabled:
        raise no_gpu("Cycles is set to the %s" % ("CPU" if scene.cycles.device != "GPU" else ", ".join(sorted(set(enabled)))))


def drawing_gpu():
    """Who draws for EEVEE and Workbench; "" where Blender does not say, as 3.x in the background."""
    try:
        import gpu
        return gpu.platform.renderer_get()
    except (ImportError, AttributeError, SystemError, RuntimeError):
        return ""


def check_drawing_gpu(engine):
    name = drawing_gpu()
    if any(word in name.lower() for word in ("llvmpipe", "softpipe", "swrast", "software")):
        raise no_gpu("%s draws in software here (%s)" % (engine, name))


def choose_device(scene, wanted, warnings):
    if wanted == "gpu":
        if scene.render.engine == "CYCLES":
            enable_gpus()
            scene.cycles.device = "GPU"
        elif not drawing_gpu():
            warnings.add("the job asks for a GPU; whether %s has one here, %s does not say"
                         % (scene.render.engine, this_blender()))
        check_gpu(scene)
        return
    if scene.render.engine != "CYCLES":
        return
    if wanted == "cpu":
        scene.cycles.device = "CPU"
    if scene.cycles.device != "GPU" or enable_gpus():
        return
    scene.cycles.device = "CPU"
    warnings.add("the scene asks for a GPU and %s finds none on this box: rendered on the CPU" % this_blender())


# ---- where pictures go --------------------------------------------------------------------------------------


def relative_output(path, is_folder=False):
    """A scene's output path as a path below the job's output folder.

    `//render/shot_####` keeps its folders; of an absolute path only the last part stays (its folders are
    another machine's); `..` and control characters go. "" or a folder: names are the frame number alone.
    """
    path = path.encode("utf-8", "replace").decode()
    absolute = path[:1] in ("/", "\\") and path[:2] != "//" or re.match(r"[A-Za-z]:", path)
    parts = plain_path(path).split("/")
    if absolute:
        parts = [part for part in parts if part][-1:] if is_folder else parts[-1:]
    folders, name = (parts, "") if is_folder else (parts[:-1], parts[-1])
    folders = [folder for folder in folders if folder not in ("", ".", "..")]
    name = "" if name in (".", "..") else name
    return re.sub(r"[\x00-\x1f\x7f]", "_", "/".join(folders + [name]))


def size_of(scene):
    """Pixels of the picture that Blender is going to write, as render_init_from_main() counts them."""
    render = scene.render
    width = render.resolution_x * render.resolution_percentage // 100
    height = render.resolution_y * render.resolution_percentage // 100
    if render.use_border and render.use_crop_to_border:
        width = int(render.border_max_x * width) - int(render.border_min_x * width)
        height = int(render.border_max_y * height) - int(render.border_min_y * height)
    return width, height


def redirect_file_outputs(scene, folder, warnings):
    """File Output nodes write beside the picture: below `folder`, under the paths they name."""
    for node in nodes_of(compositor(scene)):
        if node.bl_idname != "CompositorNodeOutputFile":
            continue
        if hasattr(node, "directory"):  # versions: 5.0
            node.directory = os.path.join(folder, relative_output(node["kiln_path"], is_folder=True))
        else:
            layered = node.format.file_format == "OPEN_EXR_MULTILAYER"  # there the path names a file
            node.base_path = os.path.join(folder, relative_output(node["kiln_path"], is_folder=not layered))
            for slot in node.file_slots:
                slot.path = relative_output("//" + slot.path)
        if getattr(node, "format", None) and node.format.file_format in MOVIE_FORMATS:
            warnings.add("the compositor's node '%s' writes a film, which frames rendered apart cannot" % node.name)


def remember_file_outputs(scene):
    for node in nodes_of(compositor(scene)):
        if node.bl_idname == "CompositorNodeOutputFile":
            node["kiln_path"] = node.directory if hasattr(node, "directory") else node.base_path


def expected_files(scene, frame):
    """Paths of the pictures themselves, one a view. Stereo in one file changes the size: not checked then."""
    render = scene.render
    if render.use_multiview and render.image_settings.views_format == "INDIVIDUAL":
        views = [view.name for view in render.views if view.use]
        if render.views_format == "STEREO_3D":
            views = [view for view in views if view in ("left", "right")]
        return [render.frame_path(frame=frame, view=view) for view in views]
    return [render.frame_path(frame=frame)]


def decoded_size(path):
    """Loads the file back as Blender would. imbuf leaves the scene alone, so data kept between frames stays."""
    import imbuf
    try:
        picture = imbuf.load(path)
        size = tuple(picture.size)
        picture.free()
        return size
    except (OSError, ValueError, RuntimeError) as error:
        raise Failed("frame-invalid", "%s was written but cannot be read back: %s"
                     % (os.path.basename(path), blender_says(error)), "attempt")


# ---- what a single frame is asked to be ----------------------------------------------------------------------

# What `--set NAME=VALUE` may change: what makes another picture of the same scene, nothing that runs or writes.
SETTABLE = ("cycles.samples", "cycles.seed", "cycles.use_denoising", "cycles.use_adaptive_sampling",
            "cycles.adaptive_threshold", "cycles.time_limit", "eevee.taa_render_samples",
            "render.dither_intensity", "render.resolution_percentage", "render.resolution_x", "render.resolution_y",
            "render.film_transparent", "render.use_motion_blur", "render.use_compositing", "render.use_sequencer",
            "render.image_settings.color_mode", "render.image_settings.color_depth",
            "render.image_settings.compression", "render.image_settings.exr_codec")
SHORT = {"resolution_percentage": "render.resolution_percentage", "samples": "cycles.samples",
         "seed": "cycles.seed", "dither_intensity": "render.dither_intensity"}


def bad_setting(text):
    return Failed("bad-setting", text)


def convert(name, now, text):
    """The text as what the setting holds now."""
    try:
        if isinstance(now, bool):
            return {"true": True, "1": True, "false": False, "0": False}[text.lower()]
        return type(now)(text)
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(now), "a text")
        raise bad_setting("%s=%s: must be %s" % (name, text, kind))


def check_names(overrides):
    for name in overrides:
        if SHORT.get(name, name) not in SETTABLE:
            raise bad_setting("'%s' cannot be set: use one of %s" % (name, ", ".join(SETTABLE)))


class Changes:
    """Settings of the scene for a while: undone in reverse."""

    def __init__(self, scene):
        self.scene, self.undo = scene, []

    def set(self, name, value):
        owner, _, attribute = name.rpartition(".")
        holder = self.scene
        for part in owner.split("."):
            holder = getattr(holder, part, None)
        if not hasattr(holder, attribute):
            raise bad_setting("'%s' is not known to %s" % (name, this_blender()))
        now = getattr(holder, attribute)
        if isinstance(value, str) and not isinstance(now, str):
            value = convert(name, now, value)
        try:
            setattr(holder, attribute, value)
        except (TypeError, ValueError) as error:
            raise bad_setting("%s=%s: %s" % (name, value, blender_says(error)))
        self.undo.append((holder, attribute, now))

    def back(self):
        while self.undo:
            holder, attribute, value = self.undo.pop()
            with contextlib.suppress(ReferenceError):  # a script opened another file: nothing to restore
                setattr(holder, attribute, value)


@contextlib.contextmanager
def settings_for(scene, settings):
    """border, samples, sample_offset, set: as the agent's render_request.h has them."""
    changes = Changes(scene)
    try:
        cycles = scene.render.engine == "CYCLES"
        border = settings.get("border")
        if border:
            # The bounds go first to where any value fits: each pushes against the other.
            for name, value in (("min_x", 0.0), ("max_x", 1.0), ("min_y", 0.0), ("max_y", 1.0)):
                changes.set("render.border_" + name, value)
            for name, value in zip(("min_x", "max_x", "min_y", "max_y"), border):
                changes.set("render.border_" + name, float(value))
            changes.set("render.use_border", True)
            changes.set("render.use_crop_to_border", True)
        if settings.get("samples") is not None:
            changes.set("cycles.samples" if cycles else "eevee.taa_render_samples", int(settings["samples"]))
        if settings.get("sample_offset") is not None:
            if not cycles:
                raise bad_setting("--sample-offset needs Cycles; the scene's engine is %s" % scene.render.engine)
            # Parts of a picture's samples can only be put together where every pixel has as many, unfiltered.
            changes.set("cycles.use_adaptive_sampling", False)
            changes.set("cycles.use_denoising", False)
            changes.set("cycles.sample_offset", int(settings["sample_offset"]))
        overrides = settings.get("set") or {}
        check_names(overrides)
        for name, value in sorted(overrides.items()):
            changes.set(SHORT.get(name, name), value)
        yield
    finally:
        changes.back()


# ---- the commands ----------------------------------------------------------------------------------------


class Session:
    def __init__(self, answers):
        self.answers = answers
        self.warnings = Warnings()
        self.is_open = False
        self.output = ""
        self.autoexec = False
        self.device = "any"
        self.stats_at = 0.0

    def open(self, path, mappings, autoexec, format, device, keep_data):
        self.is_open = False
        if not os.path.isfile(path):
            raise Failed("missing-scene", "the job's files hold no scene %s" % path)
        bpy.app.handlers.render_stats[:] = []
        try:
            bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=autoexec)
        except RuntimeError as error:
            raise Failed("bad-scene", "the scene cannot be opened by %s: %s" % (this_blender(), blender_says(error)))
        # A failed open leaves the scene from before.
        if not bpy.data.filepath or not os.path.samefile(bpy.data.filepath, path):
            raise Failed("bad-scene", "the scene cannot be opened by %s: %s is still open"
                         % (this_blender(), bpy.data.filepath or "no scene"))
        scene, warnings = bpy.context.scene, self.warnings
        Mapper(mappings).apply()
        missing = missing_libraries()
        if missing:
            raise Failed("missing-library", "the scene links %s, which is not among the job's files%s: submit the "
                         "job again with the library in place"
                         % (missing[0], " (and %d more)" % (len(missing) - 1) if missing[1:] else ""))
        warn_of_missing_files(warnings)
        choose_format(scene, format, warnings)
        check_camera(scene)
        choose_denoiser(scene, warnings)
        choose_device(scene, device, warnings)
        simulated = list(unbaked(scene))
        warnings.add_each("{} is not baked: right only when the frames before were rendered in order on the same box; "
                          "bake it", simulated)
        self.check_scripts(autoexec)
        self.autoexec = autoexec
        self.device = device

        render = scene.render
        render.use_overwrite, render.use_placeholder = True, False
        render.use_render_cache = False
        if keep_data and can_keep_data(scene, simulated):
            render.use_persistent_data = True
        self.output = render.filepath
        remember_file_outputs(scene)
        bpy.app.handlers.render_stats.append(self.stats_handler())
        self.is_open = True
        self.answers.say(
            "opened", scene=scene.name, engine=render.engine, format=render.image_settings.file_format,
            width=size_of(scene)[0], height=size_of(scene)[1], percent=render.resolution_percentage,
            first=scene.frame_start, last=scene.frame_end, step=scene.frame_step, output=self.output,
            keeps_data=render.use_persistent_data, warnings=warnings.take())

    def check_scripts(self, autoexec):
        if not autoexec and bpy.app.autoexec_fail:
            self.warnings.add("the scene's own scripts were not run (%s): submit with --autoexec if the picture needs "
                              "them and you trust the file" % bpy.app.autoexec_fail_message)

    def stats_handler(self):
        """versions: 4.0 and later pass the status line; before, it is only on stdout."""
        @persistent
        def stats(*arguments):
            now = time.monotonic()
            text = next((a for a in arguments if isinstance(a, str)), "")
            if text and now - self.stats_at >= STATS_INTERVAL_S:
                self.stats_at = now
                self.answers.say("stats", text=text[:500])
        return stats

    def render(self, frame, folder, settings=None):
        if not self.is_open:
            raise Failed("render-failed", "no scene is open", "attempt")
        scene = bpy.context.scene
        settings = settings or {}
        with settings_for(scene, settings):
            self.render_as_set(scene, frame, folder, settings.get("name") or self.output)

    def render_as_set(self, scene, frame, folder, output):
        warnings = self.warnings
        if self.device == "gpu":
            check_gpu(scene)
        render = scene.render
        render.filepath = os.path.join(folder, relative_output(output))
        redirect_file_outputs(scene, folder, warnings)
        expected = expected_files(scene, frame)
        for path in expected:
            if os.path.exists(path):
                os.unlink(path)
        started = time.monotonic()
        try:
            self.write_frame(scene, frame, expected)
        except RuntimeError as error:
            said = blender_says(error)
            if "OpenImageDenois" not in said and "to denoise" not in said or not scene.cycles.use_denoising:
                raise render_failure(said)
            turn_off_denoiser(scene, warnings)
            try:
                self.write_frame(scene, frame, expected)
            except RuntimeError as again:
                raise render_failure(blender_says(again))
        seconds = time.monotonic() - started
        self.check_scripts(self.autoexec)

        one_file_stereo = render.use_multiview and render.image_settings.views_format == "STEREO_3D"
        files = []
        for path in expected:
            if not os.path.isfile(path):
                raise Failed("frame-invalid", "Blender says that it rendered frame %d but wrote no %s"
                             % (frame, os.path.relpath(path, folder)), "attempt")
            size = size_of(scene)
            if render.image_settings.file_format == "OPEN_EXR_MULTILAYER":
                # imbuf refuses these; the agent checks the structure. A border's size is not known to a pixel.
                size = (0, 0) if render.use_border else size
            else:
                got = decoded_size(path)
                if not one_file_stereo and not same_size(got, size, render.use_border):
                    raise Failed("frame-invalid", "frame %d is %dx%d, not %dx%d as the scene says"
                                 % ((frame,) + got + size), "attempt")
                size = got
            files.append({"path": os.path.relpath(path, folder), "main": True, "width": size[0], "height": size[1]})
        taken = set(expected)
        for where, _, names in sorted(os.walk(folder)):
            found = [os.path.join(where, name) for name in sorted(names)]
            files += [{"path": os.path.relpath(path, folder), "main": False, "width": 0, "height": 0}
                      for path in found if path not in taken]
        self.answers.say("rendered", frame=frame, seconds=seconds, files=files, warnings=warnings.take())

    def script(self, path, arguments, frames, folder, with_scene, settings):
        """A file of the template, with the scene open; sys.argv as `blender scene -P path -- arguments` has it."""
        self.is_open = False  # whatever comes of it
        if not os.path.isfile(path):
            raise Failed("script-failed", "there is no script %s" % path)
        if not with_scene:
            bpy.ops.wm.read_factory_settings(use_empty=True)
        before, sys.argv = sys.argv, ["blender", bpy.data.filepath, "-P", path, "--"] + arguments
        sys.path.insert(0, os.path.dirname(path))
        sys.stdout.reconfigure(line_buffering=True)  # what it prints is heard as it is printed
        try:
            with settings_for(bpy.context.scene, settings):
                runpy.run_path(path, {"kiln_output": folder, "kiln_frames": frames}, "__main__")
        except SystemExit as left:
            if left.code not in (None, 0):
                raise Failed("script-failed", "%s ended with %s" % (os.path.basename(path), left.code), "attempt")
        except Exception as error:
            traceback.print_exc()
            lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
            where = "%s, line %d" % (os.path.basename(path), lines[-1]) if lines else os.path.basename(path)
            raise Failed("script-failed", "%s: %s: %s" % (where, type(error).__name__, error), "attempt")
        finally:
            sys.argv = before
            sys.path.remove(os.path.dirname(path))
        self.answers.say("ran", warnings=self.warnings.take())

    @staticmethod
    def write_frame(scene, frame, expected):
        """As `blender -a` does it, one frame long: then unbaked simulations step on as they do there.

        An animation cannot start below 0, so negative frames go as stills.
        """
        if frame >= 0:
            first, last = scene.frame_start, scene.frame_end
            # Each pushes the other ahead of itself; the end goes first when moving on.
            scene.frame_end, scene.frame_start = frame, frame
            scene.frame_end = frame
            try:
                bpy.ops.render.render(animation=True)
            finally:
                scene.frame_start, scene.frame_end = first, last
            return
        scene.frame_set(frame)
        output, scene.render.filepath = scene.render.filepath, expected[0]
        try:
            bpy.ops.render.render(write_still=True)
        finally:
            scene.render.filepath = output


def same_size(got, want, may_round):
    """Blender computes a border's pixels in single precision: one may be lost or won."""
    slack = 1 if may_round else 0
    return abs(got[0] - want[0]) <= slack and abs(got[1] - want[1]) <= slack


def render_failure(said):
    low = said.lower()
    if "no camera" in low:
        return Failed("no-camera", "Blender says: %s; add a camera and make it the scene's active one" % said)
    if "no space left" in low:
        return Failed("disk-full", "no space left for the picture on this box: %s" % said, "attempt")
    if "out of memory" in low or "failed to allocate" in low or "out of gpu" in low:
        return Failed("out-of-memory", "not enough memory for this frame on this box: %s" % said, "attempt")
    if "layers are disabled" in low or "no render layer" in low or "node tree" in low and "no composite" in low:
        return Failed("render-failed", "Blender renders nothing: %s" % said)
    return Failed("render-failed", "Blender says: %s" % said, "attempt")


def main():
    answers = Answers(int(sys.argv[sys.argv.index("--") + 1]))
    session = Session(answers)
    answers.say("ready", version=version_text(bpy.app.version), pid=os.getpid())
    commands = {"open": session.open, "render": session.render, "script": session.script}
    for line in sys.stdin.buffer:
        command = json.loads(line.decode())
        name = command.pop("command")
        if name == "quit":
            break
        try:
            commands[name](**command)
        except Failed as failed:
            answers.say("failed", code=failed.code, message=failed.message, scope=failed.scope,
                        warnings=session.warnings.take())
        except MemoryError:
            answers.say("failed", code="out-of-memory", message="Blender ran out of memory on this box",
                        scope="attempt", warnings=session.warnings.take())
        except OSError as error:
            full = error.errno == 28  # ENOSPC
            answers.say("failed", code="disk-full" if full else "render-failed", message=str(error), scope="attempt",
                        warnings=session.warnings.take())
        except Exception as error:  # whatever a scene provokes must not end the process without an answer
            answers.say("failed", code="render-failed", message="%s: %s" % (type(error).__name__, error),
                        scope="attempt", warnings=session.warnings.take())
    os._exit(0)  # at once: Blender's own way out frees the scene piece by piece


if __name__ == "__main__":
    main()
