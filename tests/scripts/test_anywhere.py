"""Every command works from any folder, however its files are named. With Python's own library.

  test_anywhere.py PROGRAM SOURCE_DIR
"""

import fcntl
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import unittest

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()

# One run and one parameter: everything is done in a moment.
STUDY = """
name: anywhere
data: {ground_truth: [truth.json], select: {id: ['64', '62']}}
start: {step_time_model: physics}
free: [physics.t_layer_us]
solver: [{algorithm: ceres_lm, max_evaluations: 6}]
crossval: {split: LeaveOneGroupOut, group: model}
compare: {variants: [{name: plain}]}
"""

# {study}, {truth}, {run}, {results} are files and folders as a user would name them; OUT is a new folder beside the working directory.
COMMANDS = [
    "validate {study} {truth}",
    "show {study}",
    "fit {study} --out OUT",
    "fit {study} --out OUT --resume",
    "crossval {study} --out OUT",
    "compare {study} --out OUT",
    "improve {study} --rounds 0 --out OUT",
    "solvers {study} --algorithm ceres_lm --max-evaluations 5",
    "recover {study} --repeats 2",
    "evaluate {study}",
    "evaluate --ground-truth {truth} --select id=64 --config {run}/tuned.json",
    "simulate --ground-truth {truth} --select id=64",
    "capacity --like {truth} --select id=64 --duration 1 --replicates 1 --rates 1",
    "report {run} --out OUT.html",
    "diff {run} {run}",
    "export {run}/tuned.json --form alpha-beta --out OUT.json",
    "import auto {results} --gpu H100 --tp 1 --set version=0.15.1 --out OUT.json",
    "init {folder}",
]


class Place:
    """A folder with a study, its data and a run, and the ways to name them from a working directory."""

    def __init__(self, root):
        self.home = root / "own study"
        self.home.mkdir(parents=True)
        (self.home / "study.yaml").write_text(STUDY)
        shutil.copy(SOURCE / "ground_truth/h100.json", self.home / "truth.json")
        shutil.copytree(SOURCE / "tests/import_examples/synthetic_inference_perf", self.home / "results")
        shutil.copytree(SOURCE / "tests/init_example", self.home / "folder")
        subprocess.run([PROGRAM, "fit", "study.yaml", "--out", "run"], cwd=self.home, check=True, capture_output=True)
        self.link = root / "link"
        self.link.symlink_to(self.home, target_is_directory=True)
        self.elsewhere = root / "else where"
        self.elsewhere.mkdir()
        self.files = root / "files"
        self.files.mkdir()
        # A link to a study is read where its data are named: beside the link.
        for name in ("study.yaml", "truth.json", "results", "run", "folder"):
            (self.files / name).symlink_to(self.home / name)

    def ways(self):
        """(name, working directory, what stands before a file's name)."""
        return [("bare", self.home, ""), ("relative", self.elsewhere, "../own study/"), ("dotted", self.home, "./"),
                ("absolute", self.elsewhere, f"{self.home}/"), ("a linked folder", self.elsewhere, "../link/"),
                ("linked files", self.elsewhere, "../files/"), ("from within a link", self.link, "")]


class Anywhere(unittest.TestCase):
    def test_every_command_finds_its_files_however_they_are_named(self):
        with tempfile.TemporaryDirectory() as folder:
            place = Place(pathlib.Path(folder))
            for number, (way, cwd, before) in enumerate(place.ways()):
                for index, command in enumerate(COMMANDS):
                    names = {name: before + file for name, file in
                             {"study": "study.yaml", "truth": "truth.json", "run": "run", "results": "results", "folder": "folder"}.items()}
                    # `fit --resume` goes on in the folder of the fit before it.
                    out = f"out {number} {index - 1 if '--resume' in command else index}"
                    words = [word.replace("OUT", out).format(**names) for word in command.split()]
                    with self.subTest(way=way, command=command):
                        shutil.rmtree(place.home / "folder" / "rooftune", ignore_errors=True)
                        done = subprocess.run([PROGRAM, *words], cwd=cwd, capture_output=True, text=True,
                                              env={**os.environ, "PWD": str(cwd)})
                        self.assertEqual(done.returncode, 0, f"{words}\n{done.stderr[-2000:]}")
                        if "OUT" in command:
                            self.assertTrue(any(one.name.startswith(out) for one in cwd.iterdir()), f"{words} wrote nothing here")


