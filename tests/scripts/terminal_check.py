"""What people see who sit at a terminal: the progress line, data for programs, and what zsh offers. On pseudo-terminals, with Python's own library.

  terminal_check.py PROGRAM SOURCE_DIR progress|data|zsh
"""

import fcntl
import json
import os
import pathlib
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

PROGRAM, SOURCE = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
SKIPPED = 77  # for ctest

# Slow enough to be watched: many starts without derivatives.
STUDY = """
name: watched
data:
  ground_truth: [{source}/ground_truth/h100.json]
  select: {{id: ['64', '62', '66']}}
  held_out: {{id: ['66']}}
start: {{step_time_model: physics}}
free: [frontend.constant_us, physics.t_layer_us, physics.t_step_us]
solver: [{{algorithm: crs2, starts: 2, max_evaluations: 400}}]
"""


# One experiment whose simulator takes its time.
SLOW = """
name: slow
data: {{ground_truth: [{source}/experiments/external_example/ground_truth.json], select: {{id: [short-prompts]}}}}
simulator:
  command: [sh, "${{folder}}/slow.sh", "${{parameter:a}}"]
  metrics: {{e2e_mean_ms: {{json: /e2e}}}}
  parameters: [{{name: a, lower: 1, initial: 2, upper: 3}}]
free: [external.*]
objective: {{metrics: {{e2e_mean_ms: 1}}}}
"""


