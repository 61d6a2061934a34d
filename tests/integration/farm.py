"""A whole farm for a test: controller with its embedded broker, agents, all on loopback in a folder of its own.

    with Farm() as farm:
        farm.agent()
        job = farm.submit(scene, frames="1-4")
        farm.wait_for_job(job["id"])

Every wait has a deadline and says what it waited for. On a failure the daemons' logs are printed.
"""
import hashlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ["KILN_BIN"])
SOURCE = pathlib.Path(os.environ["KILN_SOURCE"])
SCENES = pathlib.Path(os.environ.get("KILN_SCENES", SOURCE.parent / "shared/scenes"))
DEADLINE_S = 120  # for anything that is not rendering: generous, because CI machines are slow and noisy


# For make_scene: nothing but black at frame 3.
BLACK_AT_3 = """
for frame, exposure in ((2, 1), (3, 0), (4, 1)):
    scene.cycles.film_exposure = exposure
    scene.keyframe_insert('cycles.film_exposure', frame=frame)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, deadline_s=DEADLINE_S):
    """Polls until condition() is true, and returns its value."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {deadline_s} s: {what}")


def pixels(path):
    """A digest of a picture's decoded pixels: PNG bytes differ by date and render time."""
    result = subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), "-pix_fmt", "rgba64be", "-f", "md5", "-"],
                            capture_output=True, text=True, check=True)
    return result.stdout.strip()


def descendants(pid):
    """[(name, pid)] of what it started, and of what those did: a renderer runs in a cage of a few processes."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True).stdout
    processes = [line.split(None, 2) for line in listed.splitlines()]
    found, names = {pid}, []
    for one, parent, name in sorted((int(a), int(b), c) for a, b, c in processes):  # parents come first
        if parent in found:
            found.add(one)
            names.append((name, one))
    return names


def digest(path):
    return "sha256:" + hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def make_scene(path, script="", frames=(1, 4)):
    """A small animated Cycles scene that renders in a fraction of a second; `script` changes it before saving."""
    code = f"""
