"""Makes Kiln's sample scene: a wood-fired kiln at dusk and a fluted vase on the wheel, 24 frames that loop.

    blender -b --factory-startup -P make_sample.py -- OUT.blend

Everything is procedural and drawn from one seed, so every machine makes the same scene. It renders with Cycles
on a CPU, fast and without a denoiser, so grain is avoided where it would arise: two lights, no bounced light, no
caustics, emitters that only the camera and mirrors see, and the fire's bloom painted on the wall.
"""

import math
import random
import sys

import bpy
import mathutils

FRAMES = 24
FLUTES = 10  # the vase is FLUTES-fold symmetric, so a turn by 360/FLUTES degrees closes the loop
WIDTH, HEIGHT, SAMPLES = 480, 270, 8

rng = random.Random(1240)  # stoneware matures at about 1240 C


# ---- building blocks -------------------------------------------------------------------------------------


def material(name, color=(0.8, 0.8, 0.8), roughness=0.5, metallic=0.0, specular=0.5):
    mat = bpy.data.materials.new(name)
    mat.use_nodes = True
    bsdf = mat.node_tree.nodes["Principled BSDF"]
    bsdf.inputs["Base Color"].default_value = (*color, 1)
    bsdf.inputs["Roughness"].default_value = roughness
    bsdf.inputs["Metallic"].default_value = metallic
    bsdf.inputs["Specular"].default_value = specular
    return mat


class Nodes:
    """A material's node tree, written as calls: out = n("ShaderNodeMath", operation="ADD")."""

    def __init__(self, mat):
        mat.use_nodes = True
        self.tree = mat.node_tree
        self.bsdf = self.tree.nodes.get("Principled BSDF")

    def __call__(self, kind, inputs=None, **settings):
        node = self.tree.nodes.new(kind)
        for key, value in settings.items():
            setattr(node, key, value)
        for key, value in (inputs or {}).items():
            if isinstance(value, bpy.types.NodeSocket):
                self.tree.links.new(value, node.inputs[key])
            else:
                node.inputs[key].default_value = value
        return node

    def ramp(self, fac, stops):
        node = self("ShaderNodeValToRGB", {"Fac": fac})
        ramp = node.color_ramp
        while len(ramp.elements) < len(stops):
            ramp.elements.new(0.5)
        for element, (position, color) in zip(ramp.elements, stops):
            element.position = position
            element.color = (*color, 1)
        return node.outputs["Color"]

    def math(self, operation, *values):
        return self("ShaderNodeMath", dict(enumerate(values)), operation=operation).outputs["Value"]

    def vector(self, operation, *values):
        node = self("ShaderNodeVectorMath", dict(enumerate(values)), operation=operation)
        return node.outputs["Value" if operation in {"LENGTH", "DISTANCE"} else "Vector"]

    def map(self, value, given, wanted, **settings):
        """From one range to another: map(x, (0, 1), (0.2, 0.8))."""
        ends = {"From Min": given[0], "From Max": given[1], "To Min": wanted[0], "To Max": wanted[1]}
        return self("ShaderNodeMapRange", {"Value": value, **ends}, **settings).outputs["Result"]

    def set(self, key, socket):
        self.tree.links.new(socket, self.bsdf.inputs[key])

    def surface(self, socket):
        output = self.tree.nodes.get("Material Output")
        self.tree.links.new(socket, output.inputs["Surface"])


def add(name, mesh, mat=None, location=(0, 0, 0), rotation=(0, 0, 0), scale=(1, 1, 1), parent=None):
    obj = bpy.data.objects.new(name, mesh)
    obj.location, obj.rotation_euler, obj.scale = location, rotation, scale
    obj.parent = parent
    bpy.context.scene.collection.objects.link(obj)
    if mat and not mesh.materials:
        mesh.materials.append(mat)
    return obj


def mesh_of(name, vertices, faces, smooth=False):
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(vertices, [], faces)
    if smooth:
        mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    mesh.update()
    return mesh


