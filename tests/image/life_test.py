"""A box's whole life: one disk, flashed once, in QEMU, against a real controller. The tests are its chapters, in this order;
each begins where the one before has left it, so the first that fails ends the run.

    life_test.py [--enrolment]      the first two chapters alone, which need no update bundles

Settings: KILN_IMAGE, a disk image made before (build/image/SUITE's root must be the one in it); KILN_FOLDER, where to work: its
bundles are taken, and it stays.
"""
import json
import os
import sys
import time
import unittest

import images
from box import DISK_BYTES, ESP, LOGGED, ROOT_A, ROOT_B, Box, wait_until
from farm import Controller

GOOD, BROKEN = "2.0.0+test", "3.0.0+test"
# Starts, and is not what it should be.
BROKEN_AGENT = {"etc/systemd/system/kiln-agent.service.d/zz-broken.conf": "[Service]\nExecStart=\nExecStart=/bin/false\n"}
# A picture of a ball, 64 by 48, by awk: what a box without a renderer can make of a frame number. Its cage shows it
# neither this box's key nor the network.
PICTURE = r"""
test ! -r /var/lib/kiln-agent/node.key && test ! -e /var/lib/kiln-agent/node.key
awk -v frame=$FRAME 'BEGIN { printf "P2 64 48 255\n"
  for (y = 0; y < 48; y++) for (x = 0; x < 64; x++) {
    u = (x - 32 - frame) / 20; v = (y - 24) / 20; d = 1 - u * u - v * v
    printf "%d\n", (d > 0 ? 255 * sqrt(d) : 16) } }' >$OUTPUT/ball_$FRAME.pgm
""".strip()
SLOT = {"A": ROOT_A, "B": ROOT_B}
JOURNAL = "journalctl --no-pager -b -u kiln-agent -u kiln-setup -u kiln-health -u kiln-install -n 60"


