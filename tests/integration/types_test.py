"""The built-in job types, each with a real job on two boxes: submitted as a person would, results compared."""
import io
import json
import pathlib
import subprocess
import tempfile
import unittest
import zipfile

from farm import Farm, make_scene, pixels, render_with_blender, wait_until

# Cloth falls onto nothing: where it is at a frame depends on all frames before.
CLOTH = """
bpy.ops.mesh.primitive_grid_add(x_subdivisions=8, y_subdivisions=8, size=3, location=(0, 0, 1))
sheet = bpy.context.object
sheet.modifiers.new('Cloth', 'CLOTH')
sheet.modifiers['Cloth'].point_cache.frame_end = 12
"""

# The same picture in tiles and in one go: Cycles with what sees beyond a tile's edge off.
STILL = """
scene.cycles.use_adaptive_sampling = False
scene.render.resolution_x, scene.render.resolution_y = 97, 61
scene.render.dither_intensity = 0
"""

POV = """
#version 3.7;
global_settings { assumed_gamma 1 }
camera { location <0, 1, -4> look_at 0 }
light_source { <2, 4, -3> rgb 1 }
sphere { <clock, 0, 0>, 1 pigment { color rgb <1, 0.4, 0.2> } }
"""


def film_frames(path):
    """How many frames a film has, decoded."""
    out = subprocess.run(["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
                          "stream=nb_read_frames", "-of", "csv=p=0", str(path)], capture_output=True, text=True, check=True)
    return int(out.stdout.strip().strip(","))