def lathe(name, profile, segments=48, radius=None):
    """A surface of revolution from (r, z) points; radius(r, z, angle) may bend it."""
    radius = radius or (lambda r, z, angle: r)
    vertices, faces = [], []
    for r, z in profile:
        for s in range(segments):
            angle = 2 * math.pi * s / segments
            bent = radius(r, z, angle)
            vertices.append((bent * math.cos(angle), bent * math.sin(angle), z))
    for row in range(len(profile) - 1):
        for s in range(segments):
            a, b = row * segments + s, row * segments + (s + 1) % segments
            faces.append((a, b, b + segments, a + segments))
    return mesh_of(name, vertices, faces, smooth=True)


def spline(points, steps):
    """Catmull-Rom through (r, z) points."""
    padded = [points[0], *points, points[-1]]
    out = []
    for i in range(1, len(padded) - 2):
        p0, p1, p2, p3 = padded[i - 1 : i + 3]
        for k in range(steps):
            t = k / steps
            out.append(
                tuple(
                    0.5
                    * (
                        2 * b
                        + (c - a) * t
                        + (2 * a - 5 * b + 4 * c - d) * t * t
                        + (3 * b - a - 3 * c + d) * t**3
                    )
                    for a, b, c, d in zip(p0, p1, p2, p3)
                )
            )
    return [*out, points[-1]]


def block(name, x, y, z, bevel=0.012):
    """A brick with broken edges."""
    import bmesh

    bm = bmesh.new()
    bmesh.ops.create_cube(bm, size=1)
    bmesh.ops.scale(bm, vec=(x, y, z), verts=bm.verts)
    bmesh.ops.bevel(bm, geom=bm.edges, offset=bevel, segments=2, affect="EDGES")
    mesh = bpy.data.meshes.new(name)
    bm.to_mesh(mesh)
    bm.free()
    return mesh


def every_frame(owner, path, value, index=-1):
    """Keys value(t), t in [0, 1] over the loop, at every frame; the frame after the last equals the first."""
    for frame in range(1, FRAMES + 2):
        current = value((frame - 1) / FRAMES)
        if index >= 0:
            getattr(owner, path)[index] = current
        else:
            setattr(owner, path, current)
        owner.keyframe_insert(path, index=index, frame=frame)


def flicker(t):
    wave = lambda times, phase: math.sin(2 * math.pi * times * t + phase)
    return 1 + 0.07 * wave(2, 0.3) + 0.05 * wave(3, 1.9) + 0.03 * wave(7, 4.0)


def only_seen(obj, camera=True, glossy=False):
    """Takes an emitter out of the lighting, so that it costs no noise."""
    obj.visible_camera = camera
    obj.visible_glossy = glossy
    obj.visible_diffuse = obj.visible_transmission = obj.visible_volume_scatter = obj.visible_shadow = False


# ---- the kiln --------------------------------------------------------------------------------------------

ARCH_X, ARCH_R, SPRING, WALL_Y = 0.62, 0.92, 0.78, 1.35  # the opening's axis, radius, straight part, front


class Masonry:
    """Bricks collected into one mesh: a renderer walks it faster than hundreds of objects."""

    def __init__(self):
        self.vertices, self.faces, self.colors = [], [], []

    def lay(self, size, location, tilt=(0.0, 0.0), color=None, bevel=0.012):
        """One brick of that size with broken edges; tilt is its turn about Y, then Z, in radians."""
        x, y, z = (s / 2 for s in size)
        color = color or rng.choice(BRICKS)
        shade = rng.uniform(0.8, 1.2)
        turn = mathutils.Matrix.Rotation(tilt[1], 3, "Z") @ mathutils.Matrix.Rotation(tilt[0], 3, "Y")
        first = len(self.vertices)
        # The front face inset by the bevel, then the outline behind it, then the back: 12 corners, 9 faces.
        corners = [(sx * (x - bevel), -y, sz * (z - bevel)) for sx, sz in SQUARE]
        corners += [(sx * x, -y + bevel, sz * z) for sx, sz in SQUARE]
        corners += [(sx * x, y, sz * z) for sx, sz in SQUARE]
        for corner in corners:
            self.vertices.append(turn @ mathutils.Vector(corner) + mathutils.Vector(location))
            self.colors += (*(c * shade for c in color), 1.0)
        self.faces.append(tuple(first + i for i in range(4)))
        for ring in (0, 4):
            for i in range(4):
                j = (i + 1) % 4
                self.faces.append(tuple(first + ring + k for k in (i, i + 4, j + 4, j)))

    def mesh(self, name):
        mesh = mesh_of(name, self.vertices, self.faces)
        mesh.color_attributes.new("paint", "FLOAT_COLOR", "POINT").data.foreach_set("color", self.colors)
        return mesh


SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
BRICKS = (
    (0.11, 0.040, 0.026),
    (0.17, 0.062, 0.036),
    (0.20, 0.078, 0.045),
    (0.24, 0.105, 0.062),
    (0.075, 0.05, 0.045),
)
MORTAR = (0.028, 0.022, 0.02)


def brick_material():
    """Painted brick, and on it the bloom of the fire: light on a wall that costs no samples."""
    mat = material("brick", roughness=0.9, specular=0.0)
    n = Nodes(mat)
    where = n("ShaderNodeTexCoord").outputs["Object"]
    paint = n("ShaderNodeAttribute", attribute_name="paint").outputs["Color"]
    grain = n("ShaderNodeTexNoise", {"Vector": where, "Scale": 16.0, "Detail": 1.0}).outputs["Fac"]
    color = n.vector("MULTIPLY", paint, n.map(grain, (0.3, 0.7), (0.62, 1.3)))
    n.set("Base Color", color)
    far = n.vector("DISTANCE", where, (ARCH_X, WALL_Y, 0.95))
    fall = n.map(far, (0.6, 2.3), (1.0, 0.0), interpolation_type="SMOOTHERSTEP")
    fire = n("ShaderNodeValue").outputs["Value"]
    every_frame(fire, "default_value", lambda t: 0.85 * flicker(t))
    haze = n.vector("MULTIPLY", color, (1.0, 0.55, 0.22))
    n.set("Emission", n.vector("ADD", haze, (0.045, 0.012, 0.002)))
    n.set("Emission Strength", n.math("MULTIPLY", n.math("POWER", fall, 1.8), fire))
    mat.cycles.sample_as_light = False
    return mat


