#!/usr/bin/env python3
"""How long headless Chromium takes to open the report of the shipped study, and how big that is: lines "name value unit".

  report_bench.py [PROGRAM]
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(SOURCE / "tests" / "browser"))
from chromium import Page, find_chromium  # noqa: E402

OPENINGS = 5
# From the request for the page until its scripts have run and the first page's plots are drawn.
OPENED_MS = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(SOURCE / "build/release/bin/rooftune")
    with tempfile.TemporaryDirectory() as folder:
        run, html = pathlib.Path(folder) / "run", pathlib.Path(folder) / "report.html"
        subprocess.run([program, "fit", str(SOURCE / "experiments/quickstart.yaml"), "--out", str(run)], check=True, stdout=subprocess.DEVNULL)
        subprocess.run([program, "report", str(run), "-o", str(html)], check=True, stdout=subprocess.DEVNULL)
        print(f"report/size {html.stat().st_size / 1e6:.3f} MB")
        if find_chromium() is None:
            return
        first, every = [], []
        for _ in range(OPENINGS):
            with Page() as page:
                page.open(html)
                first.append(page.run(OPENED_MS))
                every.append(page.run("(() => { const start = performance.now(); rooftuneReport.drawAll(); return performance.now() - start; })()"))
        print(f"report/open {statistics.median(first):.0f} ms")
        print(f"report/draw_every_page {statistics.median(every):.0f} ms")


if __name__ == "__main__":
    main()
