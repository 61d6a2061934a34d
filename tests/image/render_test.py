"""A real frame in a box: the image with Debian's Blender, let in by the token in its kiln.toml, renders a scene with Cycles."""
import importlib.util
import json
import os
import subprocess
import time
import unittest

os.environ["KILN_VARIANT"] = "blender"
import images  # noqa: E402
from box import Box, wait_until  # noqa: E402
from farm import Controller  # noqa: E402

spec = importlib.util.spec_from_file_location("integration_farm", images.SOURCE / "tests/integration/farm.py")
integration_farm = importlib.util.module_from_spec(spec)
spec.loader.exec_module(integration_farm)


class Render(unittest.TestCase):
    def test_frames_of_a_scene(self):
        folder = images.work_folder(self.addCleanup)
        scene = integration_farm.make_scene(folder / "scene.blend", frames=(1, 2))
        image = images.image(folder)
        farm = self.enterContext(Controller(folder / "render-farm"))
        token = farm.kiln("node", "token").strip()
        box = self.enterContext(Box(image, folder / "render-box", f'controller = "{farm.url_of_boxes}"\n'
                                    f'ca_fingerprint = "{farm.authority()}"\nname = "shelf-4"\njoin_token = "{token}"\n'))
        box.start()
        began = time.monotonic()

        def renders():
            nodes = [node for node in farm.get("/api/v1/nodes")["nodes"] if node["presence"] == "online"]
            return nodes[0] if nodes and nodes[0].get("info", {}).get("renderers") else None

        node = wait_until("a box with a renderer is online", renders, 2400)
        print(f"online with its renderers after {time.monotonic() - began:.0f} s", flush=True)
        blender = next(one for one in node["info"]["renderers"] if one["name"] == "blender")
        print(f"{node['name']} has Blender {blender['version']}", flush=True)

        began = time.monotonic()
        job = json.loads(farm.kiln("--json", "submit", scene, "--frames", "1-2", "--chunk", "2", "--stall", "1800"))["id"]
        farm.wait_for_job(job, 3600)
        print(f"two frames after {time.monotonic() - began:.0f} s", flush=True)
        frames = {name: file for name, file in farm.output(job).items() if name.endswith(".png")}
        self.assertEqual(2, len(frames), frames)
        # Decoded, of the scene's size, and not the same: the cube has moved.
        sizes = {self.size(file) for file in frames.values()}
        self.assertEqual({"64,48"}, sizes)
        self.assertEqual(2, len({integration_farm.pixels(file) for file in frames.values()}))

    @staticmethod
    def size(picture):
        return subprocess.run(["ffprobe", "-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0", picture],
                              check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    unittest.main(verbosity=2)