def build_kiln():
    wall = Masonry()
    rows, pitch = 24, 0.155
    for row in range(rows):
        z = 0.078 + row * pitch
        shift = 0.24 if row % 2 else 0.0
        for column in range(-11, 10):
            x = column * 0.48 + shift + 0.1
            # Cut to what lies outside the ring of the arch.
            low = max(0.0, z - 0.075 - SPRING)
            ring = math.sqrt(max(0.0, (ARCH_R + 0.275) ** 2 - low**2))
            left, right = x - 0.23 - ARCH_X, x + 0.23 - ARCH_X
            if ring > 0 and right > -ring and left < ring:
                left, right = (max(left, ring), right) if x > ARCH_X else (left, min(right, -ring))
            if right - left < 0.06:
                continue
            where = ((left + right) / 2 + ARCH_X, WALL_Y + 0.13 + rng.uniform(-0.018, 0.018), z)
            wall.lay((right - left, 0.26, 0.142), where, (0, rng.uniform(-0.012, 0.012)))
    # Behind the bricks: what shows in the joints. Two walls and a lintel leave the opening free.
    inner = ARCH_R + 0.06
    wall.lay((6, 0.2, 4), (ARCH_X - inner - 3, WALL_Y + 0.2, 2), color=MORTAR)
    wall.lay((6, 0.2, 4), (ARCH_X + inner + 3, WALL_Y + 0.2, 2), color=MORTAR)
    for side in (-1, 1):
        wall.lay((0.5, 0.2, 0.6), (ARCH_X + side * 1.0, WALL_Y + 0.2, SPRING + 0.95), color=MORTAR)
        wall.lay((0.5, 0.2, 0.3), (ARCH_X + side * 0.65, WALL_Y + 0.2, SPRING + 1.0), color=MORTAR)
    wall.lay((2.4, 0.2, 3), (ARCH_X, WALL_Y + 0.2, SPRING + ARCH_R + 0.11 + 1.5), color=MORTAR)

    # The ring of the arch and its jambs, standing a little proud of the wall.
    count, mid = 19, ARCH_R + 0.13
    for i in range(count):
        angle = math.pi * (i + 0.5) / count
        x, z = ARCH_X + mid * math.cos(angle), SPRING + mid * math.sin(angle)
        where = (x, WALL_Y + 0.08 + rng.uniform(-0.012, 0.012), z)
        wall.lay((0.27, 0.42, math.pi * mid / count * 0.94), where, (-angle, 0))
    for side in (-1, 1):
        for i in range(5):
            where = (ARCH_X + side * mid, WALL_Y + 0.08 + rng.uniform(-0.012, 0.012), 0.078 + i * pitch)
            wall.lay((0.27, 0.42, 0.145), where)
    add("wall", wall.mesh("wall"), brick_material())

    # The chamber: a vault of firebrick that glows hotter towards the fire below.
    outline = [(ARCH_R, -0.01), (ARCH_R, SPRING * 0.5)]
    outline += [(ARCH_R * math.cos(a), SPRING + ARCH_R * math.sin(a)) for a in [math.pi * k / 28 for k in range(29)]]
    outline += [(-ARCH_R, SPRING * 0.5), (-ARCH_R, -0.01)]
    depth, vertices, faces = 1.5, [], []
    for k in range(9):
        vertices += [(x, depth * k / 8, z) for x, z in outline]
    width = len(outline)
    for k in range(8):
        for i in range(k * width, (k + 1) * width - 1):
            faces.append((i, i + 1, i + width + 1, i + width))
    faces.append(tuple(range(8 * width, 9 * width)))
    vault = add("chamber", mesh_of("chamber", vertices, faces), None, (ARCH_X, WALL_Y + 0.1, 0))
    mat = material("chamber")
    vault.data.materials.append(mat)
    n = Nodes(mat)
    n.tree.nodes.remove(n.bsdf)
    where = n("ShaderNodeTexCoord")
    axes = n("ShaderNodeSeparateXYZ", {"Vector": where.outputs["Object"]})
    # Ripples of heat: a wave whose phase moves by whole turns, so the loop closes.
    ripple = n(
        "ShaderNodeTexWave",
        {"Vector": where.outputs["Object"], "Scale": 0.9, "Distortion": 7.0, "Detail": 2.0, "Detail Scale": 1.3},
        bands_direction="Z",
    )
    phase = ripple.inputs["Phase Offset"]
    for frame, turns in ((1, 0), (1 + FRAMES, 1)):
        phase.default_value = -2 * math.pi * turns
        phase.keyframe_insert("default_value", frame=frame)
    for curve in n.tree.animation_data.action.fcurves:
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    deep = n.map(axes.outputs["Y"], (0.0, depth), (0.04, 0.66))
    high = n.map(axes.outputs["Z"], (0.0, SPRING + ARCH_R), (0.26, -0.2))
    lick = n.math("MULTIPLY_ADD", ripple.outputs["Fac"], 0.16, n.math("ADD", deep, high))
    color = n.ramp(
        lick,
        [
            (0.0, (0.02, 0.003, 0.001)),
            (0.3, (0.42, 0.045, 0.006)),
            (0.6, (1.0, 0.22, 0.025)),
            (0.85, (1.0, 0.46, 0.1)),
            (1.0, (1.0, 0.72, 0.32)),
        ],
    )
    glow = n("ShaderNodeEmission", {"Color": color, "Strength": 2.7})
    n.surface(glow.outputs["Emission"])
    only_seen(vault, glossy=True)

    # Its light, as one soft rectangle in the depth of the chamber.
    light = bpy.data.lights.new("fire", "AREA")
    light.shape, light.size, light.size_y = "RECTANGLE", 1.55, 1.25
    light.color = (1.0, 0.40, 0.12)
    light.spread = math.radians(170)
    fire = add("fire", light, None, (ARCH_X, WALL_Y + 0.75, 0.85), (math.radians(-84), 0, math.radians(180)))
    fire.rotation_euler = (math.radians(-90 + 6), 0, 0)
    fire.visible_camera = fire.visible_glossy = False
    every_frame(light, "energy", lambda t: 210 * flicker(t))


