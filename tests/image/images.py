"""The image under test, and update bundles beside it: the same root with a few files changed, so that nothing is
bootstrapped again."""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

SOURCE = pathlib.Path(os.environ["KILN_SOURCE"])
SUITE = os.environ.get("KILN_SUITE", "trixie")
VARIANT = os.environ.get("KILN_VARIANT", "bare")
BUILD = SOURCE / "build/image" / SUITE
FIRST = "1.0.0+test"


def build(version, *more, output):
    began = time.monotonic()
    if programs := os.environ.get("KILN_PROGRAMS"):  # a build folder, for trials
        more = (*more, "--programs", programs)
    subprocess.run(["nice", "-n", "5", SOURCE / "image/build", "--suite", SUITE, "--variant", VARIANT, "--version", version, "--output", output, *more],
                   check=True)
    print(f"image/build {version} {' '.join(map(str, more))}: {time.monotonic() - began:.0f} s", flush=True)


def image(output):
    """The disk image of FIRST; made unless KILN_IMAGE names one that was."""
    if given := os.environ.get("KILN_IMAGE"):
        return pathlib.Path(given)
    build(FIRST, output=output)
    return pathlib.Path(output) / f"kiln-{FIRST}-{SUITE}-{VARIANT}.img"


def work_folder(clean_up):
    """KILN_FOLDER, which stays; otherwise a new one, which clean_up removes (a test's or a class's addCleanup)."""
    given = os.environ.get("KILN_FOLDER")
    folder = pathlib.Path(given or tempfile.mkdtemp(prefix="kiln-image-"))
    if not given:
        clean_up(shutil.rmtree, folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(path, text):
    """A file of its own: the root that it is a copy of shares the old one."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@contextlib.contextmanager
def changed_root(version, files):
    """A copy of the root in hard links, with another version and these files: {path: text}."""
    original, root = BUILD / f"root-{VARIANT}", BUILD / f"root-{VARIANT}-{version}"
    boot = pathlib.Path(f"{root}.boot")
    try:
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(["cp", "-al", original, root], check=True)
        shutil.copytree(f"{original}.boot", boot, dirs_exist_ok=True)
        facts = (original / "usr/lib/kiln/image").read_text().splitlines()
        facts = [f"KILN_IMAGE_VERSION={version}" if line.startswith("KILN_IMAGE_VERSION=") else line for line in facts]
        write(root / "usr/lib/kiln/image", "\n".join(facts) + "\n")
        for path, text in files.items():
            write(root / path, text)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(boot, ignore_errors=True)


def bundle(output, version, files):
    """A signed bundle of that version; one that lies there already is taken."""
    path = pathlib.Path(output) / f"kiln-{version}-{SUITE}-{VARIANT}.raucb"
    if not path.exists():
        with changed_root(version, files) as root:
            build(version, "--only", "slots", "--root", root, output=output)
            build(version, "--only", "bundle", "--root", root, output=output)
    return path


def small_bundle(output, version, *more, variant=VARIANT):
    """A bundle that must be refused before its content is looked at: it has next to none."""
    slots = BUILD / "slots"
    shutil.rmtree(slots, ignore_errors=True)
    slots.mkdir(parents=True)
    for name in ("root.img", "boot.img"):
        (slots / name).write_bytes(os.urandom(32 * 1024))
    build(version, "--only", "bundle", "--variant", variant, *more, output=output)
    return pathlib.Path(output) / f"kiln-{version}-{SUITE}-{variant}.raucb"


def strangers_key(folder):
    """A key and a certificate that no box trusts: [options for image/build]."""
    key, certificate = folder / "stranger.key", folder / "stranger.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650",
                    "-subj", "/O=Kiln/CN=KILN DEVELOPMENT SIGNING KEY", "-keyout", key, "-out", certificate],
                   check=True, capture_output=True)
    return ["--key", key, "--certificate", certificate, "--ca", certificate]


def truncated(bundle_path, path):
    """Without its last tenth."""
    shutil.copy(bundle_path, path)
    os.truncate(path, path.stat().st_size * 9 // 10)
    return path


def bit_flipped(bundle_path, path):
    """One bit in the middle of what is to be installed."""
    shutil.copy(bundle_path, path)
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))
    return path