class Onboarding(unittest.TestCase):
    def test_gives_several_studies_a_folder_each(self):
        with tempfile.TemporaryDirectory() as folder:
            studies = [SOURCE / "experiments/onboard_a100.yaml", SOURCE / "experiments/onboard_l40s.yaml"]
            done = subprocess.run([PROGRAM, "onboard", *studies, "--out", "both"], cwd=folder, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            written = sorted(one.name for one in (pathlib.Path(folder) / "both").iterdir())
            self.assertEqual(len(written), 2, written)
            for name in written:
                self.assertTrue((pathlib.Path(folder) / "both" / name / "tuned.json").exists())


class Terminals(unittest.TestCase):
    """What is printed keeps within the terminal, and breaks no word."""

    COMMANDS = [
        ["evaluate", "--ground-truth", "{source}/ground_truth/h100.json"],
        ["capacity", "--like", "{source}/ground_truth/h100.json", "--select", "id=62", "--duration", "1", "--replicates", "1", "--load", "9"],
        ["simulate", "--model", "Llama-2-7b-hf", "--rates", "1,2", "--duration", "5"],
        ["fit", "study.yaml", "--out", "run"],
        ["crossval", "study.yaml", "--out", "crossval"],
        ["compare", "study.yaml", "--out", "compare"],
        ["improve", "study.yaml", "--rounds", "0", "--out", "improve"],
        ["onboard", "{source}/experiments/onboard_a100.yaml", "--out", "onboard"],
        ["show", "study.yaml"],
        ["validate", "study.yaml", "run/tuned.json"],
        ["diff", "run", "run"],
    ]
    WRITTEN = ("run", "crossval", "compare", "improve", "onboard")

    def printed(self, words, width, cwd, errors=False):
        main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        streams = {"stdout": subprocess.DEVNULL, "stderr": side} if errors else {"stdout": side, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, cwd=cwd, **streams)
        os.close(side)
        text = b""
        try:
            while chunk := os.read(main, 1 << 16):
                text += chunk
        except OSError:  # the other side is closed
            pass
        os.close(main)
        self.assertEqual(process.wait(), 0, words)
        return re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).replace("\r", "").split("\n")

    def test_lines_are_no_longer_than_the_terminal(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "study.yaml").write_text(STUDY.replace("truth.json", f"{SOURCE}/ground_truth/h100.json"))
            for width in (80, 120):
                for name in self.WRITTEN:
                    shutil.rmtree(pathlib.Path(folder) / name, ignore_errors=True)
                for command in self.COMMANDS:
                    lines = self.printed([word.format(source=SOURCE) for word in command], width, folder)
                    # One word may be longer than a line: the path of a file.
                    long = [line for line in lines if len(line) > width and len(max(line.split(), key=len)) < width - 20]
                    self.assertEqual(long, [], f"{command} at {width}")

    def test_messages_break_between_words(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "study.yaml").write_text(STUDY.replace("truth.json", f"{SOURCE}/ground_truth/h100.json"))
            for width in (80, 120):
                lines = self.printed(["show", "study.yaml"], width, folder, errors=True)
                whole = " ".join(line.strip() for line in lines)
                self.assertIn("'itl_mean' is not (E2E - TTFT) / (output tokens - 1)", whole)
                self.assertGreater(len(lines), 2, "it is longer than a line")
                self.assertEqual([line for line in lines[1:] if len(line) > width], [])

    def test_wide_tables_are_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            lines = self.printed(["simulate", "--model", "Llama-2-7b-hf", "--rates", "1,2", "--duration", "5", "--wide"], 80, folder)
            self.assertIn("rejected", " ".join(lines))
            narrow = self.printed(["simulate", "--model", "Llama-2-7b-hf", "--rates", "1,2", "--duration", "5"], 80, folder)
            self.assertIn("--wide shows", " ".join(narrow))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
