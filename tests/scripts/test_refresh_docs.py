"""scripts/refresh_docs.py takes today's figures over into what documents show."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import refresh_docs  # noqa: E402  (its folder is known only here)


class Refreshing(unittest.TestCase):
    def test_takes_over_figures_and_columns(self):
        shown = ["GPU   run  E2E %", "----  ---  -----", "A100   36   -4.3"]
        printed = "Errors\nGPU       run  E2E %\n--------  ---  -----\nA100       36   +12.5\nA100       38    -1.0\n"
        now, missing = refresh_docs.refreshed(shown, printed)
        self.assertEqual(now, ["GPU       run  E2E %", "--------  ---  -----", "A100       36   +12.5"])
        self.assertEqual(missing, [])

    def test_names_are_no_figures(self):
        now, missing = refresh_docs.refreshed(["Llama-3.1-8B  run 38  2.5 %"], "Llama-3.1-70B  run 38  1.0 %\nLlama-3.1-8B  run 36  4.0 %\n")
        self.assertEqual(missing, ["Llama-3.1-8B  run 38  2.5 %"])
        self.assertEqual(now, missing)

    def test_rows_of_one_name_in_two_tables_find_their_own(self):
        now, missing = refresh_docs.refreshed(["TTFT", "all  1.0", "E2E", "all  2.0"], "TTFT\nall  3.0\nE2E\nall  4.0\n")
        self.assertEqual(now, ["TTFT", "all  3.0", "E2E", "all  4.0"])
        self.assertEqual(missing, [])

    def test_an_ellipsis_stays(self):
        self.assertEqual(refresh_docs.refreshed(["a 1.0", "...", "b 2.0"], "a 3.0\nx 1.0\nb 4.0\n"), (["a 3.0", "...", "b 4.0"], []))


class NamedCommands(unittest.TestCase):
    class Printed:
        @staticmethod
        def run(line):
            return {"improve a.yaml": "a.json: warning: odd\nround 0 start 4.0\nlooking\nround 1 kept x 3.0\nEnded: 3.0\n", "quiet": "\n"}[line]

    def refreshed(self, comment):
        text = f"# A\n{comment}\n```\nround 0 start 9.0\nEnded: 9.0\n```\nand\n```\nleft\n```\n"
        return refresh_docs.refreshed_text(text, self.Printed())

    def test_writes_the_chosen_lines_anew(self):
        now, to_mend = self.refreshed("<!-- printed by: rooftune improve a.yaml; lines: ^round|^Ended -->")
        self.assertIn("```\nround 0 start 4.0\nround 1 kept x 3.0\nEnded: 3.0\n```\nand\n```\nleft\n```\n", now)
        self.assertEqual(to_mend, [])

    def test_without_a_pattern_shows_all(self):
        now, _ = self.refreshed("<!-- printed by: rooftune improve a.yaml -->")
        self.assertIn("```\nround 0 start 4.0\nlooking\nround 1 kept x 3.0\nEnded: 3.0\n```\n", now)

    def test_a_command_that_prints_no_such_line_is_named(self):
        now, to_mend = self.refreshed("<!-- printed by: rooftune quiet; lines: ^round -->")
        self.assertIn("round 0 start 9.0", now)
        self.assertEqual(to_mend, ["'rooftune quiet' prints no line like: ^round"])


class ErrorTable(unittest.TestCase):
    class Printed:
        @staticmethod
        def errors_of(line):
            if line.startswith("onboard"):
                return {"data sheet only": ("20.7", "38.8", "7 of 8"), "with kernel tables": ("2.6", "16.7", "8 of 8"), "with one run": ("2.2", "4.5", "–")}
            return {"": ("1.5", "2.5", "3 of 4"), "peer@1": ("10.5", "19.3", "–")}

    def test_fills_rows_by_their_commands(self):
        table = (
            "| training, 15 H100 runs | 15 | 9.9 | 9.9 | – | `rooftune fit experiments/physics_h100.yaml` |\n"
            "| others, in-sample: `peer@1` | 15 | 9.9 | 9.9 | – | as above |\n"
            "| new GPUs, no run of theirs: data sheet only | 3 | 9.9 | 9.9 | 1 of 2 | `rooftune onboard a.yaml` |\n"
            "| the same with kernel tables (at its limit: TTFT -34 %) | 3 | 9.9 | 9.9 | 1 of 2 | as above |\n"
        )
        now = refresh_docs.refresh_error_table(table, self.Printed())
        self.assertIn("runs | 15 | 1.5 | 2.5 | 3 of 4 |", now)
        self.assertIn("`peer@1` | 15 | 10.5 | 19.3 | – |", now)
        self.assertIn("data sheet only | 3 | 20.7 | 38.8 | 7 of 8 |", now)
        self.assertIn("-34 %) | 3 | 2.6 | 16.7 | 8 of 8 | as above |", now)

    def test_counts_measurements_in_intervals_over_everything_that_was_onboarded(self):
        printed = ("with kernel tables                E2E   3.5 %  TTFT   2.9 %  (3 predictions)\n"
                   "with one run                      E2E   3.6 %  TTFT   3.1 %  (2 predictions)\n"
                   "A100-SXM, kernel tables: 26 of 26 unseen measurements inside their 90 % interval\n"
                   "L40S, kernel tables: 12 of 13 unseen measurements inside their 90 % interval (1 not determined)\n"
                   "A100-SXM, run 36: 10 of 13 unseen measurements inside their 90 % interval\n"
                   "A100-SXM, 2 runs: 1 of 1 unseen measurements inside their 90 % interval\n")
        self.assertEqual(refresh_docs.errors_of_onboarding(printed),
                         {"with kernel tables": ("3.5", "2.9", "38 of 39"), "with one run": ("3.6", "3.1", "10 of 13")})

    def test_readme_has_rows_that_it_finds(self):
        readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
        rows = [line for line in readme.splitlines() if refresh_docs.ROW.match(line)]
        self.assertGreaterEqual(len(rows), 8)


if __name__ == "__main__":
    unittest.main()
