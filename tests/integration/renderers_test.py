"""Renderers as bundles: put on the controller, named by jobs, fetched, verified, kept and evicted by nodes."""
import io
import json
import os
import pathlib
import signal
import socket
import subprocess
import tarfile
import tempfile
import threading
import time
import unittest

from bundle import make_bundle
from farm import DEADLINE_S, Farm, digest, make_scene, pixels, wait_until


class Gate:
    """A way to the controller that a test narrows: it counts what passes, holds it back, or spoils a byte of it.

    Only what the controller says is touched, connection by connection: `limit` bytes pass in all while it is set.
    """
    def __init__(self, port):
        self.to = port
        self.limit = None
        self.spoil = 0  # so many of the next answers that are longer than a megabyte get one wrong byte
        self.passed = 0
        self.done = []
        self.open = threading.Condition()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self.pump, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, True), daemon=True).start()

    def close(self):
        self.hold_after(None)
        self.listener.close()
        for pair in self.done:
            for one in pair:
                one.close()

    def pump(self, source, target, is_answer):
        count = 0
        try:
            while data := source.recv(65536):
                if is_answer:
                    data = self.treat(data, count)
                    count += len(data)
                target.sendall(data)
        except OSError:
            pass
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        if is_answer:  # by then the other direction has ended too
            self.done.append((source, target))

    def treat(self, data, count):
        with self.open:
            if self.spoil and count < 1 << 20 <= count + len(data):
                self.spoil -= 1
                data = data[:-1] + bytes([data[-1] ^ 1])
            if count + len(data) > 1 << 20:  # files: the rest always passes
                self.open.wait_for(lambda: self.limit is None or self.passed < self.limit)
                self.passed += len(data)
        return data

    def hold_after(self, limit):
        with self.open:
            self.limit = limit
            self.passed = 0
            self.open.notify_all()


