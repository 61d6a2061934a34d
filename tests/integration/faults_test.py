"""Any program may be killed at any moment: the job ends complete, and each frame is accepted once."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

from farm import BIN, Farm, descendants, digest, free_port, make_scene, wait_until


class Kill(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-faults-")
        cls.scene = make_scene(pathlib.Path(cls.folder.name) / "scene.blend", "scene.cycles.samples = 64", (1, 12))
        cls.addClassCleanup(cls.folder.cleanup)

    def setUp(self):
        self.farm = Farm()
        self.farm.__enter__()
        self.addCleanup(self.leave)
        self.farm.agent("box-1")

    def leave(self):
        outcome = self._outcome
        failed = any(error for _, error in getattr(outcome, "errors", [])) or not outcome.success
        self.farm.__exit__(AssertionError if failed else None, None, None)

    def start_job(self):
        job = self.farm.submit(self.scene, "1-12")["id"]
        wait_until("two frames are done", lambda: self.done(job) >= 2)
        return job

    def done(self, job):
        return self.farm.get(f"/api/v1/jobs/{job}")["tasks"]["done"]

    def assert_complete(self, job):
        self.farm.wait_for_job(job)
        results = self.farm.get(f"/api/v1/jobs/{job}/results")["results"]
        self.assertEqual(list(range(1, 13)), sorted(result["frame"] for result in results))
        self.assertEqual({f"render/shot_{frame:04}.png" for frame in range(1, 13)}, set(self.farm.output(job)))

    def test_the_renderer(self):
        job = self.start_job()
        agent = self.farm.processes["box-1"].pid
        renderer = wait_until("Blender runs", lambda: dict(descendants(agent)).get("blender"))
        os.kill(renderer, signal.SIGKILL)
        self.assert_complete(job)

    def test_the_agent(self):
        job = self.start_job()
        agent = self.farm.processes["box-1"].pid
        renderer = wait_until("Blender runs", lambda: dict(descendants(agent)).get("blender"))
        self.farm.stop("box-1", signal.SIGKILL)
        wait_until("its renderer dies with it", lambda: not pathlib.Path(f"/proc/{renderer}/cmdline").exists()
                   or not pathlib.Path(f"/proc/{renderer}/cmdline").read_bytes())
        self.farm.agent("box-1")
        self.assert_complete(job)

    def test_the_broker(self):
        job = self.start_job()
        broker = dict(descendants(self.farm.processes["controller"].pid))["mosquitto"]
        os.kill(broker, signal.SIGKILL)
        self.assert_complete(job)
        wait_until("the node is back on the new broker",
                   lambda: "kiln/v1/nodes/box-1/status" in self.farm.retained())

    def test_the_controller_and_no_running_frame_is_killed(self):
        job = self.start_job()
        renderer = wait_until("Blender runs", lambda: dict(descendants(self.farm.processes["box-1"].pid)).get("blender"))
        self.farm.stop("controller", signal.SIGKILL)
        self.farm.start_controller()
        self.assert_complete(job)
        self.assertEqual(renderer, dict(descendants(self.farm.processes["box-1"].pid)).get("blender"))
        for task in self.farm.get(f"/api/v1/jobs/{job}/tasks")["tasks"]:
            self.assertEqual(1, task["attempt"], task)

    def test_all_at_once(self):
        job = self.start_job()
        self.farm.stop("box-1", signal.SIGKILL)
        self.farm.stop("controller", signal.SIGKILL)
        self.farm.start_controller()
        self.farm.agent("box-1")
        self.assert_complete(job)


class Surroundings(unittest.TestCase):
    def test_a_port_in_use_is_named_with_a_way_out(self):
        with Farm() as farm:
            for flags in (["--http", f"127.0.0.1:{farm.http_port}", "--mqtt", f"127.0.0.1:{free_port()}"],
                          ["--http", f"127.0.0.1:{free_port()}", "--mqtt", f"127.0.0.1:{farm.mqtt_port}"]):
                second = subprocess.run([BIN / "kiln-controller", "--data", farm.folder / "second", *flags],
                                        capture_output=True, text=True, timeout=60)
                self.assertNotEqual(0, second.returncode)
                self.assertRegex(second.stderr, r"port \d+ .*in use.*(stop the other program|choose another)")

    def test_a_data_folder_in_use_is_refused(self):
        with Farm() as farm:
            second = subprocess.run([BIN / "kiln-controller", "--data", farm.folder / "controller", "--http",
                                     f"127.0.0.1:{free_port()}", "--mqtt", f"127.0.0.1:{free_port()}"],
                                    capture_output=True, text=True, timeout=60)
            self.assertNotEqual(0, second.returncode)
            self.assertIn("in use by another", second.stderr)

    def test_an_agent_waits_for_a_controller_that_comes_later(self):
        farm = Farm()
        try:
            farm.start("box-1", [BIN / "kiln-agent", "--controller", farm.url, "--data", farm.folder / "box-1", "--id",
                                 "box-1"])
            wait_until("the agent says what it waits for", lambda: "nothing answers at" in farm.log("box-1"))
            farm.start_controller()
            wait_until("the agent is online", lambda: farm.presence("box-1") == "online")
        finally:
            farm.__exit__(None, None, None)

    def test_a_broker_that_is_not_there_is_an_alarm_and_the_page_still_answers(self):
        farm = Farm()
        try:
            port = free_port()
            farm.start_controller("--broker", f"127.0.0.1:{port}")
            alarms = wait_until("an alarm", lambda: farm.get("/api/v1/farm")["alarms"])
            self.assertIn(str(port), alarms[0])
        finally:
            farm.__exit__(None, None, None)

    @unittest.skipUnless(os.geteuid() == 0, "only root may mount a small file system")
    def test_a_full_disk_pauses_and_loses_nothing(self):
        with tempfile.TemporaryDirectory() as folder:
            small = pathlib.Path(folder) / "small"
            small.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", small], check=True)
            farm = Farm()
            try:
                settings = pathlib.Path(folder) / "controller.toml"
                settings.write_text("[farm]\nmin_free_mib = 8\n")
                scene = make_scene(pathlib.Path(folder) / "scene.blend", frames=(1, 6))
                farm.start_controller("--config", settings, data=small / "data")
                farm.agent("box-1")
                farm.put_blob(scene)
                ballast = small / "ballast"
                with open(ballast, "wb") as file:
                    file.write(b"\0" * (42 << 20))
                wait_until("an alarm about the disk",
                           lambda: any("disk" in alarm for alarm in farm.get("/api/v1/farm")["alarms"]))
                # Job files do not take the room that finished frames need; what is there already is no upload.
                other = pathlib.Path(folder) / "other.blend"
                other.write_bytes(b"x" * 1000)
                status, _, body = farm.request("PUT", f"/api/v1/blobs/{digest(other)}", other.read_bytes())
                self.assertEqual(507, status)
                self.assertRegex(body.decode(), r"kept for finished frames.*lower farm\.min_free_mib")
                job = farm.submit(scene, "1-6")["id"]
                held_until = time.monotonic() + 3
                wait_until("three seconds pass without a frame",
                           lambda: time.monotonic() > held_until or farm.get(f"/api/v1/jobs/{job}")["tasks"]["done"])
                self.assertEqual(0, farm.get(f"/api/v1/jobs/{job}")["tasks"]["done"])
                ballast.unlink()
                farm.wait_for_job(job)
                self.assertEqual(6, len(farm.output(job)))
                wait_until("the alarm ends", lambda: not farm.get("/api/v1/farm")["alarms"])
            finally:
                farm.__exit__(None, None, None)
                subprocess.run(["umount", "-l", small], check=True)


if __name__ == "__main__":
    unittest.main()