def hot_ware():
    """The ware being fired: seen against the fire, glowing itself."""
    mat = material("hot ware")
    n = Nodes(mat)
    n.tree.nodes.remove(n.bsdf)
    facing = n("ShaderNodeLayerWeight", {"Blend": 0.35})
    stops = [(0.0, (0.3, 0.028, 0.004)), (0.7, (0.72, 0.11, 0.012)), (1.0, (1.0, 0.36, 0.06))]
    color = n.ramp(facing.outputs["Facing"], stops)
    n.surface(n("ShaderNodeEmission", {"Color": color, "Strength": 1.5}).outputs["Emission"])
    shelf = add("kiln shelf", block("shelf", 1.6, 0.5, 0.05), mat, (ARCH_X, WALL_Y + 0.95, 0.42))
    only_seen(shelf, glossy=True)
    for x in (-0.66, 0.66):
        only_seen(add("post", block("post", 0.12, 0.3, 0.42), mat, (ARCH_X + x, WALL_Y + 0.95, 0.2)), glossy=True)
    shapes = [
        [(0.0, 0), (0.1, 0), (0.17, 0.14), (0.2, 0.3), (0.12, 0.46), (0.075, 0.54), (0.11, 0.6)],
        [(0.0, 0), (0.08, 0), (0.1, 0.05), (0.2, 0.16), (0.26, 0.26)],
        [(0.0, 0), (0.11, 0), (0.13, 0.2), (0.12, 0.38), (0.05, 0.46), (0.05, 0.62), (0.075, 0.66)],
        [(0.0, 0), (0.09, 0), (0.16, 0.12), (0.15, 0.26), (0.1, 0.32)],
    ]
    places = ((-0.42, 0.95, 0.445, 0), (-0.02, 0.9, 0.445, 3), (0.42, 0.98, 0.445, 2), (0.3, 0.6, 0.0, 1))
    for x, y, z, shape in places:
        pot = add("ware", lathe("ware", spline(shapes[shape], 5), 32), mat, (ARCH_X + x, WALL_Y + y, z))
        only_seen(pot, glossy=True)


def embers():
    mat = material("ember")
    n = Nodes(mat)
    n.tree.nodes.remove(n.bsdf)
    n.surface(n("ShaderNodeEmission", {"Color": (1.0, 0.34, 0.06, 1), "Strength": 14.0}).outputs["Emission"])
    profile = [(0.0, -1.0), (0.7, -0.7), (1.0, 0.0), (0.7, 0.7), (0.0, 1.0)]
    mesh = lathe("ember", profile, 8)
    # A spark lives three loops and is drawn by three objects, each a loop ahead of the last.
    lives = 3
    for _ in range(15):
        x0, y0 = ARCH_X + rng.uniform(-0.8, 0.75), WALL_Y + rng.uniform(-0.5, 0.15)
        z0, rise, drift = rng.uniform(0.1, 0.75), rng.uniform(1.3, 2.4), rng.uniform(-0.75, 0.25)
        sway, turns, phase = rng.uniform(0.03, 0.1), rng.uniform(1.2, 2.6), rng.uniform(0, 6.28)
        size, ahead = rng.uniform(0.0045, 0.0105), rng.random()
        for life in range(lives):
            spark = add("ember", mesh, mat)
            only_seen(spark)

            def at(t, life=life):
                return ((t + ahead) % 1.0 + life) / lives

            def height(u):
                return z0 + rise * (u**1.3)

            def across(u):
                return x0 + drift * u**1.5 + sway * math.sin(turns * 6.28 * u + phase)

            def girth(u):
                return size * max(0.0, math.sin(math.pi * u)) ** 0.6

            every_frame(spark, "location", lambda t: across(at(t)), 0)
            every_frame(spark, "location", lambda t: y0 - 0.8 * at(t), 1)
            every_frame(spark, "location", lambda t: height(at(t)), 2)
            for axis, stretch in ((0, 1), (1, 1), (2, 1.9)):
                every_frame(spark, "scale", lambda t, s=stretch: s * girth(at(t)), axis)


