"""Bad input gets one clear line that says what to do, on every door, and the farm goes on."""
import json
import pathlib
import subprocess
import tempfile
import unittest

from farm import Farm, make_scene, wait_until


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-bad-")
        cls.addClassCleanup(cls.folder.cleanup)
        folder = pathlib.Path(cls.folder.name)
        cls.good = make_scene(folder / "good.blend")
        cls.no_camera = make_scene(folder / "no_camera.blend",
                                   "bpy.data.objects.remove(bpy.data.objects['Camera']); scene.camera = None")
        bytes_ = cls.good.read_bytes()
        cls.truncated = folder / "truncated.blend"
        cls.truncated.write_bytes(bytes_[: len(bytes_) // 2])
        cls.newer = folder / "newer.blend"
        cls.newer.write_bytes(bytes_.replace(b"BLENDER-v304", b"BLENDER-v402", 1))
        assert cls.newer.read_bytes() != bytes_
        cls.picture = folder / "picture.blend"
        cls.picture.write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 100)
        cls.empty = folder / "empty.blend"
        cls.empty.write_bytes(b"")
        cls.farm = Farm(open_broker=True)  # a box that lies is part of it
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        cls.farm.agent("box-1")

    def assert_farm_goes_on(self):
        job = self.farm.submit(self.good, "1")["id"]
        self.farm.wait_for_job(job)

    def test_command_line(self):
        cases = [
            ("missing scene", [self.folder.name + "/none.blend", "--frames", "1"], "none.blend"),
            ("truncated", [self.truncated, "--frames", "1"], "copy it again"),
            ("empty", [self.empty, "--frames", "1"], "empty"),
            ("not a scene", [self.picture, "--frames", "1"], "PNG"),
            ("newer Blender", [self.newer, "--frames", "1"], "4.2"),
            ("backwards", [self.good, "--frames", "10-1"], "1-10"),
            ("no range", [self.good, "--frames", "a-b"], "1-24"),
            ("format", [self.good, "--frames", "1", "--format", "WORD"], "PNG"),
            ("film format", [self.good, "--frames", "1", "--format", "FFMPEG"], "film"),
            ("priority", [self.good, "--frames", "1", "--priority", "900"], "100"),
        ]
        for name, args, hint in cases:
            with self.subTest(name):
                result = self.farm.kiln("submit", *args)
                self.assertEqual(2, result.returncode, result.stderr)
                self.assertEqual(1, len(result.stderr.strip().splitlines()), result.stderr)
                self.assertIn(hint, result.stderr)
        self.assert_farm_goes_on()

    def test_api(self):
        def body(scene, **change):
            return {**self.farm.submission(scene, "1"), **change}

        cases = [
            ("truncated", body(self.truncated), "copy it again"),
            ("empty", body(self.empty), "empty"),
            ("not a scene", body(self.picture), "PNG"),
            ("newer Blender", body(self.newer), "4.2"),
            ("backwards", body(self.good, frames="10-1"), "1-10"),
            ("no range", body(self.good, frames="a-b"), "a-b"),
            ("no frames", body(self.good, frames=""), "frames"),
            ("format", body(self.good, options={"scene_file": "good.blend", "format": "WORD"}), "PNG"),
            ("scene not among the files", body(self.good, options={"scene_file": "other.blend"}), "other.blend"),
            ("priority", body(self.good, priority=900), "100"),
            ("type", body(self.good, type="maya"), "blender"),
            ("leaving the folder", body(self.good, manifest={"files": [
                {"path": "../../etc/passwd", "digest": "sha256:" + "0" * 64, "size": 1}]}), "path"),
            ("a blob that is not there", body(self.good, manifest={"files": [
                {"path": "good.blend", "digest": "sha256:" + "0" * 64, "size": 1}]}), "sha256:000"),
        ]
        for name, value, hint in cases:
            with self.subTest(name):
                status, problem = self.farm.post("/api/v1/jobs", value)
                self.assertIn(status, (400, 409, 413, 422), problem)
                self.assertIn(hint, problem["detail"])
                self.assertNotIn("\n", problem["detail"])
        for garbage in (b"", b"{", b"[]", b"\xff\xfe", b"{" * 1000, b'{"a":' * 5000, b"x" * 200_000):
            status, _, answer = self.farm.request("POST", "/api/v1/jobs", garbage, {"Content-Type": "application/json"})
            self.assertIn(status, (400, 413, 422))
            self.assertTrue(json.loads(answer)["detail"])
        self.assert_farm_goes_on()

    def test_a_frame_without_a_camera_fails_the_job_once_and_says_so(self):
        job = self.farm.submit(self.no_camera, "1-50")["id"]
        shown = self.farm.wait_for_job(job, "failed")
        self.assertIn("camera", shown["message"])
        waited = self.farm.kiln("submit", self.no_camera, "--frames", "1-50", "--wait")
        self.assertEqual(1, waited.returncode, waited.stderr)
        self.assertIn("camera", waited.stderr + waited.stdout)
        self.assert_farm_goes_on()

    def test_mqtt(self):
        answer = self.farm.mqtt_request("job-submit", {"cid": "x1", "frames": "10-1"})
        self.assertGreaterEqual(answer["status"], 400)
        self.assertTrue(answer["error"])
        answer = self.farm.mqtt_request("make-coffee", {"cid": "x2"})
        self.assertEqual(404, answer["status"])
        self.assertIn("job-submit", answer["error"])
        for topic in ("kiln/v1/nodes/box-1/status", "kiln/v1/nodes/box-1/tasks", "kiln/v1/nodes/box-1/info",
                      "kiln/v1/request/ann/job-submit", "kiln/v1/cmd/box-1", "kiln/v1/cmd/all"):
            for payload in ("", "{", "[]", "null", "{}", '{"state":"asleep","sid":1}', "\x01\x02", "9" * 20_000):
                subprocess.run(["mosquitto_pub", *self.farm.as_user(), "-t", topic, "-m", payload],
                               check=True, capture_output=True)
        wait_until("the node is online again", lambda: self.farm.presence("box-1") == "online")
        self.assert_farm_goes_on()

    def test_a_box_without_a_renderer_says_so_and_gets_no_frames(self):
        with Farm() as farm:
            farm.agent("bare", "--blender", "/nonexistent/blender")
            wait_until("the box has introduced itself", lambda: farm.get("/api/v1/nodes/bare")["info"].get("agent_version"))
            status, problem = farm.post("/api/v1/jobs", farm.submission(self.good, "1"))
            self.assertGreaterEqual(status, 400)
            self.assertIn("blender", problem["detail"])
            self.assertIn("install", farm.log("bare"))


if __name__ == "__main__":
    unittest.main()
