"""Everything is killed, cut and filled at random for a while; in the end each frame is there once, and right.

    KILN_CHAOS_S=300 KILN_CHAOS_SEED=7 tests/integration/chaos_test.py      (ctest: 45 s, another seed each time)
"""
import os
import pathlib
import random
import sqlite3
import subprocess
import tempfile
import unittest

from chaos import Box, Saboteur, enter_namespace
from farm import Farm, make_scene, render_with_blender, wait_until

FRAMES = 300
SECONDS = float(os.environ.get("KILN_CHAOS_S", 45))
SEED = int(os.environ.get("KILN_CHAOS_SEED", random.randrange(1 << 32)))


def pictures(folder):
    """Digests of a numbered sequence's decoded pixels, in order."""
    result = subprocess.run(["ffmpeg", "-v", "error", "-start_number", "1", "-i", f"{folder}/shot_%04d.png",
                             "-pix_fmt", "rgb24", "-f", "framemd5", "-"], capture_output=True, text=True, check=True)
    return [line.split()[-1] for line in result.stdout.splitlines() if not line.startswith("#")]


class Chaos(unittest.TestCase):
    def setUp(self):
        print(f"KILN_CHAOS_SEED={SEED} KILN_CHAOS_S={SECONDS:g}", flush=True)
        folder = tempfile.TemporaryDirectory(prefix="kiln-chaos-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.small = self.folder / "small"
        self.small.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", self.small], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", self.small], check=True)
        # Short waits, so that boxes are given up and come back within the test.
        (self.folder / "controller.toml").write_text("[farm]\nmin_free_mib = 4\ngrace_s = 5\n")
        self.farm = Farm()
        self.addCleanup(self.leave)
        self.start_controller()
        self.boxes = [Box(self.farm, number, SEED + number) for number in (1, 2, 3)]
        for box in self.boxes:
            wait_until(f"{box.name} is online", lambda: self.farm.presence(box.name) == "online")

    def leave(self):
        failed = not self._outcome.success
        self.farm.__exit__(AssertionError if failed else None, None, None)

    def start_controller(self):
        self.farm.start_controller("--config", self.folder / "controller.toml", data=self.small / "data")

    def test_every_frame_is_there_once_and_right(self):
        scene = make_scene(self.folder / "scene.blend", frames=(1, FRAMES))
        jobs = [self.farm.submit(scene, f"1-{FRAMES}")["id"]]
        saboteur = Saboteur(self.farm, self.boxes, self.small, self.start_controller, SEED)

        def keep_busy():
            is_full = saboteur.full_until is not None  # then a submission is refused, as it should be
            if not is_full and self.farm.get(f"/api/v1/jobs/{jobs[-1]}")["state"] == "done":
                jobs.append(self.farm.submit(scene, f"1-{FRAMES}")["id"])

        saboteur.run(SECONDS, keep_busy)
        print(f"done: {saboteur.counts}; on the wires: {[box.wire.counts for box in self.boxes]}; {len(jobs)} jobs")

        reference = render_with_blender(scene, self.folder / "reference")
        self.assertEqual(FRAMES, len(reference))
        expected = pictures(self.folder / "reference")
        for job in jobs:
            self.farm.wait_for_job(job)
            self.assertEqual({f"render/shot_{frame:04}.png" for frame in range(1, FRAMES + 1)}, set(self.farm.output(job)))
            output = pathlib.Path(self.farm.get(f"/api/v1/jobs/{job}")["output_dir"])
            self.assertEqual(expected, pictures(output / "render"), job)
        self.check_books(jobs)
        self.check_logs(saboteur.counts, saboteur.long_cuts)

    def check_books(self, jobs):
        """The database tells the same story: one accepted attempt and one result a task."""
        with sqlite3.connect(f"file:{self.small}/data/kiln.db?mode=ro", uri=True) as books:
            def ask(question, *values):
                return books.execute(question, values).fetchall()

            self.assertEqual([], ask("SELECT job, task FROM attempt WHERE state = 'done' GROUP BY job, task HAVING count(*) > 1"))
            self.assertEqual([(FRAMES,)] * len(jobs), ask("SELECT count(DISTINCT frame) FROM result GROUP BY job"))
            self.assertEqual([(FRAMES * len(jobs),)], ask("SELECT count(*) FROM result"))
            self.assertEqual([], ask("SELECT state FROM task WHERE state != 'done'"))

    def check_logs(self, deeds, long_cuts):
        """Whoever reads the log finds what happened."""
        said = self.farm.log("controller")
        expected = {"kill the broker": "Mosquitto is gone", "kill the controller": "epoch [2-9]",
                    "kill an agent": r"box-\d is (offline|online)", "fill the disk": "disk|space|full"}
        for deed, words in expected.items():
            if deeds.get(deed):
                self.assertRegex(said, words, deed)
        if long_cuts:
            self.assertRegex(said, r"box-\d is (unknown|offline)")


if __name__ == "__main__":
    enter_namespace()
    unittest.main()
