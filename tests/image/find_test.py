"""A box finds its controller by mDNS: a real Avahi with the file of the controller's package, in a network of its own."""
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

BIN = pathlib.Path(os.environ["KILN_BIN"])
SOURCE = pathlib.Path(os.environ["KILN_SOURCE"])
FARM, BOX = "10.99.0.1", "10.99.0.2"
# Inside a mount namespace, so that what the box's program writes in its places stays there.
PLACES = """
for place in /run/kiln /data /boot; do mkdir -p $place; mount -t tmpfs tmpfs $place; done
mkdir -p /run/kiln /data/kiln /boot/config
printf '%s' "$1" >/boot/config/kiln.toml
printf '{"name":"shelf-3","controller":"","pinned":false}' >/run/kiln/box.json
timeout "$2" "$3" find
status=$?
cat /run/kiln/agent.toml /run/kiln/problems.json
exit $status
"""


def run(*argv, **options):
    return subprocess.run([str(word) for word in argv], check=True, capture_output=True, text=True, **options)


class Find(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="kiln-find-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.farm, self.box = f"kilnfarm{os.getpid()}", f"kilnbox{os.getpid()}"
        for name in (self.farm, self.box):
            run("ip", "netns", "add", name)
            self.addCleanup(run, "ip", "netns", "del", name)
        run("ip", "-n", self.farm, "link", "add", "lan0", "type", "veth", "peer", "name", "lan0", "netns", self.box)
        for name, address in ((self.farm, FARM), (self.box, BOX)):
            run("ip", "-n", name, "address", "add", f"{address}/24", "dev", "lan0")
            run("ip", "-n", name, "link", "set", "lan0", "up")
        if subprocess.run(["getent", "group", "kiln-agent"], capture_output=True).returncode != 0:
            run("groupadd", "--system", "kiln-agent")
            self.addCleanup(run, "groupdel", "kiln-agent")

    def announce(self):
        """Avahi on the farm's machine, with the service file that the controller's package brings."""
        services = self.folder / "services"
        services.mkdir()
        shutil.copy(SOURCE / "systemd/kiln.service.avahi", services / "kiln.service")
        config = self.folder / "avahi.conf"
        config.write_text("[server]\nenable-dbus=no\nhost-name=farm\nuse-ipv6=no\nallow-interfaces=lan0\n[publish]\npublish-workstation=no\n")
        log = self.folder / "avahi.log"
        with open(log, "wb") as out:
            avahi = subprocess.Popen(
                ["ip", "netns", "exec", self.farm, "unshare", "--mount", "sh", "-c",
                 f"mount --bind {services} /etc/avahi/services && mount -t tmpfs tmpfs /run && "
                 f"exec avahi-daemon --no-drop-root --no-chroot --no-rlimits -f {config}"],
                stdout=out, stderr=out, start_new_session=True)
        self.addCleanup(avahi.wait)
        self.addCleanup(os.killpg, avahi.pid, signal.SIGTERM)
        end = time.monotonic() + 60
        while "successfully established" not in log.read_text():
            self.assertIsNone(avahi.poll(), log.read_text())
            self.assertLess(time.monotonic(), end, log.read_text())
            time.sleep(0.1)

    def find(self, settings="", seconds=60):
        """kiln-box find on the box: its exit status, and agent.toml and the problems that it left."""
        done = subprocess.run(["ip", "netns", "exec", self.box, "unshare", "--mount", "sh", "-c", PLACES, "find", settings, str(seconds),
                               str(BIN / "kiln-box")], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    def test_the_controller_is_found(self):
        self.announce()
        status, wrote, said = self.find('tags = ["basement"]\n')
        self.assertEqual(0, status, said)
        self.assertIn(f'controller = "https://{FARM}:8780"\n', wrote)
        self.assertIn('tags = ["basement"]\n', wrote)
        self.assertIn("\n[]\n", wrote)  # nothing is wrong

    def test_without_one_it_says_so_and_goes_on_asking(self):
        status, wrote, said = self.find(seconds=8)
        self.assertEqual(124, status, said)  # timeout(1) ended it
        self.assertNotIn("status_file", wrote)  # no agent.toml
        self.assertIn("no controller answers", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
