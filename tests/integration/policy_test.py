"""What the farm does about failures: hung frames, frames without a picture, GPUs that are not there."""
import json
import pathlib
import subprocess
import tempfile
import unittest

from farm import BLACK_AT_3, Farm, make_scene, wait_until

# Hangs at frame 2, the first time that it is rendered.
HANGS_ONCE = """
marker = {marker!r}
driver = cube.driver_add('location', 2).driver
driver.expression = ("0 if frame != 2 or __import__('os').path.exists('%s') else "
                     "(open('%s', 'w').close(), __import__('time').sleep(900)) and 0" % (marker, marker))
assert len(driver.expression) < 256
"""


class Policy(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-policy-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.scenes = pathlib.Path(cls.folder.name)
        cls.farm = Farm(open_broker=True)  # a box that lies is part of it
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        # A scene here remembers outside of its cage that it hung already.
        settings = cls.scenes / "agent.toml"
        settings.write_text("[cage]\nenabled = false\n")
        cls.farm.agent("box-1", "--config", settings)
        wait_until("the box has introduced itself",
                   lambda: cls.farm.get("/api/v1/nodes/box-1")["info"].get("agent_version"))

    def test_a_frame_that_hangs_is_killed_and_retried(self):
        # Long enough for Blender to start and to open the scene on a busy machine.
        for option, code, says in (("stall_s", "renderer-hung", "no sign of life for 30 s while rendering frame 2"),
                                   ("max_run_s", "timeout", "longer than the 30 s that its job allows")):
            with self.subTest(option):
                marker = self.scenes / option
                scene = make_scene(self.scenes / f"{option}.blend", HANGS_ONCE.format(marker=str(marker)))
                job = self.farm.submit(scene, "1-4", options={"scene_file": scene.name, "autoexec": True, option: 30})
                self.assertEqual(30, job[option])
                shown = self.farm.wait_for_job(job["id"])
                self.assertTrue(marker.exists())
                self.assertEqual(4, shown["tasks"]["done"])
                task = self.farm.get(f"/api/v1/tasks/{job['id']}-1")
                self.assertEqual(["failed", "done"], [one["state"] for one in task["attempts"]])
                self.assertEqual(code, task["attempts"][0]["error"]["code"])
                self.assertIn(says, task["attempts"][0]["error"]["message"])
                self.assertEqual(4, len(self.farm.output(job["id"])))

    def test_a_black_frame_among_pictures_is_held_for_a_look(self):
        scene = make_scene(self.scenes / "black.blend", BLACK_AT_3, frames=(1, 5))
        for image_format in ("PNG", "OPEN_EXR"):
            with self.subTest(image_format):
                job = self.farm.submit(scene, "1-5", options={"scene_file": scene.name, "format": image_format})["id"]
                shown = self.farm.wait_for_job(job)
                self.assertEqual((1, 5), (shown["held"], shown["tasks"]["done"]))
                self.assertEqual(5, len(self.farm.output(job)))  # it is kept
                held = self.farm.get(f"/api/v1/jobs/{job}/tasks?state=held")["tasks"]
                self.assertEqual(["3"], [task["frames"] for task in held])
                self.assertIn("all black", held[0]["held"])
                marked = {one["frame"] for one in self.farm.get(f"/api/v1/jobs/{job}/results")["results"] if one.get("held")}
                self.assertEqual({3}, marked)
                said = self.farm.kiln("job", shown["number"], check=True).stdout
                self.assertIn("all black", said)
                self.assertIn(f"kiln accept {shown['number']}", said)

                # The controller forgets nothing of it.
                self.farm.stop("controller")
                self.farm.start_controller()
                self.assertEqual(1, self.farm.get(f"/api/v1/jobs/{job}")["held"])
                wait_until("the box is back", lambda: self.farm.presence("box-1") == "online")

                # Rendered again it is black again, and held again.
                self.farm.kiln("requeue", held[0]["id"], check=True)
                wait_until("frame 3 is rendered again",
                           lambda: self.farm.get(f"/api/v1/tasks/{held[0]['id']}")["attempt"] == 2)
                self.assertEqual(1, self.farm.wait_for_job(job)["held"])
                self.assertEqual(5, len(self.farm.output(job)))
                self.farm.kiln("accept", shown["number"], check=True)
                self.assertEqual(0, self.farm.get(f"/api/v1/jobs/{job}")["held"])
                refused = self.farm.kiln("accept", held[0]["id"])
                self.assertEqual(5, refused.returncode, refused.stderr)
                self.assertIn("is not held", refused.stderr)

    def test_a_job_that_needs_a_gpu_says_why_it_cannot_run_here(self):
        scene = make_scene(self.scenes / "gpu.blend")
        refused = self.farm.kiln("submit", scene, "--frames", "1", "--device", "gpu")
        self.assertEqual(2, refused.returncode, refused.stderr)
        self.assertIn("the job asks for a GPU, and none of the farm's nodes with blender has one", refused.stderr)
        # On the CPU it goes, when asked for.
        job = json.loads(self.farm.kiln("--json", "submit", scene, "--frames", "1", "--device", "cpu", check=True).stdout)
        self.assertEqual("cpu", job["device"])
        self.farm.wait_for_job(job["id"])

        # A box with a GPU that its Blender cannot use: an error, not a frame of the CPU's.
        info = self.farm.get("/api/v1/nodes/box-1")["info"]
        info["gpus"] = [{"index": 0, "name": "Broken", "vendor": "nvidia", "memory_mib": 1}]
        info["gpu_slots"] = 1
        subprocess.run(["mosquitto_pub", *self.farm.as_user(), "-q", "1", "-t", "kiln/v1/nodes/box-1/info",
                        "-m", json.dumps(info)], check=True)
        wait_until("the GPU is known", lambda: self.farm.get("/api/v1/nodes/box-1")["info"]["gpus"])
        job = self.farm.submit(scene, "1", retries=0, options={"scene_file": scene.name, "device": "gpu"})
        shown = self.farm.wait_for_job(job["id"], "failed")
        self.assertIn("the job asks for a GPU", shown["message"])
        self.assertEqual("no-gpu", self.farm.get(f"/api/v1/tasks/{job['id']}-0")["error"]["code"])
        self.assertEqual({}, self.farm.output(job["id"]))


if __name__ == "__main__":
    unittest.main()
