"""The page of a run that goes on, as a browser gets it: over HTTP, with Python's own library.

  test_watched_report.py PROGRAM SOURCE_DIR
"""

import http.client
import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
SKIPPED = 77  # for ctest

# Goes on until it is told to end.
STUDY = """
name: long
data: {{ground_truth: [{source}/ground_truth/h100.json], select: {{id: ['64', '62']}}}}
start: {{step_time_model: physics}}
free: [frontend.constant_us, physics.t_layer_us]
solver: [{{algorithm: crs2, max_evaluations: 1000000, tolerance: 0}}]
threads: 1
"""


class WatchedRun(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        (self.root / "study.yaml").write_text(STUDY.format(source=SOURCE))
        self.fit = self.start("fit", "study.yaml", "--out", "run")
        self.wait_until(lambda: (self.root / "run" / "manifest.json").exists())
        self.server = self.start("report", "--watch", "run")
        self.url = urllib.parse.urlsplit(self.server.stdout.readline().strip())

    def start(self, *arguments):
        process = subprocess.Popen([PROGRAM, *arguments], cwd=self.root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def wait_until(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it did not come to that")
            time.sleep(0.05)

    def ask(self, path, method="GET"):
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=60)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer.headers
        finally:
            connection.close()

    def data_of(self, page):
        return json.loads(re.search(r'<script type="application/json" id="report-data">(.*?)</script>', page, re.DOTALL).group(1))

    def test_tells_how_far_it_is_and_becomes_the_report(self):
        state = lambda: json.loads(self.ask(self.url.path + "state.json")[1])
        self.wait_until(lambda: state()["evaluations"] > 2)
        first = state()
        self.assertEqual((first["schema"], first["state"], first["command"]), ("rooftune/live/1", "begun", "fit"))
        self.assertEqual(first["most_evaluations"], 1000000)
        self.assertEqual([one["parameter"] for one in first["parameters"]], ["frontend.constant_us", "physics.t_layer_us"])
        self.assertGreater(first["parameters"][0]["best"], 0)
        self.assertLessEqual(first["searches"][0]["best"], first["last"])
        self.wait_until(lambda: state()["evaluations"] > first["evaluations"])
        status, page, headers = self.ask(self.url.path)
        self.assertEqual(status, 200)
        self.assertEqual(headers["Cache-Control"], "no-store")
        self.assertGreaterEqual(self.data_of(page)["live"]["evaluations"], first["evaluations"])

        self.fit.send_signal(signal.SIGINT)
        self.fit.wait()
        self.assertEqual(state()["state"], "interrupted")
        ended = self.data_of(self.ask(self.url.path)[1])
        self.assertIsNone(ended["live"])
        self.assertTrue(ended["run"]["result"]["interrupted"])

    def test_follows_a_cross_validation_whose_store_is_elsewhere(self):
        self.fit.kill()
        text = STUDY.format(source=SOURCE).replace("'62'", "'62', '66', '20'").replace("1000000", "400")
        (self.root / "crossval.yaml").write_text(text + "crossval: {split: LeaveOneGroupOut, group: model}\n")
        folds = self.start("crossval", "crossval.yaml", "--out", "folds", "--store", "store.sqlite")
        self.wait_until(lambda: (self.root / "folds" / "manifest.json").exists())
        self.server = self.start("report", "--watch", "folds")
        self.url = urllib.parse.urlsplit(self.server.stdout.readline().strip())
        progress = lambda: json.loads(self.ask(self.url.path + "state.json")[1])["progress"]
        self.wait_until(lambda: progress() and progress()["finished"] > 0)
        seen = progress()
        self.assertEqual((seen["parts"], seen["of"], seen["is_stored_elsewhere"]), ("folds", 3, True))
        self.assertGreater(seen["computed"], 0)
        self.assertEqual(folds.wait(timeout=120), 0)
        self.assertFalse((self.root / "folds" / "progress.json").exists(), "it is for those who look on")

    def test_answers_only_who_knows_the_secret_and_changes_nothing(self):
        self.assertEqual(self.url.hostname, "127.0.0.1")
        self.assertRegex(self.url.path, r"^/[0-9a-f]{32}/$")
        other = "/" + "0" * 32 + "/"
        for path in ("/", "/state.json", other, other + "state.json", self.url.path + "../", self.url.path + "manifest.json"):
            self.assertEqual(self.ask(path)[0], 404, path)
        for method in ("POST", "PUT", "DELETE"):
            self.assertGreaterEqual(self.ask(self.url.path, method)[0], 400, method)

    def test_says_where_it_cannot_listen(self):
        taken = subprocess.run([PROGRAM, "report", "--watch", "run", "--port", str(self.url.port)], cwd=self.root, capture_output=True, text=True, timeout=60)
        self.assertEqual(taken.returncode, 1)
        self.assertIn(f"127.0.0.1:{self.url.port}: error: cannot be listened on (give an address of this machine and a port that is free)", taken.stderr)

    def test_ends_when_it_is_told_and_leaves_the_run_alone(self):
        self.server.send_signal(signal.SIGINT)
        self.assertEqual(self.server.wait(timeout=30), 0)
        self.assertIsNone(self.fit.poll())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        built = subprocess.run([PROGRAM, "report", "--watch", empty], capture_output=True, text=True)
    if "without cpp-httplib" in built.stderr:
        print("this rooftune serves no pages: install libcpp-httplib-dev and pkgconf (scripts/install_dependencies.sh)")
        sys.exit(SKIPPED)
    outcome = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromTestCase(WatchedRun))
    sys.exit(0 if outcome.wasSuccessful() else 1)
