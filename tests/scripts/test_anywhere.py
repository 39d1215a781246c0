"""Every command works from any folder, however its files are named. With Python's own library.

  test_anywhere.py PROGRAM SOURCE_DIR
"""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
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


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
