"""A real controller on this machine's loopback, which the boxes reach at 10.0.2.2."""
import json
import os
import pathlib
import subprocess
import urllib.error
import urllib.request

from box import free_port, wait_until

BIN = pathlib.Path(os.environ["KILN_BIN"])
CONFIG = """
[http]
names = ["10.0.2.2"]  # as QEMU's guests call this machine's loopback

[nodes]
admit_loopback = false  # where they come from; a person says who is let in
"""


class Controller:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.http_port, self.mqtt_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.url_of_boxes = f"https://10.0.2.2:{self.http_port}"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *ignored):
        self.stop()

    def start(self):
        config = self.folder / "controller.toml"
        config.write_text(CONFIG)
        with open(self.folder / "controller.log", "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "kiln-controller", "--config", config, "--data", self.folder / "data",
                 "--http", f"127.0.0.1:{self.http_port}", "--mqtt", f"127.0.0.1:{self.mqtt_port}"],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL)

        def answers():
            assert self.process.poll() is None, (self.folder / "controller.log").read_text()
            try:
                return self.request("GET", "/healthz")
            except OSError:
                return None

        wait_until("the controller answers", answers, 300, 0.2)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)
        self.process = None

    def request(self, method, path, body=None, headers=None):
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def get(self, path):
        status, body = self.request("GET", path)
        assert status == 200, (path, status, body[:300])
        return json.loads(body)

    def authority(self):
        return self.get("/api/v1/farm")["ca_fingerprint"]

    def node(self, name):
        """The node of that id, None where the farm knows none."""
        return next((node for node in self.get("/api/v1/nodes")["nodes"] if node["id"] == name), None)

    def wait_for_job(self, job, deadline_s):
        def reached():
            shown = self.get(f"/api/v1/jobs/{job}")
            assert shown["state"] not in ("failed", "cancelled"), shown
            return shown if shown["state"] == "done" else None

        return wait_until(f"job {job} is done", reached, deadline_s)

    def output(self, job):
        folder = pathlib.Path(self.get(f"/api/v1/jobs/{job}")["output_dir"])
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def kiln(self, *args, timeout=900):
        result = subprocess.run([BIN / "kiln", "--server", self.url, *map(str, args)], capture_output=True, text=True,
                                timeout=timeout)
        assert result.returncode == 0, f"kiln {args}: exit {result.returncode}\n{result.stdout}{result.stderr}"
        return result.stdout
