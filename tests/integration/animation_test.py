"""An animation comes back complete, and pixel for pixel what `blender -b scene -a` renders, by every door."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

from farm import SCENES, Farm, make_scene, pixels, render_with_blender, wait_until


class Animation(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-animation-")
        folder = pathlib.Path(cls.folder.name)
        cls.scene = make_scene(folder / "scene.blend")
        (folder / "expected").mkdir()
        cls.expected = {name: pixels(path) for name, path in
                        render_with_blender(cls.scene, folder / "expected").items()}
        assert len(cls.expected) == 4 and len(set(cls.expected.values())) == 4, cls.expected
        cls.farm = Farm()
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        cls.farm.agent("box-1")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def assert_frames(self, job):
        files = self.farm.output(job)
        self.assertEqual({f"render/{name}" for name in self.expected}, set(files))
        for name, path in files.items():
            self.assertEqual(self.expected[pathlib.Path(name).name], pixels(path), name)

    def test_by_command_line_with_download(self):
        with tempfile.TemporaryDirectory() as target:
            done = self.farm.kiln("submit", self.scene, "--frames", "1-4", "--wait", "--download", target, check=True)
            job = self.farm.get("/api/v1/jobs")["jobs"][0]
            self.assertEqual(("done", 4), (job["state"], job["tasks"]["done"]), done.stdout)
            self.assert_frames(job["id"])
            names = sorted(path.name for path in pathlib.Path(target).rglob("*.png"))
            self.assertEqual(sorted(self.expected), names)

    def test_by_curl(self):
        job = self.farm.submit(self.scene, "1-4")
        self.farm.wait_for_job(job["id"])
        self.assert_frames(job["id"])

    def test_by_mqtt_request(self):
        body = {"cid": "mqtt-1", **self.farm.submission(self.scene, "1-4")}
        answer = self.farm.mqtt_request("job-submit", body)
        self.assertEqual(("mqtt-1", ""), (answer["cid"], answer.get("error", "")), answer)
        job = answer["data"]["id"]
        self.farm.wait_for_job(job)
        self.assert_frames(job)
        again = self.farm.mqtt_request("job-submit", body)
        self.assertEqual(job, again["data"]["id"], "the same cid is the same job")

    def test_the_same_scene_again_sends_nothing(self):
        self.farm.put_blob(self.scene)
        before = self.counter('kiln_http_bytes_total{direction="in"}')
        self.farm.kiln("submit", self.scene, "--frames", "1", "--wait", check=True)
        self.assertLess(self.counter('kiln_http_bytes_total{direction="in"}') - before, self.scene.stat().st_size)

    def counter(self, name):
        text = self.farm.request("GET", "/metrics")[2].decode()
        match = re.search(rf"^{re.escape(name)} ([0-9.e+]+)$", text, re.M)
        self.assertIsNotNone(match, f"{name} in\n{text}")
        return float(match[1])

    def test_chunks_and_order_as_typed(self):
        job = self.farm.submit(self.scene, "4,1-3", chunk=3)
        self.farm.wait_for_job(job["id"])
        self.assert_frames(job["id"])
        tasks = self.farm.get(f"/api/v1/jobs/{job['id']}/tasks")["tasks"]
        self.assertEqual(["4,1-2", "3"], [task["frames"] for task in tasks])

    def test_the_page_gets_pictures_and_events(self):
        job = self.farm.submit(self.scene, "2")
        self.farm.wait_for_job(job["id"])
        result = self.farm.get(f"/api/v1/jobs/{job['id']}/results")["results"][0]
        self.assertEqual((2, 64, 48), (result["frame"], result["width"], result["height"]))
        status, headers, body = self.farm.request("GET", result["thumbnail"])
        self.assertEqual((200, "image/jpeg", b"\xff\xd8"), (status, headers["Content-Type"], body[:2]))
        status, _, body = self.farm.request("GET", f"/api/v1/jobs/{job['id']}/archive")
        self.assertEqual((200, b"PK"), (status, body[:2]))
        with subprocess.Popen(["curl", "-sN", "--max-time", "30", f"{self.farm.url}/api/v1/events"],
                              stdout=subprocess.PIPE, text=True) as stream:
            lines = iter(stream.stdout.readline, "")
            self.assertIn("event: snapshot", "".join(next(lines) for _ in range(5)))
            self.farm.post(f"/api/v1/jobs/{job['id']}/cancel", {})
            stream.terminate()
        logs = self.farm.kiln("logs", job["id"], check=True).stdout
        self.assertIn("Saved", logs)


class RetainedTree(unittest.TestCase):
    def test_holds_what_the_contract_says_and_clears_what_is_gone(self):
        with tempfile.TemporaryDirectory() as folder, Farm() as farm:
            farm.agent("box-1")
            job = farm.submit(make_scene(pathlib.Path(folder) / "s.blend"), "1-2")["id"]
            farm.wait_for_job(job)

            def settled():
                tree = farm.retained()
                status = json.loads(tree.get(f"kiln/v1/jobs/{job}/status", "{}"))
                return tree if status.get("state") == "done" else None

            tree = wait_until("the job's status is retained as done", settled)
            self.assertEqual("online", json.loads(tree["kiln/v1/controller/status"])["state"])
            self.assertEqual(farm.url, json.loads(tree["kiln/v1/controller/status"])["url"])
            self.assertEqual("online", json.loads(tree["kiln/v1/nodes/box-1/status"])["state"])
            info = json.loads(tree["kiln/v1/nodes/box-1/info"])
            self.assertEqual("blender", info["renderers"][0]["name"])
            self.assertEqual([], json.loads(tree["kiln/v1/nodes/box-1/tasks"])["run"])
            self.assertIn("kiln/v1/nodes/box-1/host", tree)
            self.assertIn("kiln/v1/controller/summary", tree)
            self.assertEqual("100.0", tree[f"kiln/v1/jobs/{job}/progress"])
            self.assertIn("homeassistant/device/kiln-box-1/config", tree)
            self.assertFalse([topic for topic in tree if "/cmd/" in topic or "/request/" in topic])
            for payload in tree.values():
                self.assertLessEqual(len(payload), 16 * 1024)

            self.assertEqual(204, farm.request("DELETE", f"/api/v1/jobs/{job}")[0])
            wait_until("the job's topics are cleared",
                       lambda: not any(f"/jobs/{job}/" in topic for topic in farm.retained()))
            farm.stop("box-1")
            wait_until("the node says goodbye",
                       lambda: json.loads(farm.retained()["kiln/v1/nodes/box-1/status"])["state"] == "offline")


@unittest.skipUnless((SCENES / "the_column").is_dir(), "the shared scenes are not here")
class RealScene(unittest.TestCase):
    def test_linked_libraries_and_textures_travel_along(self):
        source = SCENES / "the_column/the_column.blend"
        small = "bpy.context.scene.render.resolution_percentage = 10; bpy.context.scene.cycles.samples = 2"
        with tempfile.TemporaryDirectory() as folder, Farm() as farm:
            farm.agent("box-1")
            # A smaller copy beside the real assets, so that the test takes seconds; its links stay as they are.
            subprocess.run(["cp", "-r", str(source.parent), folder], check=True)
            subprocess.run(["chmod", "-R", "u+w", folder], check=True)
            scene = pathlib.Path(folder) / "the_column/the_column.blend"
            subprocess.run(["blender", "-b", "-Y", str(scene), "--python-expr",
                            f"import bpy; {small}; bpy.ops.wm.save_mainfile()"],
                           check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            expected = pathlib.Path(folder) / "expected"
            expected.mkdir()
            subprocess.run(["blender", "-b", "--factory-startup", "-Y", str(scene), "-o", f"{expected}/####", "-F", "PNG",
                            "-s", "1", "-e", "2", "-a"], check=True, stdout=subprocess.DEVNULL)
            submitted = farm.kiln("--json", "submit", scene, "--frames", "1-2", "--format", "PNG", check=True)
            job = json.loads(submitted.stdout)["id"]
            farm.wait_for_job(job)
            files = farm.output(job)
            self.assertEqual(2, len(files))
            self.assertEqual([pixels(path) for path in sorted(expected.iterdir())],
                             [pixels(files[name]) for name in sorted(files)])


if __name__ == "__main__":
    unittest.main()
