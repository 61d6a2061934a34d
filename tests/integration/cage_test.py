"""Hostile scenes and templates on a real box: each fails alone, and the next ordinary job renders.

The agent runs as a user of its own where the test may choose (as root), as the service does.
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from farm import BIN, Farm, make_scene, pixels, render_with_blender, wait_until

USER = 64901  # nobody's

SETTINGS = """
[cage]
memory_mib = 3072
max_processes = 200
scratch_gib = 1
"""

# In the scene: runs when it is opened with scripts on. What it could not do ends Blender with 3, so that the task fails.
SCENE_SCRIPT = """
text = bpy.data.texts.new('hostile.py')
text.from_string({script!r})
text.use_module = True
"""


def box_runs(word):
    """Whether a process of this machine has that word in its command line."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in path.read_bytes():
                return True
        except OSError:
            pass
    return False


class Cage(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kiln-cage-test-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.here = pathlib.Path(cls.folder.name)
        cls.farm = Farm()
        controller = cls.here / "controller.toml"
        controller.write_text("[farm]\nmax_failures = 1\n")
        cls.farm.start_controller("--config", controller)
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        cls.data = cls.farm.folder / "box"
        cls.data.mkdir()
        cls.key = cls.data / "node.key"
        (cls.data / "secret").write_text("the key of this box")
        (cls.data / "secret").chmod(0o600)
        settings = cls.here / "agent.toml"
        settings.write_text(SETTINGS)
        cls.here.chmod(0o755)
        user = {}
        if os.geteuid() == 0:
            user = {"user": USER, "group": USER, "extra_groups": []}
            cls.farm.folder.chmod(0o755)
            for path in (cls.data, *cls.data.iterdir()):
                os.chown(path, USER, USER)
        cls.farm.start("box", [BIN / "kiln-agent", "--config", settings, "--controller", cls.farm.url, "--data", cls.data,
                               "--id", "box"], **user)
        wait_until("the box is online and has introduced itself",
                   lambda: any(one["id"] == "box" and one["presence"] == "online" and one["info"].get("agent_version")
                               for one in cls.farm.get("/api/v1/nodes")["nodes"]))
        cls.key_says = cls.key.read_text().splitlines()[1]
        cls.plain = make_scene(cls.here / "plain.blend", frames=(1, 2))
        cls.expected = {name: pixels(path) for name, path in render_with_blender(cls.plain, cls.here / "plain").items()}

    def tearDown(self):
        self.the_next_job_renders()

    def the_next_job_renders(self):
        job = self.farm.submit(self.plain, "1-2")
        self.farm.wait_for_job(job["id"])
        got = {path.name: pixels(path) for path in self.farm.output(job["id"]).values()}
        self.assertEqual(self.expected, got)
        self.assertIsNone(self.farm.processes["box"].poll(), "the agent lives on")
        shown = next(one for one in self.farm.get("/api/v1/nodes")["nodes"] if one["id"] == "box")
        self.assertEqual("online", shown["presence"])

    def error_of(self, job):
        task = self.farm.get(f"/api/v1/jobs/{job}/tasks")["tasks"][0]["id"]
        return self.farm.get(f"/api/v1/tasks/{task}")["attempts"][-1]["error"]

    def hostile_scene(self, name, script):
        """Renders it with its script; how its only attempt failed."""
        scene = make_scene(self.here / f"{name}.blend", SCENE_SCRIPT.format(script=script), frames=(1, 1))
        job = self.farm.submit(scene, "1", options={"scene_file": scene.name, "autoexec": True})
        self.farm.wait_for_job(job["id"], "failed")
        return self.error_of(job["id"])

    def command(self, line, state):
        """Runs it as a job of the built-in type; the job."""
        said = self.farm.kiln("--json", "submit", "--type", "command", "-p", f"Command={line}")
        self.assertEqual(0, said.returncode, said.stderr)
        job = json.loads(said.stdout)["id"]
        self.farm.wait_for_job(job, state)
        return job

    # ---- the key -------------------------------------------------------------------------------------------------

    def test_a_scene_does_not_find_the_key(self):
        error = self.hostile_scene("thief", f"""
import os, glob
found = [p for p in [{str(self.key)!r}, {str(self.data / 'secret')!r}, '/etc/kiln', '/proc/1/root{self.key}'] if os.path.exists(p)]
print('KEY', found, open({str(self.key)!r}).read() if found else 'not in sight', sorted(os.listdir({str(self.data)!r})), flush=True)
os._exit(0 if found else 3)
""")
        self.assertEqual("renderer-crashed", error["code"])
        self.assertIn("KEY [] not in sight ['scratch']", error["message"])

    def test_a_command_does_not_find_the_key(self):
        job = self.command(f"cat {self.key} /proc/*/root{self.key} >$OUTPUT/stolen", "failed")
        self.assertEqual("action-failed", self.error_of(job)["code"])
        self.assertEqual({}, self.farm.output(job))
        # By way of whoever collects results: links lead nowhere.
        job = self.command(f"ln -s {self.key} $OUTPUT/key.txt; ln -s {self.data} $OUTPUT/data; echo fine >$OUTPUT/fine.txt", "done")
        self.assertEqual({"fine.txt"}, set(self.farm.output(job)))
        # …or of the slot's Blender, which writes where it is told.
        job = self.command(f"kiln-resident --scene $INPUTS/none.blend --frames 1 --output {self.data}/journal/x", "failed")
        self.assertFalse((self.data / "journal/x").exists())

    def test_a_scene_whose_picture_is_a_link_delivers_nothing(self):
        error = self.hostile_scene("swindler", f"""
import bpy, os
def swap(scene, *_):
    path = scene.render.frame_path(frame=scene.frame_current)
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    os.symlink({str(self.key)!r}, os.path.join(folder, 'key.txt'))
    os.rename(path, path + '.true') if os.path.exists(path) else None
    os.symlink({str(self.key)!r}, path)
bpy.app.handlers.render_write.append(swap)
""")
        self.assertNotIn(self.key_says, json.dumps(error))
        self.assertIn(error["code"], ("frame-invalid", "render-failed"))

    # ---- the network ---------------------------------------------------------------------------------------------

    def test_nobody_phones_home(self):
        knocks = []
        with socket.create_server(("127.0.0.1", 0)) as home:
            port = home.getsockname()[1]
            threading.Thread(target=lambda: knocks.append(home.accept()), daemon=True).start()
            error = self.hostile_scene("caller", f"""
import os, socket
said = []
for port in ({self.farm.http_port}, {self.farm.mqtt_port}, {port}):
    try:
        socket.create_connection(('127.0.0.1', port), 5); said.append('through')
    except OSError as error:
        said.append(error.strerror)
print('CALLED', said, flush=True)
os._exit(3)
""")
            self.assertIn("CALLED ['Connection refused', 'Connection refused', 'Connection refused']", error["message"])
            self.command(f"exec 3<>/dev/tcp/127.0.0.1/{self.farm.http_port}", "failed")
            self.command(f"curl -sf {self.farm.url}/healthz", "failed")
            self.assertEqual([], knocks)

    # ---- too much ------------------------------------------------------------------------------------------------

    def test_filling_the_disk_ends_it(self):
        error = self.hostile_scene("hoarder", """
import os, tempfile, time
for i in range(40):
    with open(os.path.join(os.environ['TMPDIR'], f'{i}'), 'wb') as f:
        f.write(os.urandom(1 << 20) * 64)
time.sleep(600)
""")
        self.assertEqual("over-bounds", error["code"])
        self.assertIn("more than 1024 MiB into its folders", error["message"])
        job = self.command("for i in $(seq 40); do head -c 64M /dev/zero >$OUTPUT/$i; done; sleep 600", "failed")
        self.assertIn("[cage] scratch_gib", self.error_of(job)["message"])
        used = sum(path.stat().st_blocks * 512 for path in (self.data / "scratch").rglob("*") if path.is_file())
        self.assertLess(used, 64 << 20, "what it wrote is gone")

    def test_forking_without_end_ends_it(self):
        error = self.hostile_scene("breeder", """
import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(0.1)
""")
        self.assertEqual("over-bounds", error["code"])
        self.assertIn("more than 200 processes", error["message"])
        job = self.command("bomb() { bomb | bomb & }; bomb; sleep 600", "failed")
        self.assertIn("[cage] max_processes", self.error_of(job)["message"])

    def test_taking_all_memory_ends_it(self):
        job = self.command("python3 -c 'x = bytearray(16 << 30)'", "failed")
        self.assertEqual("action-failed", self.error_of(job)["code"])

    # ---- afterwards ----------------------------------------------------------------------------------------------

    def test_nothing_outlives_its_task(self):
        mark = f"86753{os.getpid()}"
        job = self.command(f"setsid bash -c '(exec -c setsid sleep {mark}1) & disown; exit' & sleep 1; touch $OUTPUT/done", "done")
        self.assertEqual({"done"}, set(self.farm.output(job)))
        self.assertFalse(box_runs(f"{mark}1"))
        error = self.hostile_scene("ghost", f"""
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve('/bin/sleep', ['sleep', '{mark}2'], {{}})
    os._exit(0)
time.sleep(1)
os._exit(3)
""")
        self.assertEqual("renderer-crashed", error["code"])
        self.assertFalse(box_runs(f"{mark}2"))

    def test_inputs_and_system_stay_as_they_are(self):
        folder = self.here / "inputs"
        folder.mkdir()
        (folder / "a.txt").write_text("mine\n")
        line = "chmod -R u+w $INPUTS; echo other >>$INPUTS/a.txt; echo x >$INPUTS/b.txt; touch /usr/x /etc/x; " \
               "cat $INPUTS/a.txt >$OUTPUT/seen.txt; id -u >>$OUTPUT/seen.txt"
        said = self.farm.kiln("--json", "submit", "--type", "command", "-p", f"Command={line}", "-p", f"Inputs={folder}", check=True)
        job = json.loads(said.stdout)["id"]
        self.farm.wait_for_job(job)
        self.assertEqual("mine\n1000\n", self.farm.output(job)["seen.txt"].read_text())

    def test_a_box_without_bubblewrap_takes_no_tasks_and_says_why(self):
        if not shutil.which("bwrap"):
            self.skipTest("there is none here either")
        programs = self.here / "programs"
        programs.mkdir()
        for name in ("blender",):
            (programs / name).symlink_to(shutil.which(name))
        said = subprocess.run([BIN / "kiln-agent", "--check", "--controller", self.farm.url, "--data", self.here / "other"],
                              env={**os.environ, "PATH": str(programs)}, capture_output=True, text=True)
        self.assertEqual(1, said.returncode)
        self.assertIn("apt-get install bubblewrap", said.stdout)
        self.assertIn("[cage] enabled = false", said.stdout)
        self.farm.start("bare", [BIN / "kiln-agent", "--controller", self.farm.url, "--data", self.here / "bare", "--id", "bare"],
                        env={**os.environ, "PATH": str(programs)})
        wait_until("it takes nothing", lambda: self.farm.presence("bare") == "draining")
        self.assertIn("this box takes no tasks", self.farm.log("bare"))
        self.farm.stop("bare")


if __name__ == "__main__":
    unittest.main()
