"""On a farm that trusts nobody unnamed: people log in on the page, see what their role may do, and let a box in."""
import json
import os
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "integration"))
from farm import BIN, Farm, wait_until  # noqa: E402

PASSWORD = "correct horse battery"


class People(unittest.TestCase):
    def test_people_log_in_and_let_a_box_in(self):
        pictures = pathlib.Path(os.environ["KILN_PICTURES"])
        pictures.mkdir(parents=True, exist_ok=True)
        with Farm() as farm:
            for name, role in (("root", "administrator"), ("vic", "viewer")):
                status, answer = farm.post("/api/v1/users", {"name": name, "role": role, "password": PASSWORD})
                self.assertEqual(201, status, answer)
            # Rests while no node is there: a job that can be steered.
            self.assertEqual(201, farm.post("/api/v1/jobs", {"type": "noop", "frames": "1-3"})[0])
            farm.stop("controller")
            settings = farm.folder / "controller.toml"
            settings.write_text("[accounts]\ntrust_loopback = false\n[nodes]\nadmit_loopback = false\n")
            farm.start_controller("--config", settings)

            status_file = farm.folder / "status.json"
            config = farm.folder / "agent.toml"
            config.write_text(f'name = "shelf-7"\nstatus_file = "{status_file}"\n')
            secure = f"https://localhost:{farm.http_port}"
            farm.start("shelf-7", [BIN / "kiln-agent", "--config", config, "--controller", secure,
                                   "--data", farm.folder / "shelf-7"])

            def waits():
                shown = json.loads(status_file.read_text()) if status_file.exists() else {}
                return shown if shown.get("state") == "pending" else None

            shown = wait_until("the box waits", waits)
            result = subprocess.run(["node", HERE / "check_people.mjs", farm.url, pictures, "shelf-7",
                                     shown["fingerprint"]], text=True, capture_output=True, timeout=400)
            print(result.stdout)
            self.assertEqual(0, result.returncode, result.stderr)


if __name__ == "__main__":
    unittest.main()
