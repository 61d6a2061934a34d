"""A renderer as its makers pack one, made of the Blender that Debian installed: it runs from its own folder.

    make_bundle(folder, "3.4.1")  ->  folder/blender-3.4.1-linux-x64.tar.zst

System libraries stay the system's; translations, fonts and what a render never reads are left out.
"""
import pathlib
import subprocess
import tarfile
import tempfile

WRAPPER = """#!/bin/sh
# Says who renders, and finds its files beside itself.
here=$(dirname "$(readlink -f "$0")")
echo "renderer from the bundle {version}"
export BLENDER_SYSTEM_SCRIPTS="$here/share/scripts" BLENDER_SYSTEM_DATAFILES="$here/share/datafiles"
exec "$here/lib/blender-program" "$@"
"""
LEFT_OUT = ("/locale/", "/datafiles/fonts", "/datafiles/studiolights", "/doc/", "/icons/", "/addons/rigify",
            "/addons/measureit", "/bl_app_templates_system", "__pycache__")
SHARE = "/usr/share/blender/"


def installed_files():
    listed = subprocess.run(["dpkg", "-L", "blender", "blender-data"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines():
        path = pathlib.Path(line)
        if line.startswith(SHARE) and not any(part in line for part in LEFT_OUT) and path.is_file():
            yield path


def make_bundle(folder, version, file_version=None, padding_mib=0, program="/usr/bin/blender"):
    """`file_version`: what the file's name says. `padding_mib`: of a file of zeros, for what should be large unpacked."""
    top = f"blender-{version}-linux-x64"
    target = pathlib.Path(folder) / f"blender-{file_version or version}-linux-x64.tar.zst"
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        scratch = pathlib.Path(scratch)
        plain = scratch / "plain.tar"
        with tarfile.open(plain, "w") as tar:
            wrapper = scratch / "blender"
            wrapper.write_text(WRAPPER.format(version=version))
            wrapper.chmod(0o755)
            tar.add(wrapper, f"{top}/blender")
            tar.add(program, f"{top}/lib/blender-program")
            for path in installed_files():
                tar.add(path.resolve(), f"{top}/share/{path.relative_to(SHARE)}")
            link = tarfile.TarInfo(f"{top}/share/program")
            link.type, link.linkname = tarfile.SYMTYPE, "../lib/blender-program"
            tar.addfile(link)
            if padding_mib:
                zeros = scratch / "zeros"
                with open(zeros, "wb") as out:
                    out.truncate(padding_mib << 20)
                tar.add(zeros, f"{top}/lib/zeros")
        subprocess.run(["zstd", "-q", "-1", "-f", plain, "-o", target], check=True)
    return target
