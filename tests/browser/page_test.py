"""A person opens the page while a job renders: pictures, temperatures, progress, steering; desktop and phone."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from farm import BLACK_AT_3, Farm, make_scene, wait_until  # noqa: E402


class Page(unittest.TestCase):
    def test_shows_the_farm_live_and_steers_it(self):
        pictures = pathlib.Path(os.environ["KILN_PICTURES"])
        pictures.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, Farm() as farm:
            farm.agent("box-1")
            folder = pathlib.Path(folder)
            done = farm.submit(make_scene(folder / "pot.blend", BLACK_AT_3, (1, 5)), "1-5")["id"]
            failing = make_scene(folder / "dark.blend", "bpy.data.objects.remove(bpy.data.objects['Camera'])")
            failed = farm.submit(failing, "1-3")["id"]
            farm.wait_for_job(done)
            farm.wait_for_job(failed, "failed")
            # Some seconds a frame on any machine: it must still render when the last picture is taken.
            slow_scene = make_scene(folder / "slow.blend", "scene.cycles.use_adaptive_sampling = False; "
                                    "scene.cycles.samples = 4096", (1, 60))
            slow = farm.submit(slow_scene, "1-60")["id"]
            wait_until("the slow job renders", lambda: farm.get(f"/api/v1/jobs/{slow}")["tasks"]["done"] >= 1)
            result = subprocess.run(["node", HERE / "check_page.mjs", farm.url, pictures], text=True,
                                    capture_output=True, timeout=300)
            print(result.stdout)
            self.assertEqual(0, result.returncode, result.stderr)
            self.assertEqual("cancelled", farm.get(f"/api/v1/jobs/{slow}")["state"], "cancelled from the page")


if __name__ == "__main__":
    unittest.main()
