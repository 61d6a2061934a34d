"""A farm goes back to a backup while its nodes live on, and a box meets another farm: no finished frame is lost."""
import pathlib
import shutil
import signal
import subprocess
import tempfile
import unittest

from farm import BIN, Farm, make_scene, wait_until


class Backup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-backup-")
        cls.scene = make_scene(pathlib.Path(cls.folder.name) / "scene.blend", "scene.cycles.samples = 16", (1, 10))
        cls.addClassCleanup(cls.folder.cleanup)

    def controller(self, farm, *args):
        return subprocess.run([BIN / "kiln-controller", "--data", farm.folder / "controller", *args],
                              capture_output=True, text=True, timeout=60)

    def done(self, farm, job):
        return farm.get(f"/api/v1/jobs/{job}")["tasks"]["done"]

    def assert_each_frame_once(self, farm, job):
        farm.wait_for_job(job)
        results = farm.get(f"/api/v1/jobs/{job}/results")["results"]
        self.assertEqual(list(range(1, 11)), sorted(result["frame"] for result in results))
        self.assertEqual({f"render/shot_{frame:04}.png" for frame in range(1, 11)}, set(farm.output(job)))

    def test_a_job_goes_on_from_a_backup_made_while_it_ran(self):
        with Farm() as farm:
            farm.agent("box-1")
            job = farm.submit(self.scene, "1-10")["id"]
            wait_until("two frames are done", lambda: self.done(farm, job) >= 2)
            made = self.controller(farm, "backup", farm.folder / "farm.db")
            self.assertEqual(0, made.returncode, made.stderr)
            self.assertRegex(made.stdout, r"1 jobs, [\d.]+ MiB, checked, in [\d.]+ s")
            refused = self.controller(farm, "restore", farm.folder / "farm.db")
            self.assertIn("stop the controller first", refused.stderr)
            self.assertNotEqual(0, refused.returncode)
            known = self.done(farm, job)
            wait_until("more frames are done", lambda: self.done(farm, job) > known)
            unknown = farm.submit(self.scene, "1-2", name="submitted after the backup")["id"]
            farm.stop("controller", signal.SIGKILL)

            restored = self.controller(farm, "restore", farm.folder / "farm.db")
            self.assertEqual(0, restored.returncode, restored.stderr)
            self.assertRegex(restored.stdout, r"kept as .*kiln\.db\.before-restore-1")
            self.assertRegex(restored.stdout, r"\d+ frames that the backup does not know lie in "
                                              r"jobs/<job>/before-restore-1")
            farm.start_controller()
            self.assert_each_frame_once(farm, job)
            self.assertEqual(404, farm.request("GET", f"/api/v1/jobs/{unknown}")[0])
            # Attempts since then have numbers of their own.
            attempts = [task["attempt"] for task in farm.get(f"/api/v1/jobs/{job}/tasks")["tasks"]]
            self.assertTrue(all(number == 1 or number > 1000 for number in attempts), attempts)
            # And the one that was kept goes back in its place.
            farm.stop("controller")
            undone = self.controller(farm, "restore", farm.folder / "controller/kiln.db.before-restore-1")
            self.assertEqual(0, undone.returncode, undone.stderr)
            farm.start_controller()
            self.assert_each_frame_once(farm, job)
            farm.wait_for_job(unknown)

    def test_frames_wait_for_their_own_farm(self):
        with Farm() as farm:
            farm.agent("box-1")
            job = farm.submit(self.scene, "1-10")["id"]
            wait_until("two frames are done", lambda: self.done(farm, job) >= 2)
            # The controller dies; what the box finishes now stays in its journal.
            farm.stop("controller", signal.SIGKILL)
            journal = farm.folder / "box-1/journal"
            wait_until("a frame is journalled", lambda: [one for one in journal.iterdir() if one.name.startswith("1-")])
            shutil.move(farm.folder / "controller", farm.folder / "the farm")
            farm.start_controller()  # another farm at the same address
            wait_until("the box keeps what is not this farm's", lambda: "is kept: " in farm.log("box-1"))
            self.assertTrue([one for one in journal.iterdir() if one.name.startswith("1-")])
            wait_until("the box serves the new farm", lambda: farm.presence("box-1") == "online")
            farm.stop("controller")
            shutil.move(farm.folder / "controller", farm.folder / "another farm")
            shutil.move(farm.folder / "the farm", farm.folder / "controller")
            farm.start_controller()
            wait_until("they are delivered after all", lambda: "has its verdict now: accepted" in farm.log("box-1"))
            self.assert_each_frame_once(farm, job)


if __name__ == "__main__":
    unittest.main()
