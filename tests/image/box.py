"""A flashed box in QEMU: the built image on a disk of its own, started by OVMF's firmware, without KVM.

    with Box(image, folder, "controller = 'http://10.0.2.2:8780'") as box:
        box.start()
        box.wait_for_ssh()
        box.ssh("rauc status")

The guest reaches the host's loopback at 10.0.2.2. What is tested is the image as it ships: tests speak to it by kiln.toml,
a key for SSH in it, and the kernel's arguments in GRUB's environment.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import time

FIRMWARE = pathlib.Path("/usr/share/OVMF")
MIB = 1024 * 1024
ESP, CONFIG, BOOT_A, ROOT_A, BOOT_B, ROOT_B, DATA = range(1, 8)  # numbers of the partitions
LOGGED = "console=tty1 console=ttyS0 systemd.log_level=info"
DISK_BYTES = 12 * 1024 * MIB
DEADLINE_S = 900  # for a boot under emulation on a busy machine: generous


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, deadline_s=DEADLINE_S, pause_s=1.0):
    """Polls until condition() is true, and returns its value and how long it took."""
    began = time.monotonic()
    while time.monotonic() - began < deadline_s:
        value = condition()
        if value:
            return value
        time.sleep(pause_s)
    raise AssertionError(f"not within {deadline_s} s: {what}")


class Box:
    def __init__(self, image, folder, settings="", memory_mib=2048, name="box"):
        """image: what is flashed; None: the disk is there, and is taken as it is."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.disk = self.folder / f"{name}.img"
        self.serial = self.folder / f"{name}.serial.log"
        self.memory_mib = memory_mib
        self.process = None
        self.ssh_port = free_port()
        self.key = self.folder / "key"
        if not self.key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        shutil.copy(FIRMWARE / "OVMF_VARS_4M.fd", self.folder / f"{name}.vars.fd")
        if image is not None:
            subprocess.run(["cp", "--sparse=always", str(image), str(self.disk)], check=True)
            os.truncate(self.disk, DISK_BYTES)  # as on a disk that is larger than the image
            self.settings(settings)
        # To see the kernel and systemd in a log; the image itself has no serial console.
        self.kernel_arguments(LOGGED)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.kill()
        if kind is not None and self.serial.exists():
            print(f"---- {self.serial}\n{self.serial.read_text(errors='replace')[-8000:]}")

    # ---- the disk, while the box is off --------------------------------------------------------------------------

    def offset(self, partition):
        """Where it begins, in bytes; from the disk's GPT, whose entries of 128 bytes begin in sector 2."""
        with open(self.disk, "rb") as disk:
            disk.seek(1024 + 128 * (partition - 1) + 32)
            return struct.unpack("<Q", disk.read(8))[0] * 512

    def mtools(self, command, partition, *args):
        return subprocess.run([command, "-i", f"{self.disk}@@{self.offset(partition)}", *map(str, args)], check=True, capture_output=True,
                              env={**os.environ, "MTOOLS_SKIP_CHECK": "1"}).stdout

    def settings(self, text):
        """kiln.toml; the tests' SSH key is put in."""
        key = self.key.with_suffix(".pub").read_text().strip()
        file = self.folder / "kiln.toml"
        file.write_text(f'{text}\nssh_key = "{key}"\n')
        self.mtools("mcopy", CONFIG, "-o", file, "::/kiln.toml")

    def environment(self):
        block = self.mtools("mtype", ESP, "::/kiln/grubenv").decode()
        return dict(line.split("=", 1) for line in block.splitlines() if "=" in line and not line.startswith("#"))

    def write_environment(self, raw):
        file = self.folder / "grubenv"
        file.write_bytes(raw)
        self.mtools("mcopy", ESP, "-o", file, "::/kiln/grubenv")

    def kernel_arguments(self, text):
        lines = "".join(f"{key}={value}\n" for key, value in {**self.environment(), "KERNEL_ARGS": text}.items())
        raw = ("# GRUB Environment Block\n" + lines).encode()
        self.write_environment(raw + b"#" * (1024 - len(raw)))

    def overwrite(self, partition, at, count=64 * 1024):
        """Turns the bits of what stands there: as a dying disk does."""
        with open(self.disk, "r+b") as disk:
            disk.seek(self.offset(partition) + at)
            data = bytes(b ^ 0xFF for b in disk.read(count))
            disk.seek(self.offset(partition) + at)
            disk.write(data)

    # ---- power ---------------------------------------------------------------------------------------------------

    def start(self, *more):
        monitor = self.folder / f"{self.name}.qmp"
        monitor.unlink(missing_ok=True)
        self.process = subprocess.Popen(
            ["nice", "-n", "5", "qemu-system-x86_64", "-name", self.name, "-machine", "q35", "-cpu", "max",
             "-accel", "tcg,thread=multi", "-smp", "2", "-m", str(self.memory_mib), "-nodefaults", "-display", "none",
             "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE}/OVMF_CODE_4M.fd",
             "-drive", f"if=pflash,format=raw,file={self.folder}/{self.name}.vars.fd",
             "-drive", f"if=none,id=disk,format=raw,discard=unmap,file={self.disk}", "-device", "nvme,drive=disk,serial=kiln",
             "-netdev", f"user,id=lan,hostfwd=tcp:127.0.0.1:{self.ssh_port}-:22", "-device", "virtio-net-pci,netdev=lan",
             "-device", "virtio-rng-pci", "-vga", "std", "-global", "ICH9-LPC.noreboot=off",
             "-chardev", f"file,id=serial,path={self.serial},append=on", "-serial", "chardev:serial",
             "-qmp", f"unix:{monitor},server=on,wait=off", *more],
            stdin=subprocess.DEVNULL)
        self.started = time.monotonic()

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(self.folder / f"{self.name}.qmp"))
            stream = channel.makefile("rw")
            stream.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                stream.write(json.dumps(request) + "\n")
                stream.flush()
                while "return" not in (answer := json.loads(stream.readline())):
                    assert "error" not in answer, answer
            return answer["return"]

    def screenshot(self, path):
        self.qmp("screendump", filename=str(path))

    def kill(self):
        """As pulling the plug."""
        if self.process and self.process.poll() is None:
            # nice replaces itself by QEMU: it is one process
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None

    def power_off(self):
        self.ssh("systemctl --no-block poweroff", check=False)
        self.process.wait(300)
        self.process = None

    # ---- inside --------------------------------------------------------------------------------------------------

    def ssh(self, command, check=True, timeout=180):
        result = subprocess.run(
            ["ssh", "-i", str(self.key), "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no",
             "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=20", "-o", "BatchMode=yes",
             "root@127.0.0.1", command], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL)
        if check and result.returncode != 0:
            raise AssertionError(f"{command!r}: exit {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout.strip()

    def copy_in(self, path, target):
        with open(path, "rb") as data:
            subprocess.run(
                ["ssh", "-i", str(self.key), "-p", str(self.ssh_port), "-o", "StrictHostKeyChecking=no",
                 "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "root@127.0.0.1", f"cat > {target}"],
                stdin=data, check=True, timeout=600)

    def boot_id(self):
        try:
            return self.ssh("cat /proc/sys/kernel/random/boot_id", check=False, timeout=60)
        except subprocess.TimeoutExpired:
            return ""

    def wait_for_ssh(self, other_than="", deadline_s=DEADLINE_S):
        """The id of the boot that answers, another one than given."""
        def answers():
            assert self.process.poll() is None, f"QEMU ended: {self.process.returncode}"
            boot = self.boot_id()
            return boot if boot and boot != other_than else None

        return wait_until(f"{self.name} answers by SSH after a start", answers, deadline_s)

    def read_json(self, path):
        text = self.ssh(f"cat {path} 2>/dev/null", check=False)
        return json.loads(text) if text else None

    def wait_for_health(self, *states, deadline_s=DEADLINE_S):
        def reached():
            health = self.read_json("/run/kiln/health.json")
            return health if health and health["state"] in states else None

        return wait_until(f"health is {' or '.join(states)}", reached, deadline_s)
