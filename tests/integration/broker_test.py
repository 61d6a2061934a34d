"""A broker that is not the controller's: Mosquitto with certificates of the farm's authority and the access list that
Kiln ships (systemd/mosquitto-kiln-tls.conf, kiln.acl)."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import unittest

from farm import BIN, SOURCE, Farm, free_port, make_scene, wait_until

SYSTEMD = SOURCE / "systemd"


class Broker(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        farm = cls.farm
        # Its authority is there from the first start on.
        farm.start_controller()
        farm.stop("controller")
        cls.certificate("broker", "--server", "localhost", "127.0.0.1")
        cls.certificate("viewer", "--client", "viewer")
        cls.certificate("ann", "--client", "ann")
        cls.port = free_port()
        shipped = (SYSTEMD / "mosquitto-kiln-tls.conf").read_text()
        config = farm.folder / "mosquitto.conf"
        config.write_text(re.sub(r"^listener .*", f"listener {cls.port} 127.0.0.1", shipped, flags=re.M)
                          .replace("/etc/mosquitto/kiln/", f"{farm.folder}/broker/") + ("user root\n" if os.geteuid() == 0 else ""))
        shutil.copy(SYSTEMD / "kiln.acl", farm.folder / "broker/kiln.acl")
        farm.start("broker", ["/usr/sbin/mosquitto", "-c", config])

        def answers():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", cls.port)) == 0

        wait_until("the broker answers", answers)
        settings = farm.folder / "controller.toml"
        settings.write_text(f'[mqtt]\nbroker = "127.0.0.1:{cls.port}"\ncertificates = true\n')
        farm.start("controller", [BIN / "kiln-controller", "--data", farm.folder / "controller", "--config", settings,
                                  "--http", f"127.0.0.1:{farm.http_port}"])
        wait_until("the controller answers", lambda: farm.get_or_none("/healthz"))
        for name in ("box", "other"):
            farm.agent(name, "--slots", "1")

    @classmethod
    def certificate(cls, name, *who):
        result = subprocess.run([BIN / "kiln-controller", "--data", cls.farm.folder / "controller", "certificate",
                                 cls.farm.folder / name, *who], capture_output=True, text=True)
        assert result.returncode == 0, result.stderr

    def login(self, folder, key="key.pem", certificate="certificate.pem"):
        folder = self.farm.folder / folder
        return ["-h", "127.0.0.1", "-p", str(self.port), "--cafile", str(self.farm.folder / "broker/ca.pem"), "--key",
                str(folder / key), "--cert", str(folder / certificate)]

    def as_box(self, name):
        return self.login(name, "node.key", "node.pem")

    def hears(self, login, topic, seconds=2):
        """{topic: payload} of what is retained there and may be heard."""
        result = subprocess.run(["mosquitto_sub", *login, "-t", topic, "-W", str(seconds), "-F", "%t %p"],
                                capture_output=True, text=True)
        return dict(line.split(" ", 1) for line in result.stdout.splitlines())

    def said(self, login, topic, payload="{}"):
        """Whether the viewer hears it. A refused publish is silent."""
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *self.login("viewer"), "-t", topic, "-W", "4", "-d", "-F",
                               "%p"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as listener:
            heard = ""
            for line in listener.stdout:
                if "Subscribed" in line:
                    subprocess.run(["mosquitto_pub", *login, "-t", topic, "-m", payload, "-q", "1"], check=True)
                heard += line
            return f"\n{payload}\n" in heard

    def test_frames_are_rendered_over_it(self):
        scene = make_scene(self.farm.folder / "scene.blend", frames=(1, 2))
        job = self.farm.submit(scene, "1-2")
        self.farm.wait_for_job(job["id"])
        self.assertEqual(2, len(self.farm.output(job["id"])))
        tree = self.hears(self.login("viewer"), "#")
        self.assertIn("kiln/v1/nodes/box/status", tree)
        self.assertIn(f"kiln/v1/jobs/{job['id']}/status", tree)

    def test_a_node_says_its_own_and_hears_its_own(self):
        self.assertTrue(self.said(self.as_box("other"), "kiln/v1/nodes/other/event", '{"mine":1}'))
        self.assertFalse(self.said(self.as_box("other"), "kiln/v1/nodes/box/event", '{"forged":1}'))
        self.assertFalse(self.said(self.as_box("other"), "kiln/v1/jobs/1-abcde/progress", "99"))
        self.assertEqual({"kiln/v1/controller/status", "kiln/v1/nodes/other/status"}, set(self.hears(self.as_box("other"), "#")))

    def test_a_viewer_writes_nothing_and_hears_no_commands(self):
        self.assertFalse(self.said(self.login("viewer"), "kiln/v1/nodes/box/event", '{"forged":2}'))
        with subprocess.Popen(["mosquitto_sub", *self.login("viewer"), "-t", "kiln/v1/#", "-W", "15", "-v"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as listener:
            status, job = self.farm.post("/api/v1/jobs", {"type": "noop", "frames": "1-3"})
            self.assertEqual(201, status, job)
            self.farm.wait_for_job(job["id"])
            said = listener.communicate()[0]
        self.assertIn(f"kiln/v1/jobs/{job['id']}/status", said)
        self.assertNotIn("kiln/v1/cmd/", said)

    def test_nobody_comes_without_a_certificate(self):
        ca = str(self.farm.folder / "broker/ca.pem")
        result = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "--cafile", ca, "-t", "#", "-W", "5"],
                                capture_output=True, text=True)
        self.assertNotEqual(0, result.returncode)
        self.assertEqual("", result.stdout)

    def test_a_user_asks_under_the_own_name(self):
        status, answer = self.farm.post("/api/v1/users", {"name": "ann", "role": "artist"})
        self.assertEqual(201, status, answer)
        login = self.login("ann")
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *login, "-t", "kiln/v1/response/ann/job-submit", "-C", "1", "-W",
                               "60", "-d"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True) as listener:
            for line in listener.stdout:
                if "Subscribed" in line:
                    break
            subprocess.run(["mosquitto_pub", *login, "-t", "kiln/v1/request/ann/job-submit", "-q", "1", "-m",
                            json.dumps({"cid": "b1", "type": "noop", "frames": "1-2", "name": "by ann"})], check=True)
            answers = [json.loads(line) for line in listener.stdout if line.startswith("{")]
        self.assertEqual("b1", answers[0]["cid"])
        self.assertEqual("ann", self.farm.get("/api/v1/jobs")["jobs"][0]["user"])

    def test_certificates_are_made_with_sense(self):
        def refused(*words):
            result = subprocess.run([BIN / "kiln-controller", "--data", self.farm.folder / "controller", "certificate", *words],
                                    capture_output=True, text=True)
            self.assertNotEqual(0, result.returncode)
            return result.stderr

        folder = self.farm.folder / "none"
        self.assertIn("the controller's own name", refused(folder, "--client", "kiln-controller"))
        self.assertIn("--server", refused(folder))
        result = subprocess.run([BIN / "kiln-controller", "--data", self.farm.folder / "nowhere", "certificate", folder, "--client",
                                 "x"], capture_output=True, text=True)
        self.assertIn("start its controller once", result.stderr)
        self.assertFalse(pathlib.Path(folder).exists())


if __name__ == "__main__":
    unittest.main()
