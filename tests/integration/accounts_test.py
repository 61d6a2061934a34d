"""Who may do what, on a real controller: roles, cookies, tokens, limits, the audit log."""
import json
import os
import pathlib
import subprocess
import unittest

from farm import BIN, Farm

PASSWORD = "correct horse battery"
JSON = {"Content-Type": "application/json"}


def kiln(farm, *args, given="", home="home"):
    environment = {**os.environ, "KILN_SERVER": farm.url, "XDG_CONFIG_HOME": str(farm.folder / home)}
    environment.pop("KILN_TOKEN", None)
    return subprocess.run([str(BIN / "kiln"), *args], input=given, text=True, capture_output=True, timeout=60,
                          env=environment)


class Accounts(unittest.TestCase):
    """The farm trusts its own machine until the first administrator is made, then nobody without a name."""

    @classmethod
    def setUpClass(cls):
        cls.farm = Farm()
        cls.farm.__enter__()
        cls.addClassCleanup(lambda: cls.farm.__exit__(None, None, None))
        cls.keys = {}
        for name, role in (("vic", "viewer"), ("ada", "artist"), ("bob", "artist"), ("eve", "operator"),
                           ("root", "administrator")):
            added = kiln(cls.farm, "user", "add", name, "--role", role, given=PASSWORD + "\n")
            assert added.returncode == 0, added.stderr
            made = kiln(cls.farm, "token", "add", "test", "--user", name)
            assert made.returncode == 0, made.stderr
            cls.keys[name] = {**JSON, "Authorization": "Bearer " + made.stdout.strip()}
        cls.farm.stop("controller")
        settings = cls.farm.folder / "controller.toml"
        settings.write_text("[accounts]\ntrust_loopback = false\n")
        cls.farm.start_controller("--config", str(settings))
        cls.job = cls.submit("ada")

    @classmethod
    def submit(cls, name):
        status, _, body = cls.farm.request("POST", "/api/v1/jobs", b'{"type":"noop","frames":"1-3"}', cls.keys[name])
        assert status == 201, body
        return json.loads(body)["number"]

    def status(self, method, path, who=None, body=None, **headers):
        data = None if method in ("GET", "DELETE") else (json.dumps(body or {}).encode())
        return self.farm.request(method, path, data, {**(self.keys[who] if who else JSON), **headers})[0]

    def test_each_role_may_what_it_says(self):
        job = f"/api/v1/jobs/{self.job}"
        noop = {"type": "noop", "frames": "1"}
        table = (  # who may: nobody, vic, bob (not ada's), ada (hers), eve, root
            ("GET", "/healthz", None, (200, 200, 200, 200, 200, 200)),
            ("GET", "/api/v1/jobs", None, (401, 200, 200, 200, 200, 200)),
            ("POST", "/api/v1/jobs", noop, (401, 403, 201, 201, 201, 201)),
            ("PATCH", job, {"priority": 60}, (401, 403, 403, 200, 200, 200)),
            ("PATCH", "/api/v1/farm", {"fair_share": True}, (401, 403, 403, 403, 200, 200)),
            ("GET", "/api/v1/users", None, (401, 403, 403, 403, 403, 200)),
            ("GET", "/api/v1/audit", None, (401, 403, 403, 403, 403, 200)),
        )
        for method, path, body, wanted in table:
            for who, status in zip((None, "vic", "bob", "ada", "eve", "root"), wanted):
                with self.subTest(f"{method} {path} as {who}"):
                    self.assertEqual(self.status(method, path, who, body), status)

    def test_a_cookie_serves_the_page_and_no_other(self):
        login = json.dumps({"name": "ada", "password": PASSWORD}).encode()
        status, headers, _ = self.farm.request("POST", "/api/v1/login", login, JSON)
        self.assertEqual(status, 200)
        self.assertIn("HttpOnly; SameSite=Strict", headers["Set-Cookie"])
        cookie = {"Cookie": headers["Set-Cookie"].split(";")[0]}
        change = ("PATCH", f"/api/v1/jobs/{self.job}")
        ask = lambda **more: self.farm.request(*change, b'{"priority":70}', {**cookie, **JSON, **more})[0]
        self.assertEqual(ask(), 403)
        self.assertEqual(ask(Origin=self.farm.url), 200)
        self.assertEqual(ask(Origin="http://evil.example"), 403)
        self.assertEqual(ask(**{"Sec-Fetch-Site": "same-site"}), 403)
        self.assertEqual(ask(**{"Origin": self.farm.url, "Content-Type": "text/plain"}), 403)
        self.assertEqual(self.farm.request("POST", "/api/v1/logout", b"", {**cookie, "Origin": self.farm.url})[0], 204)
        self.assertEqual(ask(Origin=self.farm.url), 401)

    def test_a_command_line_logs_in_and_out(self):
        refused = kiln(self.farm, "jobs", home="cli")
        self.assertEqual(refused.returncode, 5)
        self.assertIn("kiln login", refused.stderr)
        self.assertEqual(kiln(self.farm, "login", "vic", given=PASSWORD + "\n", home="cli").returncode, 0)
        tokens = self.farm.folder / "cli/kiln/tokens.json"
        self.assertEqual(tokens.stat().st_mode & 0o777, 0o600)
        token = json.loads(tokens.read_text())[self.farm.url]
        self.assertEqual(kiln(self.farm, "whoami", home="cli").stdout, "vic, viewer\n")
        self.assertEqual(kiln(self.farm, "submit", "--noop", "1", home="cli").returncode, 5)
        self.assertEqual(kiln(self.farm, "logout", home="cli").returncode, 0)
        self.assertEqual(self.farm.request("GET", "/api/v1/me", None, {"Authorization": "Bearer " + token})[0], 401)

    def test_z_guessing_is_slowed_down(self):  # last: from here on this address waits
        guess = json.dumps({"name": "nobody", "password": "wrong guess"}).encode()
        answers = [self.farm.request("POST", "/api/v1/login", guess, JSON) for _ in range(8)]
        self.assertIn(429, [status for status, _, _ in answers])
        self.assertTrue(next(headers["Retry-After"] for status, headers, _ in answers if status == 429))

    def test_no_secret_is_kept_as_it_is(self):
        secrets = [PASSWORD] + [key["Authorization"].rsplit("_")[-1] for key in self.keys.values()]
        for file in (self.farm.folder / "controller").glob("accounts.db*"):
            self.assertEqual(file.stat().st_mode & 0o777, 0o600)
            for secret in secrets:
                self.assertNotIn(secret.encode(), file.read_bytes())
        for secret in secrets:
            self.assertNotIn(secret, self.farm.log("controller"))

    def test_changes_are_in_the_audit_log(self):
        number = self.submit("bob")
        self.assertEqual(self.status("POST", f"/api/v1/jobs/{number}/cancel", "eve"), 200)
        _, _, body = self.farm.request("GET", "/api/v1/audit?caller=eve&limit=1", None, self.keys["root"])
        entry = json.loads(body)["entries"][0]
        self.assertEqual((entry["role"], entry["what"], entry["status"]), ("operator", f"job {number}", 200))

    def test_no_upload_leaves_its_place_and_no_body_is_an_address_to_fetch(self):
        """Tried: paths that climb, absolute ones, other encodings of both; addresses where files or texts go."""
        before = {p for p in pathlib.Path(self.farm.folder).rglob("*") if "evil" in p.name}
        digest = {"Content-Digest": "sha-256=:LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564=:"}  # of b"foo"
        task = f"/api/v1/tasks/{self.farm_job_id()}-0/attempts/1/files/"
        for path in ("../evil", "..%2fevil", "%2e%2e/evil", "a/../../evil", "/tmp/evil", "%2ftmp%2fevil", "a%00evil",
                     "..%5cevil", "a/..", "%252e%252e%252fevil/../../evil"):
            status, _, _ = self.farm.request("PUT", task + path, b"foo", {**self.keys["root"], **digest})
            self.assertIn(status, (400, 404), path)
        for address in ("http://127.0.0.1:9/evil", "file:///etc/passwd", "//127.0.0.1/evil"):
            job = {"type": "blender", "frames": "1", "manifest": [{"path": address, "digest": address, "size": 1}]}
            self.assertEqual(self.status("POST", "/api/v1/jobs", "ada", job), 400)
        self.assertEqual({p for p in pathlib.Path(self.farm.folder).rglob("*") if "evil" in p.name}, before)

    def farm_job_id(self):
        _, _, body = self.farm.request("GET", f"/api/v1/jobs/{self.job}", None, self.keys["vic"])
        return json.loads(body)["id"]


class WithoutAdministrator(unittest.TestCase):
    def test_it_says_that_nobody_can_change_anything(self):
        with Farm() as farm:
            farm.stop("controller")
            self.assertNotIn("there is no administrator", farm.log("controller"))
            settings = farm.folder / "controller.toml"
            settings.write_text("[accounts]\ntrust_loopback = false\n")
            farm.start_controller("--config", str(settings))
            self.assertIn("there is no administrator", farm.log("controller"))


if __name__ == "__main__":
    unittest.main()
