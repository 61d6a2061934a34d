"""Who belongs to the farm: boxes that ask, people who say yes, and what everybody may do on both planes."""
import json
import subprocess
import time
import unittest

from farm import BIN, Farm, make_scene, wait_until


class Joining(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        config = cls.farm.folder / "controller.toml"
        config.write_text("[nodes]\nadmit_loopback = false\n")
        cls.farm.start_controller("--config", config)
        cls.ca = cls.farm.folder / "controller/tls/ca.pem"
        cls.secure = f"https://localhost:{cls.farm.http_port}"
        cls.authority = cls.farm.get("/api/v1/farm")["ca_fingerprint"]
        cls.scene = make_scene(cls.farm.folder / "scene.blend", frames=(1, 2))

    @classmethod
    def tearDownClass(cls):
        cls.farm.__exit__(None, None, None)

    # ---- a box -------------------------------------------------------------------------------------------------

    def box(self, name, *flags, url=None):
        """Starts an agent that speaks TLS; its hardware is its own. Returns the file with its standing."""
        folder = self.farm.folder / name
        (folder / "sys/class/dmi/id").mkdir(parents=True, exist_ok=True)
        serial = folder / "sys/class/dmi/id/product_uuid"
        if not serial.exists():
            serial.write_text(f"serial-of-{name}\n")
        config = folder / "agent.toml"
        config.write_text(f'status_file = "{folder}/status.json"\n')
        self.farm.start(name, [BIN / "kiln-agent", "--config", config, "--controller", url or self.secure, "--data",
                               folder / "data", "--sysfs", folder / "sys", *flags])
        self.addCleanup(lambda: name in self.farm.processes and self.farm.stop(name))
        return folder / "status.json"

    @staticmethod
    def standing(file):
        try:
            return json.loads(file.read_text())
        except FileNotFoundError:
            return {}

    def wait_standing(self, file, state):
        return wait_until(f"{file.parent.name} is {state}",
                          lambda: (s := self.standing(file)).get("state") == state and s)

    def key(self, node):
        return next((k for k in self.farm.get("/api/v1/enrollments")["enrollments"] if k["id"] == node), None)

    def join(self, name):
        """A box that a person has approved by its fingerprint; its status file and its id."""
        file = self.box(name)
        shown = self.wait_standing(file, "pending")
        self.farm.kiln("node", "approve", shown["fingerprint"], check=True)
        self.wait_standing(file, "online")
        return file, shown["id"]

    # ---- the tests ---------------------------------------------------------------------------------------------

    def test_a_box_waits_for_a_person_and_then_renders(self):
        file = self.box("waits", "--ca-fingerprint", self.authority)
        shown = self.wait_standing(file, "pending")
        self.assertEqual(shown["ca_fingerprint"], self.authority)
        self.assertIn(shown["fingerprint"], shown["message"])
        self.assertEqual(shown["fingerprint"].replace("-", ""), shown["id"])
        self.assertEqual(self.key(shown["id"])["state"], "pending")
        self.assertIn(shown["fingerprint"], self.farm.kiln("node", "keys", check=True).stdout)
        self.assertIsNone(self.farm.presence(shown["id"]))
        self.farm.kiln("node", "approve", shown["fingerprint"], check=True)
        self.wait_standing(file, "online")
        job = self.farm.submit(self.scene, "1-2")
        self.farm.wait_for_job(job["id"])
        self.assertEqual(len(self.farm.output(job["id"])), 2)
        # The key stays where it is, and is the box's alone.
        self.assertEqual((file.parent / "data/node.key").stat().st_mode & 0o777, 0o600)

    def test_a_token_lets_in_and_is_used_up(self):
        token = self.farm.kiln("node", "token", "--label", "lab", check=True).stdout.strip()
        self.wait_standing(self.box("first", "--join-token", token), "online")
        refused = self.wait_standing(self.box("second", "--join-token", token), "refused")
        self.assertIn("used up", refused["message"])
        for data in self.farm.folder.glob("controller/nodes.db*"):
            self.assertNotIn(token.encode(), data.read_bytes())

    def test_an_expected_fingerprint_lets_in(self):
        file = self.box("expected")
        shown = self.wait_standing(file, "pending")
        self.farm.stop("expected")
        self.farm.kiln("node", "forget", shown["id"], check=True)
        self.farm.kiln("node", "expect", shown["fingerprint"].upper(), check=True)
        self.wait_standing(self.box("expected"), "online")

    def test_another_authority_is_not_believed(self):
        file = self.box("pinned", "--ca-fingerprint", "aaaa-bbbb-cccc-dddd")
        refused = self.wait_standing(file, "refused")
        self.assertIn("correct the one", refused["message"])

    def test_a_node_may_only_be_itself_on_the_broker(self):
        _, node = self.join("honest")
        with Publisher(self, node) as mqtt:
            self.assertTrue(mqtt.may("pub", f"kiln/v1/nodes/{node}/event"))
            for topic in ("kiln/v1/nodes/other/status", f"kiln/v1/cmd/{node}", "kiln/v1/controller/status",
                          "kiln/v1/request/ann/job-cancel", "$CONTROL/dynamic-security/v1"):
                self.assertFalse(mqtt.may("pub", topic), topic)
            for topic in ("#", "kiln/v1/nodes/#", "kiln/v1/cmd/other", "kiln/v1/response/#"):
                self.assertFalse(mqtt.may("sub", topic), topic)

    def test_nobody_is_anonymous_and_a_viewer_only_looks(self):
        port = ["-p", str(self.farm.mqtt_port), "--cafile", str(self.ca)]
        anonymous = subprocess.run(["mosquitto_sub", *port, "-t", "#", "-W", "2"], capture_output=True, text=True)
        self.assertIn("not authorised", (anonymous.stdout + anonymous.stderr).lower())
        plain = subprocess.run(["mosquitto_sub", "-p", str(self.farm.mqtt_port), "-t", "#", "-W", "2"],
                               capture_output=True, text=True)
        self.assertNotEqual(plain.returncode, 0)
        file, node = self.join("watched")
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *self.farm.as_user(), "-t", "#", "-v", "-W", "20"],
                              stdout=subprocess.PIPE, text=True) as viewer:
            subprocess.run(["mosquitto_pub", *self.farm.as_user(), "-t", f"kiln/v1/nodes/{node}/status", "-m", "lies",
                            "-q", "1"], check=False)
            job = self.farm.submit(self.scene, "1")
            self.farm.wait_for_job(job["id"])
            viewer.terminate()
            heard = viewer.stdout.read()
        self.assertIn(f"kiln/v1/nodes/{node}/status", heard)
        self.assertIn(f"kiln/v1/jobs/{job['id']}/status", heard)
        self.assertNotIn("kiln/v1/cmd/", heard)
        self.assertNotIn("lies", heard)

    def test_revoked_is_out_at_once_and_its_work_goes_elsewhere(self):
        file, node = self.join("revoked")
        self.farm.kiln("node", "revoke", node, check=True)
        refused = self.wait_standing(file, "refused")
        self.assertIn("revoked by", refused["message"])
        wait_until("its topics are cleared",
                   lambda: not any(f"/nodes/{node}/" in topic for topic in self.farm.retained()))
        self.assertIsNone(self.farm.presence(node))
        self.farm.kiln("node", "approve", node, check=True)
        self.wait_standing(file, "online")

    def test_a_secret_is_changed_while_it_renders(self):
        slow = make_scene(self.farm.folder / "slow.blend", "scene.cycles.samples = 400\n"
                          "scene.render.resolution_x, scene.render.resolution_y = 640, 480", frames=(1, 3))
        file, node = self.join("rotated")
        job = self.farm.submit(slow, "1-3")
        wait_until("it renders", lambda: self.farm.get(f"/api/v1/jobs/{job['id']}")["tasks"]["running"] > 0)
        self.farm.kiln("node", "rotate", node, check=True)
        shown = self.farm.wait_for_job(job["id"])
        self.assertEqual(shown["tasks"]["done"], 3)
        self.wait_standing(file, "online")

    def test_the_network_sees_nothing_plain(self):
        answer = subprocess.run(["curl", "-sS", "--cacert", self.ca, f"{self.secure}/healthz"], capture_output=True,
                                text=True)
        self.assertEqual(answer.stdout, "ok\n")
        stranger = subprocess.run(["curl", "-sS", f"{self.secure}/healthz"], capture_output=True, text=True)
        self.assertNotEqual(stranger.returncode, 0)

    def test_garbage_is_refused_with_what_would_be_right(self):
        status, answer = self.farm.post("/api/v1/enroll", {"id": "x"})
        self.assertEqual(status, 400)
        self.assertIn("public_key", answer["detail"])
        status, answer = self.farm.post("/api/v1/join-tokens", {"uses": 0})
        self.assertEqual(status, 400)
        self.assertIn("1 to 10000", answer["detail"])
        for verb in ("approve", "reject", "revoke", "rotate"):
            self.assertEqual(self.farm.post(f"/api/v1/enrollments/nobody/{verb}", {})[0], 404)
        self.assertEqual(self.farm.request("DELETE", "/api/v1/join-tokens/none")[0], 404)


