"""What tests/integration/chaos_test.py breaks a farm with: boxes behind wires of their own, and a saboteur.

Everything runs in one network and mount namespace that ends with the test; each box has a namespace of its own,
and reaches the controller over a virtual cable and through a Wire that can delay, cut, alter and repeat.
"""
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time

from farm import BIN, Farm, descendants


def enter_namespace():
    """Starts this script again where it may make networks and mounts; nothing of them outlives it."""
    if os.environ.get("KILN_CHAOS_INSIDE"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/netns")
        ip("link", "set", "lo", "up")
        return
    flags = ["--net", "--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net", "--mount"]
    os.environ["KILN_CHAOS_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", *flags, sys.executable, "-B", *sys.argv])


def ip(*args):
    subprocess.run(["ip", *map(str, args)], check=True)


def read_message(stream):
    """One HTTP message as bytes: head and body. None at the end of the stream."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline()
        if not line:
            return None
        head += line
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.M)
    return head, stream.read(int(length[1])) if length else b""


class Wire:
    """A box's way to the controller's HTTP port, message by message, with faults drawn from `chance`."""

    FAULTS = ["cut the request", "alter the body", "repeat", "lose the answer", "delay"]

    def __init__(self, address, target_port, seed):
        self.target_port = target_port
        self.chance = random.Random(seed)
        self.fault_share = 0.0
        self.counts = dict.fromkeys(self.FAULTS, 0)
        self.listener = socket.create_server((address, 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            threading.Thread(target=self.converse, args=(client,), daemon=True).start()

    def converse(self, client):
        try:
            with client, socket.create_connection(("127.0.0.1", self.target_port), timeout=60) as server:
                client.settimeout(60)
                asked, answered = client.makefile("rb"), server.makefile("rb")
                while (request := read_message(asked)) and self.pass_on(request, client, server, answered):
                    pass
        except OSError:
            pass  # one of the two is gone: the other hears it by the end of its connection

    def pass_on(self, request, client, server, answered):
        head, body = request
        if head.startswith(b"GET /api/v1/events"):
            raise OSError("no box asks for events")
        fault = self.chance.choice(self.FAULTS) if self.chance.random() < self.fault_share else None
        if fault == "alter the body" and not body:
            fault = None
        if fault:
            self.counts[fault] += 1
        if fault == "delay":
            time.sleep(self.chance.uniform(0.1, 2))
        if fault == "cut the request":
            server.sendall((head + body)[:self.chance.randrange(len(head + body))])
            return False
        if fault == "alter the body":
            at = self.chance.randrange(len(body))
            body = body[:at] + bytes([body[at] ^ 1 << self.chance.randrange(8)]) + body[at + 1:]
        for _ in range(2 if fault == "repeat" else 1):
            server.sendall(head + body)
            answer = read_answer(answered, head.startswith(b"HEAD"))
        if fault == "lose the answer":
            return False
        client.sendall(answer)
        return True


def read_answer(stream, is_head):
    """An answer's bytes; interim ones are left out, because the Wire has the whole request already."""
    while True:
        if is_head:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = stream.readline()
                if not line:
                    raise OSError("the controller hung up")
                head += line
            return head
        message = read_message(stream)
        if message is None:
            raise OSError("the controller hung up")
        if not message[0].startswith(b"HTTP/1.1 1"):
            return b"".join(message)


