"""Updates of boxes with an image of Kiln's: a real controller and real agents. RAUC and the box's restart are played by
Box, which does with the files of a box what root does there (node-agent/box)."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time
import unittest
import uuid

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from farm import BIN, Farm, digest, wait_until  # noqa: E402

MACHINE = "kiln-amd64-trixie-bare"


def write(path, text):
    """As a whole, like the box's programs do."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.rename(path)


def make_bundle(folder, version="2.0.0", size=50_000):
    path = folder / f"kiln-{version}-trixie-bare.raucb"
    path.write_bytes(json.dumps({"version": version}).encode() + b"\n" + os.urandom(size))
    return path


FAILED_BOOT = "5b8a3bd6-8c7e-4f0e-9d5a-0123456789ab"


class Box(threading.Thread):
    """A flashed box: an agent, and what root does for it. `fate` of a new version: good, rolled-back, refused, or slow (its
    installation does not end)."""

    def __init__(self, farm, name, version="1.0.0", fate="good", controller=None):
        super().__init__(daemon=True)
        self.farm, self.name, self.version, self.fate = farm, name, version, fate
        self.root = farm.folder / f"box-{name}"
        self.controller = controller or farm.url
        for folder in ("run", "requests", "data"):
            (self.root / folder).mkdir(parents=True)
        self.other = None  # the version in the other slot
        self.slot = "A"
        self.boots = 0
        self.ended = threading.Event()
        (self.root / "agent.toml").write_text(
            f"[cage]\nenabled = false\n[box]\nimage = \"{self.root}/image\"\nrun = \"{self.root}/run\"\n"
            f"requests = \"{self.root}/requests\"\ndata = \"{self.root}/data\"\nboot_id = \"{self.root}/boot_id\"\n")
        self.boot("good")
        self.start()

    def start_agent(self):
        self.farm.start(self.name, [BIN / "kiln-agent", "--config", self.root / "agent.toml", "--controller",
                                    self.controller, "--data", self.farm.folder / self.name, "--id", self.name,
                                    "--name", self.name])

    def boot(self, health, message=""):
        self.boots += 1
        write(self.root / "boot_id", str(uuid.uuid4()) + "\n")
        write(self.root / "image", f"KILN_IMAGE_VERSION={self.version}\nKILN_IMAGE_COMPATIBLE={MACHINE}\n")
        for word in (self.root / "run").iterdir():
            word.unlink()
        self.start_agent()
        self.say_health("checking")
        self.say_health(health, message)

    def say_health(self, state, message=""):
        write(self.root / "run/health.json",
              json.dumps({"slot": self.slot, "version": self.version, "state": state, "message": message}))

    def say_install(self, state, percent, message=""):
        write(self.root / "run/install.json",
              json.dumps({"state": state, "percent": percent, "version": "?", "message": message}))

    def run(self):
        while not self.ended.wait(0.05):
            request = self.root / "requests/install.json"
            if request.exists():
                self.install(request)
            if (self.root / "requests/reboot").exists():
                (self.root / "requests/reboot").unlink()
                self.restart()

    def install(self, request):
        bundle = pathlib.Path(json.loads(request.read_text())["bundle"])
        request.unlink()
        self.say_install("installing", 0)
        version = json.loads(bundle.read_bytes().split(b"\n", 1)[0])["version"]
        if self.fate == "refused":
            return self.say_install("failed", 0, "signature verification failed: self-signed certificate")
        self.say_install("installing", 50)
        if self.fate == "slow":
            return None
        self.other = version
        return self.say_install("installed", 100)

    def restart(self):
        with contextlib.suppress(KeyError):
            self.farm.stop(self.name, signal.SIGKILL)  # the power goes before anybody is asked
        if self.other is None:
            return self.boot("good")
        if self.fate == "good":
            self.version, self.other = self.other, self.version
            self.slot = "B" if self.slot == "A" else "A"
            return self.boot("good")
        why = f"the update {self.other} was given up: the agent is not running"
        self.other = None
        write(self.root / "data/last-update.json", json.dumps({"state": "rolled-back", "message": why}))
        self.boot("rolled-back", why)

    def end(self):
        self.ended.set()
        self.join()