class Publisher:
    """A program with a node's own secret: what its account lets it do. The secret is asked for as the box would."""

    def __init__(self, test, node):
        self.test, self.node = test, node

    def __enter__(self):
        name = next(n for n in self.test.farm.processes
                    if (self.test.farm.folder / n / "status.json").exists()
                    and Joining.standing(self.test.farm.folder / n / "status.json").get("id") == self.node)
        self.test.farm.stop(name)  # two of one name are another test
        key = self.test.farm.folder / name / "data/node.key"
        nonce = self.test.farm.get("/api/v1/enroll")["nonce"]
        public = subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-outform", "DER"], capture_output=True,
                                check=True).stdout
        import base64
        body = json.dumps({"id": self.node, "public_key": base64.b64encode(public).decode(), "nonce": nonce}).encode()
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=body, capture_output=True,
                                   check=True).stdout
        status, _, answer = self.test.farm.request("POST", "/api/v1/enroll", body, {
            "Content-Type": "application/json", "Kiln-Signature": base64.b64encode(signature).decode()})
        self.test.assertEqual(status, 200, answer)
        self.password = json.loads(answer)["secret"]
        return self

    def __exit__(self, *_):
        pass

    def may(self, what, topic):
        """A refused publish is silent: whether it is seen is asked of the controller's own eyes, or of SUBACK."""
        login = [*self.test.farm.as_user(self.node, self.password), "-i", f"kiln-agent-{self.node}"]
        if what == "sub":
            result = subprocess.run(["mosquitto_sub", *login, "-t", topic, "-W", "1", "-d"], capture_output=True, text=True)
            return "denied" not in result.stdout + result.stderr and "128" not in result.stdout
        words = f"said-{time.monotonic_ns()}"
        with subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *self.test.farm.as_user(), "-t", "#", "-v", "-W", "4", "-d"],
                              stdout=subprocess.PIPE, text=True) as viewer:
            for line in viewer.stdout:
                if "Subscribed" in line:
                    break
            subprocess.run(["mosquitto_pub", *login, "-t", topic, "-m", words, "-q", "1"], check=True,
                           capture_output=True)
            time.sleep(1)
            viewer.terminate()
            return words in viewer.stdout.read()


if __name__ == "__main__":
    unittest.main()