class Pump:
    """A box's way to the broker: bytes, as they come, or late: `delay_share` of them by up to a second."""

    def __init__(self, address, port, seed):
        self.chance = random.Random(seed)
        self.delay_share = 0.0
        self.listener = socket.create_server((address, port), backlog=16)
        self.port = port
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            threading.Thread(target=self.join, args=(client, server), daemon=True).start()

    def join(self, client, server):
        with client, server:
            back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
            back.start()
            self.pump(client, server)
            back.join()

    def pump(self, source, sink):
        """Passes bytes on until one side ends, then ends both."""
        try:
            while data := source.recv(65536):
                if self.chance.random() < self.delay_share:
                    time.sleep(self.chance.random())
                sink.sendall(data)
        except OSError:
            pass
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Box:
    """An agent in a network namespace of its own."""

    def __init__(self, farm, number, seed):
        self.farm, self.name, self.link = farm, f"box-{number}", f"kiln{number}"
        ip("netns", "add", self.name)
        ip("link", "add", self.link, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("addr", "add", f"10.99.{number}.1/24", "dev", self.link)
        ip("link", "set", self.link, "up")
        for args in (["addr", "add", f"10.99.{number}.2/24", "dev", "eth0"], ["link", "set", "eth0", "up"],
                     ["link", "set", "lo", "up"]):
            ip("-n", self.name, *args)
        self.wire = Wire(f"10.99.{number}.1", farm.http_port, seed)
        self.url = f"http://10.99.{number}.1:{self.wire.port}"
        self.pump = Pump(f"10.99.{number}.1", farm.mqtt_port, -seed)
        self.start()

    def start(self):
        self.farm.start(self.name, ["ip", "netns", "exec", self.name, BIN / "kiln-agent", "--controller", self.url,
                                    "--data", self.farm.folder / self.name, "--id", self.name, "--slots", "1"])

    def renderers(self):
        return [pid for name, pid in descendants(self.farm.processes[self.name].pid) if "blender" in name]

    def set_link(self, state):
        ip("link", "set", self.link, state)


class Saboteur:
    """Breaks something every second or so, until told to stop; then everything is whole again."""

    def __init__(self, farm, boxes, small_disk, start_controller, seed):
        self.farm, self.boxes, self.small_disk, self.start_controller = farm, boxes, small_disk, start_controller
        self.chance = random.Random(seed)
        self.counts = {}
        self.cut = {}  # box -> when its link comes back
        self.long_cuts = 0  # that ended by themselves, before a controller that was there, with its broker, all the time
        self.watching_since = time.monotonic()
        self.full_until = None

    DEEDS = {"kill an agent": 4, "kill a renderer": 4, "kill the broker": 2, "kill the controller": 2,
             "cut a link": 3, "fill the disk": 1, "restart the controller": 1}

    def run(self, seconds, keep_busy):
        end = time.monotonic() + seconds
        self.shake(0.15)
        while time.monotonic() < end:
            time.sleep(self.chance.uniform(0.2, 2.5))
            self.mend(time.monotonic())
            keep_busy()
            deed = self.chance.choices(list(self.DEEDS), self.DEEDS.values())[0]
            print(f"{time.strftime('%H:%M:%S')} {deed}", flush=True)
            self.counts[deed] = self.counts.get(deed, 0) + 1
            getattr(self, deed.replace(" ", "_"))(self.chance.choice(self.boxes))
        self.shake(0)
        self.mend(float("inf"))

    def shake(self, share):
        for box in self.boxes:
            box.wire.fault_share = box.pump.delay_share = share

    def mend(self, now):
        for box, until in list(self.cut.items()):
            if now >= until:
                box.set_link("up")
                del self.cut[box]
                was_watched = self.watching_since <= until - box.cut_s
                self.long_cuts += now < float("inf") and box.cut_s >= 30 and was_watched
        if self.full_until and now >= self.full_until:
            (self.small_disk / "ballast").unlink()
            self.full_until = None

    def kill_an_agent(self, box):
        self.farm.stop(box.name, signal.SIGKILL)
        time.sleep(self.chance.uniform(0, 2))
        box.start()

    def kill_a_renderer(self, box):
        for pid in box.renderers():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def kill_the_broker(self, _):
        controller = self.farm.processes["controller"].pid
        listed = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(controller)], capture_output=True, text=True)
        for line in listed.stdout.splitlines():
            if "mosquitto" in line:
                os.kill(int(line.split()[0]), signal.SIGKILL)
        self.watching_since = time.monotonic()

    def kill_the_controller(self, _, how=signal.SIGKILL):
        self.farm.stop("controller", how)
        time.sleep(self.chance.uniform(0, 1))
        while True:  # as systemd does
            try:
                self.start_controller()
                self.watching_since = time.monotonic()
                return
            except AssertionError as ended:
                if not self.full_until or "no space left; free some space" not in str(ended):
                    raise
            time.sleep(0.3)
            self.mend(time.monotonic())

    def restart_the_controller(self, _):
        self.kill_the_controller(_, signal.SIGTERM)

    def cut_a_link(self, box):
        if box not in self.cut:
            box.set_link("down")
        # Some outlast three heartbeats and the grace period, most do not.
        box.cut_s = self.chance.choice([1, 3, 8, 30])
        self.cut[box] = time.monotonic() + box.cut_s

    def fill_the_disk(self, _):
        if self.full_until:
            return
        try:
            with open(self.small_disk / "ballast", "wb", buffering=0) as ballast:
                while True:
                    ballast.write(b"\0" * 65536)
        except OSError:
            pass
        self.full_until = time.monotonic() + self.chance.uniform(2, 6)