class Renderers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="kiln-renderers-test-")
        cls.addClassCleanup(cls.scratch.cleanup)
        cls.here = pathlib.Path(cls.scratch.name)
        cls.farm = Farm()
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        cls.scene = make_scene(cls.here / "scene.blend", frames=(1, 2))
        cls.bundle = make_bundle(cls.here, "3.4.1")
        cls.gate = Gate(cls.farm.http_port)
        cls.addClassCleanup(cls.gate.close)
        cls.settings = cls.here / "agent.toml"
        cls.settings.write_text("[renderers]\nmax_gib = 1\n")

    def setUp(self):
        self.failed_before = len(self._outcome.result.failures) + len(self._outcome.result.errors)

    def tearDown(self):
        result = self._outcome.result
        if len(result.failures) + len(result.errors) > self.failed_before:
            for log in sorted(self.farm.folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-5000:]}")

    # ---- what the tests share --------------------------------------------------------------------------------

    def agent(self, name="box"):
        self.farm.start(name, [os.path.join(os.environ["KILN_BIN"], "kiln-agent"), "--config", self.settings,
                               "--controller", f"http://127.0.0.1:{self.gate.port}", "--data", self.farm.folder / name,
                               "--id", name])
        wait_until(f"{name} is online", lambda: self.farm.presence(name) == "online")
        wait_until(f"{name} has introduced itself", lambda: self.info(name).get("bundles_max_mib"))

    def info(self, name="box"):
        return self.farm.get(f"/api/v1/nodes/{name}")["info"]

    def has(self, name="box"):
        return [one["name"] for one in self.info(name).get("bundles", []) if not one.get("fetching")]

    def folder(self, name="box"):
        return self.farm.folder / name / "renderers"

    def fetches(self, name="box"):
        return self.farm.log(name).count(" is here: ")

    def add(self, file, *args):
        return self.farm.kiln("renderer", "add", file, *args, check=True)

    def submit(self, renderer, frames="1"):
        return self.farm.submit(self.scene, frames, renderer=renderer)

    def log_of(self, job, frame=None):
        flags = [] if frame is None else ["--frame", frame]
        return self.farm.kiln("logs", job["number"], *flags, check=True).stdout

    # ---- the promises, in order ------------------------------------------------------------------------------

    def test_1_an_archive_is_looked_at_once_and_a_wrong_one_refused(self):
        said = self.add(self.bundle).stdout
        self.assertIn("blender-3.4.1: blender-3.4.1-linux-x64/blender", said)
        self.add(self.bundle)  # again: nothing changes
        listed = json.loads(self.farm.kiln("--json", "renderer", "list", check=True).stdout)["renderers"]
        self.assertEqual(["blender-3.4.1"], [one["name"] for one in listed])
        self.assertEqual(digest(self.bundle), listed[0]["digest"])
        self.assertEqual(self.bundle.stat().st_size, listed[0]["size"])
        self.assertGreater(listed[0]["unpacked_bytes"], 80 << 20)

        def entry(name, **more):
            info = tarfile.TarInfo(name)
            for key, value in more.items():
                setattr(info, key, value)
            return info

        cases = [
            ("out", entry("../evil"), "outside of its folder"),
            ("root", entry("/etc/evil"), "outside of its folder"),
            ("link", entry("etc", type=tarfile.SYMTYPE, linkname="/etc"), "leads out of the archive"),
            ("device", entry("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3), "is a device"),
        ]
        for word, hostile, why in cases:
            file = self.here / f"blender-9.0-{word}.tar"
            with tarfile.open(file, "w") as tar:
                tar.addfile(entry("blender", mode=0o755, size=1), io.BytesIO(b"x"))
                tar.addfile(hostile)
            refused = self.farm.kiln("renderer", "add", file)
            self.assertNotEqual(0, refused.returncode)
            self.assertIn(why, refused.stderr)
            self.assertEqual(1, len(refused.stderr.strip().splitlines()), refused.stderr)
        text = self.here / "blender-9.1-linux-x64.tar.xz"
        text.write_text("no archive at all\n" * 1000)
        self.assertIn("cannot be read", self.farm.kiln("renderer", "add", text).stderr)
        cut = self.here / "blender-9.2-linux-x64.tar.zst"
        cut.write_bytes(self.bundle.read_bytes()[:-1_000_000])
        self.assertIn("cannot be read", self.farm.kiln("renderer", "add", cut).stderr)
        self.assertIn("another system",
                      self.farm.kiln("renderer", "add", "--name", "", self.here / "x.tar").stderr +
                      self.refuse_named("blender-4.2.1-windows-x64.zip"))
        other = self.here / "other.tar"
        with tarfile.open(other, "w") as tar:
            tar.addfile(entry("blender", mode=0o755, size=1), io.BytesIO(b"y"))
        self.assertIn("there is another blender-3.4.1 already",
                      self.farm.kiln("renderer", "add", other, "--name", "blender", "--version", "3.4.1").stderr)
        self.assertEqual(1, len(self.farm.get("/api/v1/renderers")["renderers"]))

    def refuse_named(self, name):
        file = self.here / name
        file.write_bytes(b"PK")
        return self.farm.kiln("renderer", "add", file).stderr

    def test_2_a_job_that_names_one_renders_as_the_installed_one_and_the_next_fetches_nothing(self):
        self.agent()
        status, refused = self.farm.post("/api/v1/jobs", self.farm.submission(self.scene, "1", renderer="blender-9.9"))
        self.assertEqual(400, status)
        self.assertIn("no renderer 'blender-9.9' here; there are blender-3.4.1", refused["detail"])

        installed = self.farm.submit(self.scene, "1-2")
        self.farm.wait_for_job(installed["id"])
        began = time.monotonic()
        job = json.loads(self.farm.kiln("--json", "submit", self.scene, "--frames", "1-2", "--renderer",
                                        "blender-3.4.1", check=True).stdout)
        self.assertEqual("blender-3.4.1", job["renderer"])
        self.farm.wait_for_job(job["id"])
        print(f"\nsubmitted, fetched, unpacked and two frames: {time.monotonic() - began:.1f} s; "
              f"{[line for line in self.farm.log('box').splitlines() if ' is here: ' in line]}")
        self.assertIn("renderer from the bundle 3.4.1", self.log_of(job, 1))  # its Blender said that when it started
        self.assertIn("renderer blender-3.4.1", self.log_of(job, 2))
        self.assertNotIn("renderer ", self.log_of(installed, 1) + self.log_of(installed, 2))
        frames, measure = self.farm.output(job["id"]), self.farm.output(installed["id"])
        self.assertEqual(sorted(measure), sorted(frames))
        for name in measure:
            self.assertEqual(pixels(measure[name]), pixels(frames[name]), name)

        wait_until("the box says what it has", lambda: self.has() == ["blender-3.4.1"])
        self.assertLess(len(self.farm.retained()["kiln/v1/nodes/box/info"]), 4096)
        self.assertEqual(1, self.fetches())
        again = self.submit("blender-3.4.1")
        self.farm.wait_for_job(again["id"])
        self.assertIn("renderer blender-3.4.1", self.log_of(again))
        self.assertNotIn("renderer from the bundle", self.log_of(again))  # it was open still
        self.assertEqual(1, self.fetches())
        # What it runs lies read-only, in a cage that shows it and nothing else of the box's own.
        [place] = [one for one in self.folder().iterdir() if one.name != "partial"]
        self.assertEqual(f"blender-3.4.1-{digest(self.bundle)[7:15]}", place.name)
        self.assertEqual(0o555, (place / "blender-3.4.1-linux-x64/blender").stat().st_mode & 0o777)

        # Back to the installed one, on the same slot.
        last = self.farm.submit(self.scene, "2")
        self.farm.wait_for_job(last["id"])
        self.assertNotIn("renderer ", self.log_of(last))

    def test_3_a_template_names_one_too(self):
        job = self.farm.kiln("--json", "submit", "--type", "blender-animation", "-p", f"Scene={self.scene}", "-p",
                             "Frames=1", "--renderer", "blender-3.4.1", check=True)
        self.farm.wait_for_job(json.loads(job.stdout)["id"])
        template = self.here / "own.yaml"
        template.write_text("""
specificationVersion: jobtemplate-2023-09
name: which
steps:
- name: look
  hostRequirements: {attributes: [{name: "kiln:attr.renderer", anyOf: [blender-3_4_1]}]}
  script:
    actions: {onRun: {command: blender, args: ["--version"]}}
""")
        job = self.farm.kiln("--json", "submit", "--template", template, check=True)
        job = json.loads(job.stdout)
        self.farm.wait_for_job(job["id"])
        self.assertIn("renderer from the bundle 3.4.1", self.log_of(job))
        template.write_text(template.read_text().replace("3_4_1", "9_9"))
        self.assertIn("there are blender-3.4.1", self.farm.kiln("submit", "--template", template).stderr)
        self.assertEqual(1, self.fetches())

    def test_4_killed_in_the_middle_of_a_fetch_it_goes_on(self):
        self.farm.stop("box")
        self.add(make_bundle(self.here, "3.4.2"))
        size = (self.here / "blender-3.4.2-linux-x64.tar.zst").stat().st_size
        self.gate.hold_after(size // 3)
        self.agent()
        job = self.submit("blender-3.4.2")
        partial = self.folder() / "partial" / digest(self.here / "blender-3.4.2-linux-x64.tar.zst")[7:]
        wait_until("a third has come", lambda: partial.exists() and partial.stat().st_size > size // 4)
        wait_until("the box says that it fetches", lambda: any(
            one.get("fetching") for one in self.info().get("bundles", [])))
        self.farm.stop("box", signal.SIGKILL)
        held = partial.stat().st_size
        self.gate.hold_after(None)
        self.agent()
        self.farm.wait_for_job(job["id"])
        self.assertIn("renderer from the bundle 3.4.2", self.log_of(job))
        self.assertLess(self.gate.passed, size - held + (1 << 20))  # it went on where it was
        self.assertFalse(partial.exists())

    def test_5_killed_while_it_unpacks_nothing_half_is_left(self):
        self.add(make_bundle(self.here, "3.4.3", padding_mib=300))
        job = self.submit("blender-3.4.3")
        wait_until("it is being unpacked", lambda: list(self.folder().glob(".unpacking-*")))
        self.farm.stop("box", signal.SIGKILL)
        self.agent()
        self.farm.wait_for_job(job["id"])
        self.assertIn("renderer from the bundle 3.4.3", self.log_of(job))
        self.assertEqual([], [one.name for one in self.folder().iterdir()
                              if one.name != "partial" and not one.name.startswith("blender-")])

    def test_6_what_arrives_wrong_is_thrown_away_and_fetched_again(self):
        self.add(make_bundle(self.here, "3.4.4"))
        self.gate.spoil = 1
        job = self.submit("blender-3.4.4")
        self.farm.wait_for_job(job["id"])
        self.assertEqual(0, self.gate.spoil)
        self.assertIn("it was thrown away", self.farm.log("box"))
        self.assertIn("renderer from the bundle 3.4.4", self.log_of(job))

    def test_7_the_bound_holds_and_the_one_used_longest_ago_goes(self):
        self.add(make_bundle(self.here, "3.4.5", padding_mib=500))
        before = set(self.has())
        self.assertIn("blender-3.4.3", before)
        job = self.submit("blender-3.4.5")
        self.farm.wait_for_job(job["id"])
        wait_until("the box says what it has", lambda: "blender-3.4.5" in self.has())
        self.assertNotIn("blender-3.4.1", self.has())  # used longest ago
        sizes = {one["name"]: one["unpacked_bytes"] for one in self.farm.get("/api/v1/renderers")["renderers"]}
        self.assertLess(sum(sizes[name] for name in self.has()), 1 << 30)
        on_disk = sorted(one.name.rpartition("-")[0] for one in self.folder().iterdir() if one.name != "partial")
        self.assertEqual(sorted(self.has()), on_disk)
        # What can never fit is said where people look, and no node tries.
        big = make_bundle(self.here, "3.4.6", padding_mib=1024)
        self.add(big)
        status, refused = self.farm.post("/api/v1/jobs",
                                         self.farm.submission(self.scene, "1", renderer="blender-3.4.6"))
        self.assertEqual(400, status, refused)
        self.assertIn("it has room for 1024 MiB of renderers; blender-3.4.6 takes", refused["detail"])

    def test_8_one_that_does_not_start_fails_its_task_and_says_why(self):
        broken = self.here / "broken-program"
        subprocess.run(["cp", "/usr/bin/blender", broken], check=True)
        with open(broken, "r+b") as program:
            program.truncate(1 << 20)
        self.add(make_bundle(self.here, "3.4.7", program=broken))
        job = self.farm.submit(self.scene, "1", renderer="blender-3.4.7", retries=0)
        self.farm.wait_for_job(job["id"], "failed")
        task = self.farm.get(f"/api/v1/jobs/{job['id']}/tasks")["tasks"][0]
        self.assertEqual("renderer-broken", task["error"]["code"], task)
        self.assertIn("blender-3.4.7 does not start on this box", task["error"]["message"])

    def test_9_one_that_is_needed_is_not_removed(self):
        waiting = self.farm.submit(self.scene, "1", renderer="blender-3.4.5", paused=True)
        refused = self.farm.kiln("renderer", "remove", "blender-3.4.5")
        self.assertIn(f"job {waiting['number']}", refused.stderr)
        self.farm.kiln("cancel", waiting["number"], check=True)
        self.farm.kiln("renderer", "remove", "blender-3.4.5", check=True)
        self.assertEqual(404, self.farm.request("GET", f"/api/v1/blobs/{digest(self.here / 'blender-3.4.5-linux-x64.tar.zst')}")[0])
        self.assertIn("no renderer", self.farm.kiln("renderer", "remove", "blender-3.4.5").stderr)
        self.farm.stop("controller")
        self.farm.start_controller()
        names = [one["name"] for one in self.farm.get("/api/v1/renderers")["renderers"]]
        self.assertNotIn("blender-3.4.5", names)
        self.assertIn("blender-3.4.1", names)


if __name__ == "__main__":
    unittest.main()