class Terminal:
    """A program whose output and input are a pseudo-terminal, or whose errors alone are one."""

    def __init__(self, arguments, cwd, errors_only=False, columns=0, errors=True):
        self.main, side = pty.openpty()
        fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL} if errors_only else {"stdin": side, "stdout": side}
        environment = {"PATH": os.environ["PATH"], "TERM": "xterm", "HOME": str(cwd)}
        streams["stderr"] = side if errors else subprocess.DEVNULL
        self.process = subprocess.Popen(arguments, cwd=cwd, env=environment, start_new_session=True, **streams)
        os.close(side)
        self.seen = ""

    def read_until(self, pattern, seconds=60.0):
        """What was written since the last call, up to the pattern; fails when it does not come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.seen)
            if found:
                text, self.seen = self.seen[:found.end()], self.seen[found.end():]
                return text
            if select.select([self.main], [], [], 0.1)[0]:
                try:
                    self.seen += os.read(self.main, 65536).decode(errors="replace")
                except OSError:  # the other side is closed
                    break
        raise AssertionError(f"no {pattern!r} in {self.seen!r}")

    def read_all(self):
        text = ""
        while True:
            try:
                part = os.read(self.main, 65536)
            except OSError:
                break
            if not part:
                break
            text += part.decode(errors="replace")
        self.process.wait()
        return text

    def type(self, text):
        os.write(self.main, text.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.main)


class ProgressLine(unittest.TestCase):
    def test_shows_rate_best_value_held_out_error_and_time_left(self):
        with tempfile.TemporaryDirectory() as folder:
            study = pathlib.Path(folder) / "study.yaml"
            study.write_text(STUDY.format(source=SOURCE))
            terminal = Terminal([str(PROGRAM), "fit", str(study), "--out", "run"], folder, errors_only=True)
            text = terminal.read_all()
            self.assertEqual(terminal.process.returncode, 0, text)
            self.assertRegex(text, r"fitting: \d+ evaluations, \d+/s, objective [\d.e-]+, held out [\d.]+ %, at most \d+ s left")
            # One line, overwritten: it is gone when the work is done.
            self.assertNotIn("\n", text[text.index("fitting:"):text.rindex("fitting:")])
            self.assertTrue(text.endswith("\r\x1b[K") or text.rstrip().endswith("\x1b[K"), repr(text[-80:]))

    def test_says_that_it_works_where_nothing_else_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "slow.sh").write_text("sleep 4; echo '{\"e2e\": 5}'\n")
            study = pathlib.Path(folder) / "study.yaml"
            study.write_text(SLOW.format(source=SOURCE))
            terminal = Terminal([str(PROGRAM), "evaluate", str(study)], folder)
            text = terminal.read_all()
            self.assertEqual(terminal.process.returncode, 0, text)
            self.assertRegex(text, r"working \(\d s\)")
            # Lifted before the tables.
            last = text.rindex("working (")
            self.assertLess(text.index("\r\x1b[K", last), text.index("short-prompts", last), repr(text))

    def test_shows_nothing_where_nobody_watches(self):
        with tempfile.TemporaryDirectory() as folder:
            study = pathlib.Path(folder) / "study.yaml"
            study.write_text(STUDY.format(source=SOURCE))
            result = subprocess.run([str(PROGRAM), "fit", str(study), "--out", "run"], cwd=folder, capture_output=True, text=True, check=True)
            self.assertEqual(result.stderr, "")


class Data(unittest.TestCase):
    """What is for programs is the same on a terminal of 60 columns as in a file."""

    LOAD = ["--config", str(SOURCE / "configs/tuned/h100.json"), "--model", "Llama-2-7b-hf", "--tp", "1", "--duration", "2", "--replicates", "1"]
    RUNS = [str(SOURCE / "ground_truth/h100.json"), "--select", "id=64"]

    def printed(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            terminal = Terminal([str(PROGRAM), *arguments], folder, columns=60, errors=False)
            return terminal.read_all().replace("\r\n", "\n")

    def test_json_parses(self):
        for arguments in (["params"], ["validate", self.RUNS[0]], ["evaluate", "--ground-truth", *self.RUNS, "--replicates", "1", "--config", "h100"], ["simulate", *self.LOAD, "--rate", "1"],
                          ["capacity", *self.LOAD, "--objective", "ttft_mean=500"], ["show", "--ground-truth", *self.RUNS],
                          ["export", str(SOURCE / "configs/tuned/h100.json"), "--form", "alpha-beta", "--model", "Llama-2-7b-hf", "--tp", "1"]):
            with self.subTest(arguments[0]):
                json.loads(self.printed(*arguments, "--json"))

    def test_the_default_study_keeps_its_lines(self):
        piped = subprocess.run([str(PROGRAM), "fit", "--dump-default"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(self.printed("fit", "--dump-default"), piped)


class ZshCompletion(unittest.TestCase):
    """Types words and a tab into an interactive zsh, where a function in the program's place prints what it was given."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(cls.folder.name)
        (root / "functions").mkdir()
        script = subprocess.run([str(PROGRAM), "completion", "zsh"], capture_output=True, text=True, check=True).stdout
        (root / "functions" / "_rooftune").write_text(script)
        (root / "study.yaml").write_text("")
        cls.shell = Terminal([shutil.which("zsh"), "-f", "-i"], root)
        cls.shell.type("unsetopt zle_bracketed_paste; PS1='ready> '; fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u -D; "
                       "rooftune() { print -r -- \"given<$*>\" }; print loa''ded\n")
        cls.shell.read_until("loaded")

    @classmethod
    def tearDownClass(cls):
        cls.shell.close()
        cls.folder.cleanup()

    def completed(self, line):
        self.shell.read_until("ready> ")
        self.shell.type(line + "\t")
        time.sleep(0.3)  # the line editor completes before it takes the next key
        self.shell.type("\n")
        return re.search(r"given<(.*?)\s*>", self.shell.read_until(r"given<[^>]*>")).group(1)

    def test_completes_commands(self):
        self.assertEqual(self.completed("rooftune cross"), "crossval")

    def test_completes_commands_of_a_group(self):
        self.assertEqual(self.completed("rooftune kernels aud"), "kernels audit")

    def test_completes_options_and_the_words_that_one_takes(self):
        self.assertEqual(self.completed("rooftune fit --resu"), "fit --resume")
        self.assertEqual(self.completed("rooftune fit --format h"), "fit --format hardware-config")

    def test_completes_files(self):
        self.assertEqual(self.completed("rooftune fit st"), "fit study.yaml")


if __name__ == "__main__":
    kind = sys.argv[3]
    if kind == "zsh" and shutil.which("zsh") is None:
        print("no zsh: install it (scripts/install_dependencies.sh)")
        sys.exit(SKIPPED)
    chosen = {"progress": ProgressLine, "data": Data, "zsh": ZshCompletion}[kind]
    outcome = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromTestCase(chosen))
    sys.exit(0 if outcome.wasSuccessful() else 1)