import bpy
scene = bpy.context.scene
scene.render.engine = 'CYCLES'
scene.cycles.samples = 4
scene.cycles.use_denoising = False
scene.render.resolution_x, scene.render.resolution_y = 64, 48
scene.frame_start, scene.frame_end = {frames[0]}, {frames[1]}
scene.render.image_settings.file_format = 'PNG'
scene.render.filepath = '//render/shot_####'
cube = bpy.data.objects['Cube']
cube.keyframe_insert('location', frame=1)
cube.location.x = 2
cube.keyframe_insert('location', frame={max(frames[1], 2)})
{script}
bpy.ops.wm.save_as_mainfile(filepath={str(path)!r}, compress=False)
"""
    subprocess.run(["blender", "-b", "--factory-startup", "--python-exit-code", "1", "--python-expr", code],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def render_with_blender(scene, output, autoexec=False):
    """`blender -b scene -a`, the measure of all frames; returns {name: path}."""
    subprocess.run(["blender", "-b", "--factory-startup", "-y" if autoexec else "-Y", str(scene),
                    "-o", f"{output}/shot_####", "-a"], check=True, stdout=subprocess.DEVNULL)
    return {path.name: path for path in pathlib.Path(output).iterdir()}


class Farm:
    def __init__(self, keep=False, open_broker=False):
        """open_broker: a Mosquitto that is not the controller's and lets anybody say anything, for tests that lie."""
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-farm-"))
        self.http_port, self.mqtt_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.processes = {}
        self.keep = keep
        self.open_broker = open_broker
        self.tokens = {}  # user -> what lets them onto the broker

    def __enter__(self):
        self.start_controller()
        return self

    def __exit__(self, kind, value, trace):
        last = {"controller": 1, "broker": 2}
        for name in sorted(self.processes, key=lambda name: last.get(name, 0)):  # agents before the controller
            self.stop(name)
        if kind is not None:
            for log in sorted(self.folder.glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-6000:]}", file=sys.stderr)
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    # ---- processes ---------------------------------------------------------------------------------------------

    def start(self, name, argv, **options):
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen([str(a) for a in argv], stdout=log, stderr=log,
                                                    stdin=subprocess.DEVNULL, **options)
        return self.processes[name]

    def start_broker(self):
        config = self.folder / "mosquitto.conf"
        config.write_text(f"listener {self.mqtt_port} 127.0.0.1\nallow_anonymous true\nuser root\n")
        self.start("broker", ["/usr/sbin/mosquitto", "-c", config])

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.mqtt_port)) == 0

        wait_until("the broker answers", answers)

    def start_controller(self, *flags, data=None):
        if self.open_broker and "broker" not in self.processes:
            self.start_broker()
        process = self.start("controller", [BIN / "kiln-controller", "--data", data or self.folder / "controller",
                                            "--http", f"127.0.0.1:{self.http_port}",
                                            "--broker" if self.open_broker else "--mqtt",
                                            f"127.0.0.1:{self.mqtt_port}", *flags])

        def is_up():
            if process.poll() is not None:
                raise AssertionError(f"kiln-controller ended with {process.returncode}:\n{self.log('controller')}")
            return self.get_or_none("/healthz")

        wait_until("the controller answers", is_up)
        return process

    def agent(self, name="agent", *flags):
        """Starts an agent and returns its node id once it is online."""
        self.start(name, [BIN / "kiln-agent", "--controller", self.url, "--data", self.folder / name, "--id", name,
                          *flags])
        wait_until(f"{name} is online", lambda: self.presence(name) == "online")
        return name

    def stop(self, name, how=signal.SIGTERM):
        process = self.processes.pop(name)
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                raise AssertionError(f"{name} did not end within 30 s of {how!r}") from None
        return process.returncode

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # ---- HTTP --------------------------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes). A refusal is an answer here, not an exception."""
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path):
        status, _, body = self.request("GET", path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body[:300]!r}")
        return json.loads(body)

    def get_or_none(self, path):
        try:
            return self.request("GET", path)
        except OSError:
            return None

    def post(self, path, value, **headers):
        status, _, body = self.request("POST", path, json.dumps(value).encode(),
                                       {"Content-Type": "application/json", **headers})
        return status, json.loads(body) if body else None

    def presence(self, node):
        return next((n["presence"] for n in self.get("/api/v1/nodes")["nodes"] if n["id"] == node), None)

    def put_blob(self, path):
        name = digest(path)
        status, _, body = self.request("PUT", f"/api/v1/blobs/{name}", pathlib.Path(path).read_bytes())
        assert status in (200, 201), (status, body)
        return name

    def submission(self, scene, frames, **more):
        """The body of a job whose only file is the scene; the scene is uploaded."""
        scene = pathlib.Path(scene)
        files = [{"path": scene.name, "digest": self.put_blob(scene), "size": scene.stat().st_size}]
        return {"name": scene.stem, "frames": frames, "manifest": {"files": files},
                "options": {"scene_file": scene.name}, **more}

    def submit(self, scene, frames, **more):
        status, job = self.post("/api/v1/jobs", self.submission(scene, frames, **more))
        assert status == 201, (status, job)
        return job

    def wait_for_job(self, job, state="done", deadline_s=300):
        def reached():
            shown = self.get(f"/api/v1/jobs/{job}")
            if shown["state"] in ("done", "failed", "cancelled") and shown["state"] != state:
                raise AssertionError(f"job {job} is {shown['state']}: {shown.get('message')}")
            return shown if shown["state"] == state else None

        return wait_until(f"job {job} is {state}", reached, deadline_s)

    def output(self, job):
        """{relative path: path} of a job's frames."""
        folder = pathlib.Path(self.get(f"/api/v1/jobs/{job}")["output_dir"])
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    # ---- the other doors -----------------------------------------------------------------------------------------

    def kiln(self, *args, check=False, **options):
        """The command line; stdout and stderr as text."""
        result = subprocess.run([str(BIN / "kiln"), "--server", self.url, *map(str, args)], capture_output=True,
                                text=True, timeout=options.pop("timeout", 300), **options)
        if check and result.returncode != 0:
            raise AssertionError(f"kiln {args}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result

    def as_user(self, username="viewer", password=None):
        """What mosquitto_sub and mosquitto_pub need to be let in: the viewer's own password lies with the broker."""
        if self.open_broker:
            return ["-p", str(self.mqtt_port)]
        data = self.folder / "controller"
        password = password or (data / "broker/viewer.password").read_text().strip()
        return ["-p", str(self.mqtt_port), "--cafile", str(data / "tls/ca.pem"), "-u", username, "-P", password]

    def retained(self):
        """{topic: payload} of everything the broker retains and a viewer may see."""
        result = subprocess.run(["mosquitto_sub", *self.as_user(), "-t", "#", "--retained-only", "-W", "2",
                                 "-F", "%t %p"], capture_output=True, text=True)
        return dict(line.split(" ", 1) for line in result.stdout.splitlines())

    def mqtt_request(self, verb, body, user="ann"):
        """Publishes a request as that user (an artist, with a script token) and returns its response."""
        if user not in self.tokens:
            status, answer = self.post("/api/v1/users", {"name": user, "role": "artist"})
            assert status == 201, answer
            status, answer = self.post("/api/v1/tokens", {"user": user, "label": "tests", "expires_s": 0})
            assert status == 201, answer
            _, name, secret = answer["token"].split("_", 2)
            self.tokens[user] = self.as_user(name, secret)
        login = self.tokens[user]
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *login, "-t", f"kiln/v1/response/{user}/{verb}",
                               "-C", "1", "-W", "60", "-d"], stdout=subprocess.PIPE, text=True) as listener:
            for line in listener.stdout:  # -d tells when the subscription stands
                if "Subscribed" in line:
                    break
            subprocess.run(["mosquitto_pub", *login, "-t", f"kiln/v1/request/{user}/{verb}", "-q", "1",
                            "-m", json.dumps(body)], check=True)
            for line in listener.stdout:
                if line.startswith("{"):
                    return json.loads(line)
        raise AssertionError(f"no response to {verb}")