class Types(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-types-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.here = pathlib.Path(cls.folder.name)
        cls.farm = Farm()
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        for name in ("box-1", "box-2"):
            cls.farm.agent(name)
        for name in ("box-1", "box-2"):
            wait_until(f"{name} has introduced itself",
                       lambda name=name: any(one["id"] == name and one["info"].get("agent_version")
                                             for one in cls.farm.get("/api/v1/nodes")["nodes"]))

    def run_type(self, name, *parameters, state="done", options=()):
        """Submits the job type and waits for its end; {relative path: path} of its results and the job."""
        said = self.farm.kiln("--json", "submit", "--type", name, *[x for p in parameters for x in ("-p", p)], *options)
        self.assertEqual(0, said.returncode, said.stderr)
        job = json.loads(said.stdout)["id"]
        shown = self.farm.wait_for_job(job, state)
        return self.farm.output(job), shown

    def test_they_are_listed_and_can_be_copied(self):
        listed = {one["name"] for one in self.farm.get("/api/v1/types")["types"]}
        self.assertLessEqual({"blender-animation", "blender-tiles", "blender-bake", "video-encode", "transform-files",
                              "command"}, listed)
        mine = self.here / "mine.yaml"
        mine.write_text(self.farm.kiln("types", "show", "command", check=True).stdout.replace("Any command", "My command"))
        said = self.farm.kiln("--json", "submit", "--template", mine, "-p", "Command=echo $FRAME >$OUTPUT/f$FRAME.txt",
                              "-p", "Frames=3-5", check=True)
        job = json.loads(said.stdout)["id"]
        self.farm.wait_for_job(job)
        self.assertEqual({f"f{i}.txt": f"{i}\n" for i in (3, 4, 5)},
                         {name: path.read_text() for name, path in self.farm.output(job).items()})

    def test_blender_animation_with_a_film(self):
        scene = make_scene(self.here / "robot.blend", frames=(1, 5))
        output, shown = self.run_type("blender-animation", f"Scene={scene}", "Frames=1-5", "Film=ffmpeg")
        frames = {pathlib.Path(name).name: path for name, path in output.items() if name.endswith(".png")}
        expected = render_with_blender(scene, self.here / "robot-frames")
        self.assertEqual(5, len(frames))
        for name, path in expected.items():
            self.assertEqual(pixels(path), pixels(frames[name]), name)
        self.assertEqual(5, film_frames(output["film.mp4"]))
        self.assertEqual([("Render", 5), ("Film", 1)], [(one["name"], one["tasks"]["done"]) for one in shown["steps"]])

    def test_blender_tiles_equal_the_whole(self):
        scene = make_scene(self.here / "poster.blend", STILL, frames=(1, 1))
        output, shown = self.run_type("blender-tiles", f"Scene={scene}", "Columns=3", "Rows=2")
        whole = render_with_blender(scene, self.here / "poster-frames")
        self.assertEqual(pixels(next(iter(whole.values()))), pixels(output["still.png"]))
        self.assertEqual(6, shown["steps"][1]["tasks"]["done"])

    def test_blender_tiles_refuse_what_would_show(self):
        scene = make_scene(self.here / "adaptive.blend", "scene.cycles.use_adaptive_sampling = True", frames=(1, 1))
        _, shown = self.run_type("blender-tiles", f"Scene={scene}", state="failed")
        self.assertIn("adaptive sampling stops by what neighbours look like: turn Noise Threshold off", shown["message"])
        self.assertEqual(0, shown["tasks"]["done"])

    def test_blender_bake_hands_its_cache_to_the_frames(self):
        scene = make_scene(self.here / "cloth.blend", CLOTH, frames=(1, 8))
        output, shown = self.run_type("blender-bake", f"Scene={scene}", "Frames=5-8")
        # The measure: baked and rendered in order, in one process here. Out of order and unbaked it is another picture.
        baked = self.here / "cloth-baked.blend"
        subprocess.run(["blender", "-b", "--factory-startup", str(scene), "--python-exit-code", "1", "--python-expr",
                        f"import bpy; bpy.ops.ptcache.bake_all(bake=True); bpy.ops.wm.save_as_mainfile(filepath={str(baked)!r})"],
                       check=True, stdout=subprocess.DEVNULL)
        expected = render_with_blender(baked, self.here / "cloth-frames")
        self.assertNotEqual(pixels(expected["shot_0001.png"]), pixels(expected["shot_0008.png"]))
        for frame in range(5, 9):
            mine = [path for name, path in output.items() if name.endswith(f"{frame:04}.png")]
            self.assertEqual(1, len(mine), output)
            self.assertEqual(pixels(expected[f"shot_{frame:04}.png"]), pixels(mine[0]), frame)
        self.assertEqual(1, shown["steps"][0]["tasks"]["done"])

    def test_video_encode_burns_a_header(self):
        folder = self.here / "pictures"
        folder.mkdir()
        subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=c=gray:s=320x180", "-frames:v", "6",
                        "-start_number", "11", f"{folder}/shot_%04d.png"], check=True)
        plain, _ = self.run_type("video-encode", f"Inputs={folder}", "Title=plain")
        burnt, _ = self.run_type("video-encode", f"Inputs={folder}", "Title=shot: 100%", "Burn=yes",
                                 "Layers=artist=Ada's\nlens=35mm")
        self.assertEqual(6, film_frames(plain["film.mp4"]))
        self.assertEqual(6, film_frames(burnt["film.mp4"]))

        def bright(film, crop):
            """The brightest pixel of a part of the first frame."""
            raw = subprocess.run(["ffmpeg", "-v", "error", "-i", str(film), "-frames:v", "1", "-vf", f"crop={crop},format=gray",
                                  "-f", "rawvideo", "-"], capture_output=True, check=True).stdout
            return max(raw)

        for line, crop in (("title", "120:16:10:10"), ("frame", "120:16:10:28"), ("artist", "120:16:10:46"),
                           ("lens", "120:16:10:64")):
            self.assertGreater(bright(burnt["film.mp4"], crop), 200, line)
            self.assertLess(bright(plain["film.mp4"], crop), 150, line)

    def test_transform_of_many_files(self):
        folder = self.here / "many"
        for i in range(1000):
            path = folder / f"{i % 7}" / f"file {i}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"line {i}\n")
        output, shown = self.run_type("transform-files", f"Inputs={folder}", "Command=tr a-z A-Z <\"$IN\" >\"$OUT\"",
                                      "Extension=up", "ChunkSize=5", "TargetSeconds=4")
        self.assertEqual(1000, len(output))
        for i in (0, 6, 500, 999):
            self.assertEqual(f"LINE {i}\n", output[f"{i % 7}/file {i}.up"].read_text())
        # Chunks grew: a thousand files in far fewer tasks than fives would make.
        self.assertLess(shown["tasks"]["done"], 120)
        one = self.here / "one"
        self.farm.kiln("download", shown["number"], one, check=True)
        self.assertEqual("LINE 8\n", (one / "1" / "file 8.up").read_text())
        status, _, archive = self.farm.request("GET", f"/api/v1/jobs/{shown['id']}/archive")
        self.assertEqual(200, status)
        self.assertEqual(1000, len(zipfile.ZipFile(io.BytesIO(archive)).namelist()))

    def test_any_command_renders_with_pov_ray(self):
        folder = self.here / "pov"
        folder.mkdir()
        (folder / "ball.pov").write_text(POV)
        line = 'povray -D +W40 +H30 +I"$INPUTS/ball.pov" +K0.$FRAME4 +O"$OUTPUT/ball_$FRAME4.png"'
        output, _ = self.run_type("command", f"Inputs={folder}", "Frames=1-3", "Tool=povray", f"Command={line}")
        self.assertEqual({f"ball_{i:04}.png" for i in (1, 2, 3)}, set(output))
        subprocess.run(["povray", "-D", "+W40", "+H30", f"+I{folder}/ball.pov", "+K0.0002", f"+O{self.here}/two.png"],
                       check=True, capture_output=True)
        self.assertEqual(pixels(self.here / "two.png"), pixels(output["ball_0002.png"]))

    def test_a_job_that_can_never_run_says_so(self):
        said = self.farm.kiln("submit", "--type", "command", "-p", "Command=true", "-p", "Tool=houdini")
        self.assertNotEqual(0, said.returncode)
        self.assertIn("houdini", said.stderr)

    def test_jobs_in_a_row_with_limits_and_why(self):
        self.farm.kiln("farm", "--limit", "nuke=1", check=True)
        first = json.loads(self.farm.kiln("--json", "submit", "--type", "command", "-p", "Command=sleep 3; touch $OUTPUT/$FRAME",
                                          "-p", "Frames=1-4", "--limit", "nuke", "--project", "film", check=True).stdout)
        second = json.loads(self.farm.kiln("--json", "submit", "--type", "command", "-p", "Command=touch $OUTPUT/later",
                                           "--after", first["number"], check=True).stdout)
        wait_until("one frame is out", lambda: self.farm.get(f"/api/v1/jobs/{first['id']}")["tasks"]["running"] == 1)
        why = self.farm.kiln("why", first["number"], check=True).stdout
        self.assertIn("limit nuke: 1 of 1 are taken", why)
        self.assertIn(f"waits for job {first['number']}", self.farm.kiln("why", second["number"], check=True).stdout)
        self.farm.wait_for_job(second["id"])
        self.assertEqual("done", self.farm.get(f"/api/v1/jobs/{first['id']}")["state"])
        self.assertIn("film", self.farm.kiln("productions", check=True).stdout)


if __name__ == "__main__":
    unittest.main()