# ---- in front of it --------------------------------------------------------------------------------------


def build_vase():
    """The piece on the wheel: twisted flutes under a celadon glaze that runs and pools, and a gilt lip."""
    wheel = bpy.data.objects.new("wheel", None)
    wheel.location = (-0.78, -0.55, 0)
    bpy.context.scene.collection.objects.link(wheel)
    every_frame(wheel, "rotation_euler", lambda t: 2 * math.pi / FLUTES * t, 2)

    iron = material("iron", (0.07, 0.066, 0.066), roughness=0.45, specular=0.4)
    head = spline([(0.0, 0.47), (0.5, 0.47), (0.54, 0.46), (0.545, 0.43), (0.53, 0.415), (0.2, 0.40), (0.1, 0.36)], 4)
    notched = lambda r, z, angle: r * (1 - 0.018 * max(0.0, math.cos(FLUTES * angle)) ** 6) if r > 0.45 else r
    add("wheel head", lathe("wheel head", head, 120, notched), iron, parent=wheel)
    wood = material("wheel base", (0.085, 0.036, 0.018), roughness=0.6, specular=0.2)
    foot = spline([(0.0, 0.38), (0.30, 0.38), (0.31, 0.34), (0.27, 0.2), (0.36, 0.05), (0.37, 0.0)], 5)
    add("wheel base", lathe("wheel base", foot, 64), wood, wheel.location)

    profile = spline(
        [
            *((0.0, 0.0), (0.2, 0.0), (0.225, 0.03), (0.30, 0.22), (0.395, 0.50), (0.405, 0.68), (0.33, 0.90)),
            *((0.19, 1.07), (0.145, 1.18), (0.165, 1.28), (0.225, 1.35), (0.21, 1.352), (0.15, 1.28), (0.12, 1.15)),
        ],
        8,
    )
    height = max(z for _, z in profile)

    def fluted(r, z, angle):
        deep = 0.052 * min(1.0, z / 0.12) * max(0.0, min(1.0, (1.17 - z) / 0.25))
        return r * (1 + deep * (abs(math.cos(FLUTES / 2 * (angle + 1.15 * z))) * 2 - 1.2))

    segments = FLUTES * 24
    mesh = lathe("vase", profile, segments, fluted)
    # r: how much glaze, g: gilt, b: how thick the glaze lies (it runs off the ridges into the flutes).
    paint = mesh.color_attributes.new("paint", "FLOAT_COLOR", "POINT")
    values = []
    for vertex in mesh.vertices:
        x, y, z = vertex.co
        angle = math.atan2(y, x)
        edge = 0.15 + 0.045 * math.cos(FLUTES * angle + 0.4) + 0.03 * math.cos(2 * FLUTES * angle + 1.7)
        glaze = max(0.0, min(1.0, (z - edge) / 0.02))
        gilt = 1.0 if z > height - 0.03 else 0.0
        thick = 1 - abs(math.cos(FLUTES / 2 * (angle + 1.15 * z)))
        values += (glaze, gilt, thick, 1.0)
    paint.data.foreach_set("color", values)

    mat = material("celadon", roughness=0.12, specular=0.6)
    n = Nodes(mat)
    lay = n("ShaderNodeSeparateColor", {"Color": n("ShaderNodeAttribute", attribute_name="paint").outputs["Color"]})
    stops = [(0.0, (0.30, 0.52, 0.44)), (0.35, (0.07, 0.30, 0.28)), (1.0, (0.012, 0.10, 0.12))]
    glaze = n.ramp(lay.outputs["Blue"], stops)
    clay = (0.20, 0.085, 0.045, 1)
    body = n("ShaderNodeMixRGB", {"Fac": lay.outputs["Red"], "Color1": clay, "Color2": glaze})
    gold = (0.62, 0.33, 0.07, 1)
    colors = {"Color1": body.outputs["Color"], "Color2": gold}
    gilded = n("ShaderNodeMixRGB", {"Fac": lay.outputs["Green"], **colors})
    n.set("Base Color", gilded.outputs["Color"])
    n.set("Roughness", n.map(lay.outputs["Red"], (0.0, 1.0), (0.75, 0.16)))
    add("vase", mesh, mat, (0, 0, 0.47), parent=wheel)