class Life(unittest.TestCase):
    has_bundles = True

    @classmethod
    def setUpClass(cls):
        cls.folder = images.work_folder(cls.addClassCleanup)
        image = images.image(cls.folder)
        cls.farm = Controller(cls.folder / "farm")
        cls.farm.start()
        cls.addClassCleanup(cls.farm.stop)
        where = f'controller = "{cls.farm.url_of_boxes}"\nca_fingerprint = "{cls.farm.authority()}"\nname = "shelf-3"\n'
        cls.settings = where + 'tags = ["basement"]\n'
        cls.box = Box(image, cls.folder / "box", cls.settings)
        cls.addClassCleanup(cls.box.kill)
        cls.boot = ""
        cls.disks = []
        if cls.has_bundles:
            cls.make_bundles()

    @classmethod
    def make_bundles(cls):
        good, broken = images.bundle(cls.folder, GOOD, {}), images.bundle(cls.folder, BROKEN, BROKEN_AGENT)
        cls.bundles = {"good": good, "broken": broken,
                       "stranger": images.small_bundle(cls.folder, "4.0.0+test", *images.strangers_key(cls.folder)),
                       "other": images.small_bundle(cls.folder, "5.0.0+test", variant="nvidia"),
                       "cut": images.truncated(good, cls.folder / "cut.raucb"),
                       "flipped": images.bit_flipped(good, cls.folder / "flipped.raucb")}
        # As disks, since bytes through SSH cost minutes in an emulator.
        for name, file in cls.bundles.items():
            cls.disks += ["-drive", f"if=none,id={name},format=raw,readonly=on,file={file}",
                          "-device", f"virtio-blk-pci,drive={name},serial={name}"]

    def setUp(self):
        self.began = time.monotonic()

    def tearDown(self):
        outcome = self._outcome.result
        failed = any(test is self for test, _ in outcome.failures + outcome.errors)
        print(f"{self._testMethodName}: {'failed' if failed else 'ok'} after {time.monotonic() - self.began:.0f} s", flush=True)
        if failed:
            try:
                print(self.box.ssh(JOURNAL, check=False, timeout=60))
            except Exception as error:  # what failed may be that nobody answers
                print(f"no journal: {error}")
            print(self.box.serial.read_text(errors="replace")[-4000:])

    # ---- the box -----------------------------------------------------------------------------------------------

    def start(self):
        self.box.start(*self.disks)

    def wait_boot(self, slot, deadline_s=2400):
        """Answers in that slot, in a boot of its own."""
        type(self).boot = self.box.wait_for_ssh(other_than=self.boot, deadline_s=deadline_s)
        self.assertIn(f"rauc.slot={slot}", self.box.ssh("cat /proc/cmdline"))

    def wait_standing(self, state, deadline_s=1200):
        def reached():
            shown = self.box.read_json("/run/kiln-agent/status.json")
            return shown if shown and shown["state"] == state else None

        return wait_until(f"the box is {state}", reached, deadline_s)

    def version(self):
        return self.box.ssh("sed -n s/KILN_IMAGE_VERSION=//p /usr/lib/kiln/image")

    def screen(self):
        """What stands on the first screen; one line, for words may be broken anywhere."""
        raw = self.box.ssh("cat /dev/vcs1")
        return " ".join(raw.split())

    def install(self, name):
        """Asks for it as the agent does, without its rights; what came of it."""
        size = self.bundles[name].stat().st_size
        self.box.ssh("rm -f /run/kiln/install.json; mkdir -p /var/lib/kiln-agent/updates; "
                     f"head -c {size} /dev/disk/by-id/virtio-{name} >/var/lib/kiln-agent/updates/{name}.raucb", timeout=900)
        self.box.ssh("setpriv --reuid kiln-agent --regid kiln-agent --clear-groups sh -c '"
                     f"echo \"{{\\\"bundle\\\": \\\"/var/lib/kiln-agent/updates/{name}.raucb\\\"}}\" >/run/kiln-agent/install.json'")

    def wait_install(self, state, deadline_s=1800):
        def ended():
            said = self.box.read_json("/run/kiln/install.json")
            return said if said and said["state"] in ("installed", "failed") else None

        said = wait_until("the installation ends", ended, deadline_s)
        self.assertEqual(said["state"], state, said)
        return said

    def reboot(self):
        self.box.ssh("setpriv --reuid kiln-agent --regid kiln-agent --clear-groups touch /run/kiln-agent/reboot")

    def roll_out(self, name, version):
        """As a person does it, by the controller."""
        self.farm.kiln("image", "add", self.bundles[name])
        print(self.farm.kiln("update", version, "--soak", "0"), flush=True)

    def update_of_node(self):
        return self.farm.node(self.node).get("update", {})

    def finished(self, job):
        return self.farm.get(f"/api/v1/jobs/{job}")["tasks"]["done"]

    # ---- its life ----------------------------------------------------------------------------------------------

    def test_01_first_boot_waits_for_a_person(self):
        self.start()
        self.wait_boot("A")
        print(f"first boot: SSH after {time.monotonic() - self.box.started:.0f} s")
        shown = self.wait_standing("pending")
        print(f"first boot: asks to join after {time.monotonic() - self.box.started:.0f} s")
        type(self).node = shown["id"]
        self.assertEqual(shown["ca_fingerprint"], self.farm.authority())
        self.assertIn(shown["fingerprint"], self.farm.kiln("node", "keys"))
        wait_until("the screen shows the fingerprint", lambda: shown["fingerprint"] in self.screen(), 60)
        self.assertIn("waits for approval", self.screen())
        self.box.screenshot(self.folder / "pending.ppm")
        self.assertEqual(self.box.read_json("/run/kiln/problems.json"), [])
        # Nothing but SSH, for which the test's kiln.toml has a key, listens beyond loopback.
        listening = {line.split()[4].rsplit(":", 1)[1] for line in self.box.ssh("ss -Hlntu").splitlines()
                     if not line.split()[4].startswith(("127.", "[::1]")) and "%lo" not in line}
        self.assertLessEqual(listening, {"22", "68", "546"})  # and the answers of DHCP
        # Slots are alike, and what is left of the disk is data's.
        sizes = dict(line.split() for line in self.box.ssh("lsblk --bytes --noheadings --raw --output PARTLABEL,SIZE /dev/nvme0n1").splitlines()
                     if " " in line.strip())
        self.assertEqual(sizes["root-a"], sizes["root-b"])
        self.assertGreater(int(sizes["data"]), DISK_BYTES - 5 * 2**30)
        self.assertEqual(self.box.ssh("stat -c '%U %a' /var/lib/kiln-agent/node.key"), "kiln-agent 600")
        self.assertEqual(self.box.ssh("systemctl --failed --no-legend --plain"), "")

    def test_02_approved_it_is_online(self):
        self.farm.kiln("node", "approve", self.node)
        self.wait_standing("online")
        wait_until("the controller sees it", lambda: (self.farm.node(self.node) or {}).get("presence") not in (None, "offline"), 120)
        self.assertEqual(self.farm.node(self.node)["name"], "shelf-3")
        wait_until("the screen says so", lambda: "ready" in self.screen(), 60)
        self.box.screenshot(self.folder / "online.ppm")

    def test_03_it_renders_in_its_cage(self):
        self.assertEqual(self.farm.node(self.node)["presence"], "online")  # and not draining, for want of a cage
        job = json.loads(self.farm.kiln("--json", "submit", "--type", "command", "-p", f"Command={PICTURE}", "-p", "Frames=1-2"))["id"]
        self.farm.wait_for_job(job, 1200)
        pictures = self.farm.output(job)
        self.assertEqual({"ball_1.pgm", "ball_2.pgm"}, set(pictures))
        values = pictures["ball_1.pgm"].read_text().split()
        self.assertEqual((values[1:4], len(values)), (["64", "48", "255"], 4 + 64 * 48))
        self.assertEqual(max(map(int, values[4:])), 255)

    def test_04_an_update_becomes_the_system_between_two_frames(self):
        job = json.loads(self.farm.kiln("--json", "submit", "--type", "command", "-p", f"Command=sleep 5\n{PICTURE}",
                                        "-p", "Frames=1-60"))["id"]
        self.roll_out("good", GOOD)
        wait_until("it is being downloaded", lambda: self.update_of_node().get("state") == "downloading", 300, 0.2)
        before = self.finished(job)
        wait_until("it is installed", lambda: self.update_of_node()["state"] in ("installed", "restarting"), 2400)
        print(f"update: installed after {time.monotonic() - self.began:.0f} s", flush=True)
        self.assertGreater(self.finished(job), before)  # it went on meanwhile
        self.wait_boot("B")
        self.assertEqual(self.version(), GOOD)
        self.box.wait_for_health("good", deadline_s=1200)
        wait_until("the rollout is done", lambda: self.farm.get("/api/v1/rollouts/latest")["state"] == "done", 120)
        self.assertEqual(self.update_of_node()["version"], GOOD)
        self.assertEqual(self.box.ssh("rauc status --output-format=shell | grep RAUC_SYSTEM_BOOTED_BOOTNAME"),
                         "RAUC_SYSTEM_BOOTED_BOOTNAME='B'")
        self.farm.wait_for_job(job, 1200)
        self.assertEqual(60, len(self.farm.output(job)))
        # None was broken off, and none waited at a box that went away.
        tasks = [task["id"] for task in self.farm.get(f"/api/v1/jobs/{job}/tasks")["tasks"] if task["attempt"] > 1]
        tries = {id: [one["state"] for one in self.farm.get(f"/api/v1/tasks/{id}")["attempts"]] for id in tasks}
        self.assertLessEqual({state for states in tries.values() for state in states}, {"done", "superseded"}, tries)

    def test_05_bad_bundles_are_refused(self):
        for name, words in (("stranger", "signature"), ("other", "ompatible"), ("cut", ""), ("flipped", "")):
            with self.subTest(name):
                self.install(name)
                said = self.wait_install("failed")
                print(f"{name}: {said['message']}")
                self.assertIn(words, said["message"])
                self.assertEqual(self.box.ssh("/usr/lib/kiln/bootslots get-primary"), "B")
                self.box.ssh(f"rm /var/lib/kiln-agent/updates/{name}.raucb; test ! -e /data/kiln/trial.json")

    def test_06_a_broken_service_is_rolled_back(self):
        self.roll_out("broken", BROKEN)
        tries = []

        def back():
            boot = self.box.boot_id()
            if not boot or boot in (self.boot, *tries):
                return False
            if "rauc.slot=A" in self.box.ssh("cat /proc/cmdline", check=False):
                tries.append(boot)
                print(f"broken: try {len(tries)} after {time.monotonic() - self.began:.0f} s")
                return False
            return True

        wait_until("it is back", back, 5400)
        type(self).boot = self.box.boot_id()
        health = self.box.wait_for_health("rolled-back", deadline_s=600)
        self.assertIn(BROKEN, health["message"])
        self.assertIn("agent", health["message"])
        self.assertEqual(self.version(), GOOD)
        self.wait_standing("online")
        self.assertEqual(self.box.ssh("/usr/lib/kiln/bootslots get-state A"), "bad")
        # The journals of the tries wait for somebody to look.
        self.assertIn("kiln-agent", self.box.ssh("cat /data/kiln/failed-boots/*.log"))
        wait_until("the controller has them", lambda: tries[-1] in self.farm.kiln("node", "boots", self.node), 120)
        self.assertIn("kiln-agent", self.farm.kiln("node", "boots", self.node, "last"))
        # And no other box gets it.
        halted = wait_until("the rollout is halted", lambda: (said := self.farm.get("/api/v1/rollouts/latest"))["state"] == "halted" and said, 120)
        self.assertIn("agent", halted["nodes"][0]["message"])
        self.farm.kiln("update", "stop")

    def test_07_a_corrupt_root_is_rolled_back(self):
        self.install("good")
        self.wait_install("installed")
        self.box.power_off()
        for at in (0, 32, 64):  # MiB
            self.box.overwrite(SLOT["A"], at * 1024 * 1024, 4 * 1024 * 1024)
        self.start()
        self.wait_boot("B", deadline_s=3600)
        health = self.box.wait_for_health("rolled-back", deadline_s=600)
        self.assertIn(GOOD, health["message"])
        self.assertIn("damaged", self.box.ssh("cat /data/kiln/failed-boots.log"))
        self.wait_standing("online")

    def test_08_a_power_cut_while_it_installs(self):
        self.install("good")

        def halfway():
            said = self.box.read_json("/run/kiln/install.json")
            self.assertNotIn((said or {}).get("state"), ("installed", "failed"))
            return said and said["percent"] >= 40

        wait_until("the installation is under way", halfway, 900)
        self.box.kill()
        self.start()
        self.wait_boot("B", deadline_s=3600)
        self.box.wait_for_health("interrupted", deadline_s=600)
        self.wait_standing("online")
        # And what was cut off can be done again.
        self.install("good")
        self.wait_install("installed")
        self.reboot()
        self.wait_boot("A")
        self.box.wait_for_health("good", deadline_s=1200)

    def test_09_damaged_boot_environment_is_repaired(self):
        self.box.power_off()
        raw = self.box.mtools("mtype", ESP, "::/kiln/grubenv")
        self.box.write_environment(b"\0" * len(raw))
        # And a hand that has slipped over its settings: named on its screen and to the controller, and it goes on.
        self.box.settings(self.settings + 'colour = "red"\n')
        self.start()
        self.wait_boot("A", deadline_s=3600)
        self.box.wait_for_health("settled", "good", deadline_s=600)
        self.wait_standing("online")
        self.assertIn("colour", self.screen())
        told = wait_until("the controller knows", lambda: (self.farm.node(self.node) or {}).get("update", {}).get("problems"), 120)
        self.assertIn("colour", told[0])
        self.assertIn(told[0], self.farm.kiln("nodes"))
        self.box.screenshot(self.folder / "wrong-line.ppm")
        self.box.power_off()
        self.assertEqual(self.box.environment()["A_OK"], "1")
        self.start()
        self.wait_boot("A", deadline_s=3600)

    def test_10_revoked_it_is_out(self):
        self.wait_standing("online")
        self.farm.kiln("node", "revoke", self.node)
        self.assertIn("revoked", self.wait_standing("refused", 300)["message"])
        wait_until("the screen says so", lambda: "not let in" in self.screen(), 60)
        self.assertIsNone(self.farm.node(self.node))

    def approved_anew(self):
        """The same hardware with another key: not even a token lets it in by itself. The id that it has now."""
        shown = self.wait_standing("pending", 5400)
        self.assertNotEqual(shown["id"], self.node)
        self.assertIn("the same hardware as", shown["message"])
        self.farm.kiln("node", "approve", shown["id"])
        self.wait_standing("online")
        return shown["id"]

    def test_11_factory_reset_makes_it_another_box(self):
        self.box.power_off()
        self.box.settings(self.settings + f'join_token = "{self.farm.kiln("node", "token").strip()}"\nfactory_reset = "once"\n')
        self.start()
        type(self).node = self.approved_anew()
        self.assertEqual(self.box.ssh("ls /data/kiln/factory-reset 2>/dev/null; cat /data/kiln/factory-reset-done"), "once")

    def test_12_from_the_stick_onto_another_disk(self):
        self.box.power_off()
        stick = self.box
        internal = stick.folder / "internal.img"
        internal.touch()
        os.truncate(internal, DISK_BYTES)
        stick.kernel_arguments(LOGGED + " kiln.install")  # as the boot menu's entry does
        stick.start("-drive", f"if=none,id=internal,format=raw,discard=unmap,file={internal}",
                    "-device", "nvme,drive=internal,serial=internal")
        stick.wait_for_ssh(deadline_s=2400)

        def ended():
            said = (stick.read_json("/run/kiln/install-to.json") or {}).get("message", "")
            return said if "is a box now" in said or "not installed" in said else None

        said = wait_until("it is installed", ended, 1800)
        self.assertRegex(said, "^/dev/nvme[0-9]n1 is a box now")
        stick.power_off()

        type(self).box = Box(None, stick.folder, name="internal")
        self.addClassCleanup(self.box.kill)
        self.box.start()
        self.wait_boot("A", deadline_s=2400)
        self.assertEqual(self.farm.node(self.approved_anew())["name"], "shelf-3")


if __name__ == "__main__":
    arguments = sys.argv[:]
    if "--enrolment" in arguments:
        Life.has_bundles = False
        arguments[1:] = ["Life.test_01_first_boot_waits_for_a_person", "Life.test_02_approved_it_is_online"]
    unittest.main(argv=arguments, failfast=True, verbosity=2)
