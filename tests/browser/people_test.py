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
    @staticmethod
    def box(farm, name):
        """Starts an agent that speaks TLS, and returns what its screen shows once it waits. All of them say that they
        are the same hardware."""
        serial = farm.folder / "sys/class/dmi/id/product_uuid"
        serial.parent.mkdir(parents=True, exist_ok=True)
        serial.write_text("the same for all\n")
        status = farm.folder / f"{name}.json"
        config = farm.folder / f"{name}.toml"
        config.write_text(f'name = "{name}"\nstatus_file = "{status}"\n')
        farm.start(name, [BIN / "kiln-agent", "--config", config, "--controller",
                          f"https://localhost:{farm.http_port}", "--data", farm.folder / name, "--sysfs",
                          farm.folder / "sys"])

        def waits():
            shown = json.loads(status.read_text()) if status.exists() else {}
            return shown if shown.get("state") == "pending" else None

        return wait_until(f"{name} waits", waits)

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

            first = self.box(farm, "shelf-7")
            self.box(farm, "shelf-8")
            result = subprocess.run(["node", HERE / "check_people.mjs", farm.url, pictures, "shelf-7",
                                     first["fingerprint"], "shelf-8"], text=True, capture_output=True, timeout=400)
            print(result.stdout)
            self.assertEqual(0, result.returncode, result.stderr)


if __name__ == "__main__":
    unittest.main()