def build_ware():
    """Finished bowls on the right, firewood on the left."""
    glazes = [
        material("ash white", (0.55, 0.47, 0.36), roughness=0.28),
        material("cobalt", (0.016, 0.045, 0.17), roughness=0.14, specular=0.6),
        material("iron red", (0.27, 0.035, 0.014), roughness=0.2, specular=0.55),
    ]
    bowl = [(0.0, 0.02), (0.11, 0.02), (0.12, 0.0), (0.13, 0.02), (0.25, 0.11), (0.33, 0.24), (0.345, 0.265)]
    bowl += [(0.325, 0.262), (0.24, 0.13), (0.0, 0.05)]
    bottle = [(0.0, 0.0), (0.15, 0.0), (0.19, 0.05), (0.225, 0.22), (0.19, 0.38), (0.08, 0.49), (0.052, 0.6)]
    bottle += [(0.06, 0.7), (0.085, 0.73), (0.07, 0.735), (0.04, 0.69)]
    cup = [(0.0, 0.0), (0.085, 0.0), (0.1, 0.02), (0.125, 0.14), (0.13, 0.24), (0.118, 0.242), (0.1, 0.1), (0.0, 0.03)]
    bowl, bottle, cup = (
        lathe("bowl", spline(bowl, 5), 64),
        lathe("bottle", spline(bottle, 6), 64),
        lathe("cup", spline(cup, 5), 48),
    )
    for name, mesh, glaze, location, scale in (
        ("bowl", bowl, 0, (1.52, -0.72, 0.0), 1.0),
        ("bowl", bowl.copy(), 2, (1.525, -0.715, 0.115), 0.9),
        ("bottle", bottle, 1, (2.02, -0.22, 0.0), 1.15),
        ("cup", cup, 2, (0.9, -0.96, 0.0), 0.95),
        ("cup", cup.copy(), 0, (0.55, -0.78, 0.0), 1.05),
    ):
        add(name, mesh, glazes[glaze], location, (0, 0, rng.uniform(0, 6)), (scale,) * 3)

    bark = material("bark", (0.055, 0.03, 0.018), roughness=0.9, specular=0.0)
    cut = material("cut wood", (0.36, 0.19, 0.085), roughness=0.8, specular=0.0)
    n = Nodes(cut)
    where = n("ShaderNodeTexCoord")
    rings = n(
        "ShaderNodeTexWave",
        {"Vector": where.outputs["Object"], "Scale": 9.0, "Distortion": 1.5},
        wave_type="RINGS",
        rings_direction="Y",
    )
    n.set("Base Color", n.ramp(rings.outputs["Fac"], [(0.0, (0.38, 0.2, 0.09)), (1.0, (0.22, 0.105, 0.045))]))
    radius = 0.135
    for row, count in enumerate((5, 4, 3, 2)):
        for i in range(count):
            r = radius * rng.uniform(0.86, 1.0)
            segments, wobble = 20, [rng.uniform(0.93, 1.05) for _ in range(20)]
            turns = [6.2832 * s / segments for s in range(segments)]
            ring = [(r * w * math.cos(turn), r * w * math.sin(turn)) for w, turn in zip(wobble, turns)]
            vertices = [(x, -0.4, z) for x, z in ring] + [(x, 0.4, z) for x, z in ring]
            faces = [(s, (s + 1) % segments, segments + (s + 1) % segments, segments + s) for s in range(segments)]
            faces.append(tuple(range(segments)))
            mesh = mesh_of("log", vertices, faces)
            mesh.materials.append(bark)
            mesh.materials.append(cut)
            mesh.polygons[segments].material_index = 1
            x = -2.95 + row * radius + i * radius * 2.02 + rng.uniform(-0.01, 0.01)
            place = (x, WALL_Y - 0.55 + rng.uniform(-0.05, 0.05), radius + row * radius * 1.74)
            add("log", mesh, None, place, (0, rng.uniform(0, 6.28), 0))


