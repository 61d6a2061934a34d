"""A person watches an update come onto the boxes: halted by one that went back, resumed and stopped; desktop and phone."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from farm import Farm, wait_until  # noqa: E402
from updates_test import Box, make_bundle, write  # noqa: E402


class UpdatesPage(unittest.TestCase):
    def test_shows_the_rollout_and_steers_it(self):
        pictures = pathlib.Path(os.environ["KILN_PICTURES"])
        pictures.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            farm = stack.enter_context(Farm())
            for name, fate in (("box-1", "rolled-back"), ("box-2", "slow"), ("box-3", "good")):
                box = Box(farm, name, fate=fate)
                stack.callback(box.end)
            write(box.root / "run/problems.json", json.dumps(["kiln.toml, line 3: tags is a list of words"]))
            wait_until("all say what they run", lambda: sum(
                "update" in node for node in farm.get("/api/v1/nodes")["nodes"]) == 3)
            farm.kiln("image", "add", make_bundle(farm.folder), check=True)
            farm.kiln("update", "--soak", "0", check=True)
            wait_until("it is halted", lambda: farm.get("/api/v1/rollouts/latest")["state"] == "halted")
            result = subprocess.run(["node", HERE / "check_updates.mjs", farm.url, pictures], text=True,
                                    capture_output=True, timeout=300)
            print(result.stdout)
            self.assertEqual(0, result.returncode, result.stderr)
            self.assertEqual("stopped", farm.get("/api/v1/rollouts/latest")["state"], "stopped from the page")


if __name__ == "__main__":
    unittest.main()
