"""Draws the picture of a report in README.md: the first page of the shipped study's fit beside its cross-validation, in Chromium.

  report_picture.py [PROGRAM]      writes docs/report.png
"""

import base64
import pathlib
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "tests" / "browser"))
from chromium import Page  # noqa: E402

PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else SOURCE / "build/release/bin/rooftune").resolve()
WIDTH, HEIGHT = 1180, 700


def main():
    with tempfile.TemporaryDirectory() as folder:
        run = lambda *words: subprocess.run([PROGRAM, *words], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: E731
        run("fit", SOURCE / "experiments/physics_h100.yaml", "--out", "physics_h100")
        run("crossval", SOURCE / "experiments/crossval_model.yaml", "--out", "crossval")
        run("report", "physics_h100", "--crossval", "crossval", "-o", "report.html")
        with Page(limit_s=120) as page:
            page.emulate("light")
            page.resize(WIDTH, HEIGHT)
            page.open(pathlib.Path(folder) / "report.html")
            page.run("document.getElementById('subtitle').textContent = 'rooftune fit experiments/physics_h100.yaml'")
            page.run("new Promise((done) => setTimeout(done, 300))")
            picture = page.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)
            (SOURCE / "docs/report.png").write_bytes(base64.b64decode(picture["data"]))


if __name__ == "__main__":
    main()