def build_floor():
    mat = material("floor", roughness=0.3, specular=0.5)
    n = Nodes(mat)
    where = n("ShaderNodeTexCoord")
    grain = {"Scale": 2.6, "Detail": 1.0, "Roughness": 0.6}
    stain = n("ShaderNodeTexNoise", {"Vector": where.outputs["Object"], **grain})
    n.set("Base Color", n.ramp(stain.outputs["Fac"], [(0.3, (0.012, 0.012, 0.014)), (0.7, (0.045, 0.04, 0.038))]))
    n.set("Roughness", n.map(stain.outputs["Fac"], (0.35, 0.65), (0.03, 0.11)))
    add("floor", mesh_of("floor", [(-9, -8, 0), (9, -8, 0), (9, 5, 0), (-9, 5, 0)], [(0, 1, 2, 3)]), mat)


# ---- the shot --------------------------------------------------------------------------------------------


def build_shot():
    scene = bpy.context.scene
    camera = bpy.data.cameras.new("camera")
    camera.lens = 46
    eye = add("camera", camera, None, (-0.15, -5.75, 1.42))
    aim = bpy.data.objects.new("aim", None)
    aim.location = (0.02, 0, 0.98)
    scene.collection.objects.link(aim)
    track = eye.constraints.new("TRACK_TO")
    track.target, track.track_axis, track.up_axis = aim, "TRACK_NEGATIVE_Z", "UP_Y"
    scene.camera = eye

    dusk = bpy.data.lights.new("dusk", "AREA")
    dusk.shape, dusk.size, dusk.size_y = "RECTANGLE", 1.6, 1.4
    dusk.color, dusk.energy = (0.62, 0.78, 1.0), 120
    add("dusk", dusk, None, (-3.4, -3.4, 3.6), (math.radians(52), 0, math.radians(-44))).visible_camera = False

    world = bpy.data.worlds.new("night")
    world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.16, 0.22, 0.36, 1)
    background.inputs["Strength"].default_value = 0.10
    world.cycles.sampling_method = "NONE"
    scene.world = world


def settings(scene):
    scene.name = "Kiln"
    scene.frame_start, scene.frame_end = 1, FRAMES
    render = scene.render
    render.engine = "CYCLES"
    render.fps = 24
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.filepath = "//render/kiln_####"
    render.image_settings.file_format = "PNG"
    render.image_settings.color_mode = "RGB"
    render.use_persistent_data = True
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples, cycles.use_adaptive_sampling, cycles.use_denoising = SAMPLES, False, False
    cycles.seed = 7  # the same every frame: what grain is left stands still
    cycles.max_bounces, cycles.diffuse_bounces, cycles.glossy_bounces = 1, 0, 1
    cycles.transmission_bounces, cycles.volume_bounces, cycles.transparent_max_bounces = 0, 0, 0
    cycles.caustics_reflective = cycles.caustics_refractive = False
    cycles.sample_clamp_direct, cycles.sample_clamp_indirect = 4.0, 1.0
    cycles.blur_glossy = 1.0
    cycles.filter_width = 1.6
    scene.view_settings.view_transform = "Filmic"
    scene.view_settings.look = "Medium High Contrast"
    scene.view_settings.exposure = 0.35


def main():
    if "--" not in sys.argv or len(sys.argv) != sys.argv.index("--") + 2:
        sys.exit("make_sample.py: usage: blender -b --factory-startup -P make_sample.py -- OUT.blend")
    out = sys.argv[-1]
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build_floor()
    build_kiln()
    hot_ware()
    embers()
    build_vase()
    build_ware()
    build_shot()
    settings(bpy.context.scene)
    bpy.ops.wm.save_as_mainfile(filepath=out, compress=True)
    print(f"wrote {out}")


main()