class Proxy(threading.Thread):
    """Between a box and the controller: cuts the first downloads of a bundle after `cut_after` bytes each."""

    def __init__(self, port, cuts=2, cut_after=1_000_000):
        super().__init__(daemon=True)
        self.target, self.cuts, self.cut_after = port, cuts, cut_after
        self.ranges = []  # of each request for a bundle
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with contextlib.suppress(OSError), client, socket.create_connection(("127.0.0.1", self.target)) as server:
            budget = [None]
            upward = threading.Thread(target=self.upward, args=(client, server, budget), daemon=True)
            upward.start()
            while data := server.recv(65536):
                if budget[0] is not None:
                    budget[0] -= len(data)
                    if budget[0] < 0:
                        client.shutdown(socket.SHUT_RDWR)
                        return
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def upward(self, client, server, budget):
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if data.startswith(b"GET /api/v1/images/"):
                    head = data.decode(errors="replace").lower()
                    self.ranges.append(next((line for line in head.splitlines() if line.startswith("range:")), ""))
                    if len(self.ranges) <= self.cuts:
                        budget[0] = self.cut_after
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)


class Updates(unittest.TestCase):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.farm = self.stack.enter_context(Farm())

    def box(self, name, **options):
        box = Box(self.farm, name, **options)
        self.stack.callback(box.end)
        wait_until(f"{name} says what it runs", lambda: self.update(name).get("version"))
        return box

    def update(self, name):
        return next((n.get("update", {}) for n in self.farm.get("/api/v1/nodes")["nodes"] if n["id"] == name), {})

    def bundle(self, **options):
        return make_bundle(self.farm.folder, **options)

    def kiln(self, *args, **options):
        return self.farm.kiln(*args, check=True, **options).stdout

    def rollout(self, number="latest"):
        return self.farm.get(f"/api/v1/rollouts/{number}")

    def step_of(self, name):
        return next(n for n in self.rollout()["nodes"] if n["node"] == name)

    def wait_for_rollout(self, state):
        return wait_until(f"the rollout is {state}", lambda: self.rollout()["state"] == state and self.rollout())

    def test_a_wrong_line_of_its_settings_is_named(self):
        box = self.box("n1")
        wrong = "kiln.toml, line 3: tags is a list of words"
        write(box.root / "run/problems.json", json.dumps([wrong]))
        wait_until("the controller knows", lambda: self.update("n1").get("problems") == [wrong])
        self.assertIn(f"n1: {wrong}", self.kiln("nodes"))

    def test_one_goes_first_and_the_rest_follows_between_two_frames(self):
        boxes = [self.box(f"n{i}") for i in range(1, 4)]
        self.kiln("image", "add", self.bundle())
        listed = self.kiln("image", "list")
        self.assertIn("2.0.0", listed)
        self.assertIn(MACHINE, listed)
        said = self.kiln("update", "2.0.0", "--canary", "10%", "--soak", "0", "--at-once", "2")
        self.assertIn("rollout 1 of 2.0.0", said)
        wait_until("the first is offered it", lambda: self.update("n1").get("rollout") == 1)
        # Nobody else before that one is good.
        while True:
            rollout = self.rollout()
            steps = {n["node"]: n["step"] for n in rollout["nodes"]}
            self.assertEqual("running", rollout["state"], rollout)
            if steps["n1"] == "good":
                break
            self.assertEqual({"waiting"}, {steps["n2"], steps["n3"]})
        ended = self.wait_for_rollout("done")
        self.assertEqual(3, ended["counts"]["good"])
        for box in boxes:
            self.assertEqual("2.0.0", box.version)
            self.assertEqual(2, box.boots)
            wait_until("it says so", lambda box=box: self.update(box.name).get("state") == "good")
            self.assertEqual("B", self.update(box.name)["slot"])
            self.assertEqual([], [p for p in (self.farm.folder / box.name / "update").glob("*.raucb")])
        self.assertIn("3 of 3 nodes are good", self.kiln("update", "status"))
        # The wire says the same, retained.
        retained = self.farm.retained()
        self.assertEqual("good", json.loads(retained["kiln/v1/nodes/n1/update"])["state"])
        answer = self.farm.mqtt_request("update-status", {"cid": "1"})
        self.assertEqual("done", answer["data"]["state"])
        self.assertEqual(403, self.farm.mqtt_request("update-start", {"cid": "2"})["status"])  # an artist
        # Nothing is left to do.
        again = self.farm.kiln("update", "2.0.0")
        self.assertEqual(5, again.returncode, again.stderr)
        self.assertIn("already", again.stderr)
        audit = self.farm.get("/api/v1/audit")
        self.assertTrue(any("/rollouts" in one["path"] for one in audit["entries"]), audit)
        self.kiln("image", "remove", "2.0.0")
        self.assertEqual([], self.farm.get("/api/v1/images")["images"])

    def test_a_box_renders_on_while_it_waits_for_its_window_and_restarts_between_two_tasks(self):
        box = self.box("n1")
        self.kiln("image", "add", self.bundle())
        # Some other day of the week.
        day = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[(time.localtime().tm_wday + 3) % 7]
        self.kiln("update", "--window", f"{day} 02:00-06:00")
        wait_until("it is installed", lambda: self.update("n1").get("state") == "installed")
        self.assertEqual(1, box.boots)
        status, job = self.farm.post("/api/v1/jobs", {"type": "noop", "frames": "1-200", "name": "plumbing"})
        self.assertEqual(201, status, job)
        self.farm.wait_for_job(job["id"])  # it takes work though it is installed
        # The agent's own end loses nothing.
        self.farm.stop("n1", signal.SIGKILL)
        box.start_agent()
        wait_until("it is back", lambda: self.farm.presence("n1") == "online")
        self.assertEqual("installed", self.update("n1")["state"])
        self.kiln("update", "stop")
        self.assertEqual("installed", self.update("n1")["state"])  # the next start is into it, whoever asks for it
        self.kiln("node", "reboot", "n1")
        wait_until("it is good", lambda: self.update("n1").get("state") == "good")
        self.assertEqual("2.0.0", self.update("n1")["version"])

    def test_a_first_one_that_rolls_back_halts_the_rollout_and_is_never_offered_it_again(self):
        bad, other = self.box("n1", fate="rolled-back"), self.box("n2")
        logs = bad.root / "data/failed-boots"
        logs.mkdir()
        (logs / f"{FAILED_BOOT}.log").write_text("the new system said this\n")
        self.kiln("image", "add", self.bundle())
        self.kiln("update", "--soak", "0")
        halted = self.wait_for_rollout("halted")
        self.assertIn("the agent is not running", halted["reason"])
        self.assertIn("n1", halted["reason"])
        self.assertEqual(1, other.boots)
        self.assertEqual("1.0.0", bad.version)
        self.assertEqual("rolled-back", self.update("n1")["state"])
        self.assertTrue(any("halted" in one for one in self.farm.get("/api/v1/farm")["alarms"]))
        self.assertIn("halted", self.kiln("update", "status"))
        self.kiln("update", "resume")
        ended = self.wait_for_rollout("done")
        self.assertEqual({"good": 1, "rolled_back": 1}, {k: v for k, v in ended["counts"].items()
                                                        if v and k != "all"})
        self.assertEqual(2, bad.boots)  # into its restart, and no more
        wait_until("what the failed boot logged has come", lambda: FAILED_BOOT in self.kiln("node", "boots", "n1"))
        self.assertEqual("the new system said this\n", self.kiln("node", "boots", "n1", "last"))
        self.assertEqual([], self.farm.get("/api/v1/farm")["alarms"])

    def test_what_root_refuses_fails_with_its_words(self):
        self.box("n1", fate="refused")
        self.kiln("image", "add", self.bundle())
        self.kiln("update")
        self.assertIn("self-signed certificate", self.wait_for_rollout("halted")["reason"])
        self.assertEqual("failed", self.update("n1")["state"])

    def test_a_download_that_is_cut_goes_on_where_it_was(self):
        proxy = Proxy(self.farm.http_port)
        self.box("n1", controller=f"http://127.0.0.1:{proxy.port}")
        self.kiln("image", "add", self.bundle(size=5_000_000))
        self.kiln("update")
        self.wait_for_rollout("done")
        self.assertEqual("", proxy.ranges[0])
        self.assertEqual(3, len(proxy.ranges), proxy.ranges)
        starts = [int(line.split("=")[1].split("-")[0]) for line in proxy.ranges[1:]]
        self.assertTrue(0 < starts[0] < starts[1] < 5_000_000, starts)

    def test_the_ends_of_controller_and_agent_by_kill_9_lose_nothing(self):
        proxy = Proxy(self.farm.http_port, cuts=10**6, cut_after=200_000)  # it takes a while
        one, two = self.box("n1", controller=f"http://127.0.0.1:{proxy.port}"), self.box("n2")
        self.kiln("image", "add", self.bundle(size=5_000_000))
        self.kiln("update", "--soak", "0")
        wait_until("some of it is there", lambda: self.update("n1").get("percent", 0) > 5)
        self.farm.stop("controller", signal.SIGKILL)
        self.farm.stop("n1", signal.SIGKILL)
        held = next((self.farm.folder / "n1/update").glob("*.raucb")).stat().st_size
        self.assertGreater(held, 100_000)
        proxy.cuts = 0
        proxy.ranges.clear()
        one.start_agent()
        self.farm.start_controller()
        self.assertEqual("running", self.rollout()["state"])
        ended = self.wait_for_rollout("done")
        self.assertEqual(2, ended["counts"]["good"])
        self.assertEqual(["2.0.0", "2.0.0"], [one.version, two.version])
        self.assertGreaterEqual(int(next(r for r in proxy.ranges if r).split("=")[1].split("-")[0]), 100_000)
        self.assertEqual([2, 2], [one.boots, two.boots])

    def test_a_corrupt_bundle_is_refused(self):
        box = self.box("n1")
        bundle = self.bundle()
        name = digest(bundle)
        self.kiln("image", "add", bundle)
        kept = next((self.farm.folder / "controller/images").rglob(name.split(":")[1]))
        with kept.open("r+b") as file:
            file.seek(40_000)
            byte = file.read(1)[0]
            file.seek(40_000)
            file.write(bytes([byte ^ 1]))
        self.kiln("update")
        self.assertIn("instead of " + name, self.wait_for_rollout("halted")["reason"])
        self.assertEqual("failed", self.update("n1")["state"])
        self.assertEqual(1, box.boots)
        self.assertFalse((box.root / "run/install.json").exists())  # root was never asked

    def test_bad_input_says_what_would_be_right(self):
        name = self.farm.folder / "image.bin"
        name.write_bytes(b"x" * 1000)
        refused = self.farm.kiln("image", "add", name)
        self.assertEqual(2, refused.returncode)
        self.assertIn("--version and --machine", refused.stderr)
        self.kiln("image", "add", name, "--version", "9", "--machine", "m")
        self.assertIn("no node runs an image", self.farm.kiln("update").stderr)
        for args, words in ((("update", "nothing"), "kiln image list"), (("update", "9", "--canary", "lots"), "10%"),
                            (("update", "9", "--window", "someday"), ""), (("update", "status"), "no rollout"),
                            (("image", "remove", "nothing"), "kiln image list")):
            refused = self.farm.kiln(*args)
            self.assertNotEqual(0, refused.returncode, args)
            self.assertIn(words, refused.stderr)
        wrong = "sha256:" + "0" * 64
        status, _, body = self.farm.request("PUT", f"/api/v1/images/{wrong}/file", b"y" * 100)
        self.assertEqual(422, status, body)
        status, answer = self.farm.post("/api/v1/images", {"digest": wrong, "name": "a", "version": "1", "machine": "m"})
        self.assertEqual(404, status, answer)
        status, answer = self.farm.post("/api/v1/images", {"digest": wrong, "name": "a", "version": "1"})
        self.assertEqual(400, status, answer)
        self.assertIn("machine", answer["detail"])
        for path in ("/etc/passwd", "../kiln.db", "http://example.org/x"):
            status, answer = self.farm.post("/api/v1/rollouts", {"image": path})
            self.assertEqual(400, status, answer)
        # Part of an upload is gone on with.
        whole = self.bundle(size=300_000).read_bytes()
        whole_digest = digest(self.farm.folder / "kiln-2.0.0-trixie-bare.raucb")
        status, headers, _ = self.farm.request(
            "PUT", f"/api/v1/images/{whole_digest}/file", whole[:1000],
            {"Content-Range": f"bytes 0-999/{len(whole)}"})
        self.assertEqual((202, "1000"), (status, headers["Upload-Offset"]))
        self.kiln("image", "add", self.farm.folder / "kiln-2.0.0-trixie-bare.raucb")
        status, headers, part = self.farm.request("GET", f"/api/v1/images/{whole_digest}/file", None,
                                                  {"Range": "bytes=1000-1999"})
        self.assertEqual((206, whole[1000:2000]), (status, part))


if __name__ == "__main__":
    unittest.main()
