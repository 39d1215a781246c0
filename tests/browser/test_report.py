"""Opens the report of a real run in headless Chromium, as its readers do, and compares what they see with the run's files.

  test_report.py PROGRAM SOURCE_DIR
"""

import base64
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

from chromium import Page, find_chromium

PROGRAM, SOURCE = sys.argv[1], pathlib.Path(sys.argv[2])

# Two short runs and two parameters: fitted in a moment, yet with everything that a fit has.
STUDY = """
name: small
data:
  ground_truth: [{source}/ground_truth/h100.json]
  select: {{id: ['64', '62', '20']}}
start: {{step_time_model: physics}}
free: [frontend.constant_us, physics.t_layer_us, physics.t_step_us]
solver: [{{algorithm: ceres_lm, max_evaluations: 20}}]
crossval: {{split: LeaveOneGroupOut, group: model}}
"""


def rooftune(*arguments):
    subprocess.run([PROGRAM, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


class ReportInABrowser(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        (cls.root / "study.yaml").write_text(STUDY.format(source=SOURCE))
        rooftune("fit", cls.root / "study.yaml", "--out", cls.root / "fit")
        rooftune("crossval", cls.root / "study.yaml", "--out", cls.root / "crossval")
        cls.html = cls.root / "report.html"
        rooftune("report", cls.root / "fit", "--crossval", cls.root / "crossval", "-o", cls.html)
        cls.page = Page()
        cls.page.resize(1280, 1000)
        cls.page.open(cls.html)

    @classmethod
    def tearDownClass(cls):
        cls.page.__exit__()
        cls.folder.cleanup()

    def go_to(self, anchor):
        self.page.run(f"location.hash = '#{anchor}'")
        self.page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.assertFalse(self.page.run(f"document.getElementById('{anchor}').hidden"))

    def cells(self, page):
        """Of every table on a page: what is shown beside its full value."""
        return self.page.run(
            f"[...document.querySelectorAll('#{page} td[data-value]')].map((cell) => [cell.textContent, Number(cell.dataset.value)])")

    def file(self, *names):
        return json.loads(self.root.joinpath(*names).read_text())

    def test_has_the_pages_of_a_fit_with_its_cross_validation(self):
        self.assertEqual(self.page.run("rooftuneReport.pages"),
                         ["summary", "predicted", "errors", "load", "steps", "parameters", "search", "crossval", "kernels", "manifest"])

    def test_draws_every_plot_without_a_complaint_and_without_the_network(self):
        for scheme in ("light", "dark"):
            self.page.emulate(scheme)
            for name in self.page.run("rooftuneReport.pages"):
                self.go_to(name)
        plots = self.page.run(
            "rooftuneReport.drawn.map((plot) => [plot.title, plot.node.querySelectorAll('svg [class*=mark-symbol] path, svg [class*=mark-rect] path,"
            " svg [class*=mark-line] path').length])")
        self.assertGreater(len(plots), 15)
        for title, marks in plots:
            self.assertGreater(marks, 0, f"nothing is drawn in '{title}'")
        self.assertEqual(self.page.problems, [])
        self.assertEqual([url for url in self.page.requests if not url.startswith(("file:", "data:", "about:"))], [])

    def test_marks_every_prediction_once(self):
        self.go_to("predicted")
        rows = self.file("fit", "evaluation.json")["rows"]
        drawn = self.page.run("rooftuneReport.drawn.filter((plot) => plot.node.closest('#predicted')).map((plot) =>"
                              " plot.node.querySelectorAll('svg .mark-group .mark-group .mark-symbol:not(.role-legend-symbol) path').length)")
        self.assertEqual(sum(drawn), len(rows))

    def test_shows_the_numbers_of_the_runs_files(self):
        self.assertEqual(self.page.run("rooftuneReport.data.run.evaluation"), self.file("fit", "evaluation.json"))
        self.assertEqual(self.page.run("rooftuneReport.data.run.result"), self.file("fit", "result.json"))
        self.assertEqual(self.page.run("rooftuneReport.data.crossval.result"), self.file("crossval", "result.json"))
        shown = self.cells("predicted")
        values = {value for _, value in shown}
        for row in self.file("fit", "evaluation.json")["rows"]:
            for key in ("predicted", "measured", "error_percent"):
                self.assertIn(row[key], values)
        parameters = {value for _, value in self.cells("parameters")}
        for parameter in self.file("fit", "result.json")["parameters"]:
            self.assertIn(parameter["value"], parameters)
        for page in self.page.run("rooftuneReport.pages"):
            for text, value in self.cells(page):
                written = float(text.replace("−", "-"))
                self.assertAlmostEqual(written, value, delta=max(0.051, 5.1e-4 * abs(value)), msg=f"on page {page}")

    def test_tells_before_after_and_held_out_errors(self):
        result, held_out = self.file("fit", "result.json"), self.file("crossval", "result.json")["held_out"]
        row = self.page.run("[...document.querySelectorAll('#summary table')[0].rows].map((row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent))")
        self.assertEqual(row[0][1:], ["held out", "before", "after", "two runs of one server", "other arrivals"], "what to expect of a new run comes first")
        e2e = next(cells for cells in row if cells[0] == "E2E mean")
        expected = [source["e2e_mean_ms"]["mean_ape_percent"] for source in (held_out, result["before"], result["after"])]
        for shown, wanted in zip(e2e[1:], expected):
            self.assertAlmostEqual(float(shown), wanted, places=9)

    def test_sends_the_simulated_curve_through_the_predictions(self):
        predicted = {(row["experiment"], row["stage"]): row["predicted"] for row in self.file("fit", "evaluation.json")["rows"]
                     if row["metric"] == "e2e_mean_ms" and row["stage"] != "summary"}
        compared = 0
        for curve in self.page.run("rooftuneReport.data.load_curves"):
            for point in curve["measured"]:
                at_load = next(one for one in curve["simulated"] if one["load"] == point["load"])
                wanted = predicted[(curve["experiment"], point["stage"])]
                self.assertAlmostEqual(at_load["latencies"]["e2e_mean_ms"] / wanted, 1.0, places=9)
                compared += 1
        self.assertEqual(compared, len(predicted))

    def test_shades_the_interval_along_the_simulated_curve(self):
        self.go_to("load")
        points = 0
        for curve in self.page.run("rooftuneReport.data.load_curves"):
            for point in curve["simulated"]:
                self.assertEqual({one["metric"] for one in point["intervals"]}, {"ttft_mean_ms", "e2e_mean_ms", "tpot_mean_ms"})
                for one in point["intervals"]:
                    self.assertLess(one["lower"], point["latencies"][one["metric"]])
                    self.assertGreater(one["upper"], point["latencies"][one["metric"]])
                    self.assertAlmostEqual(one["predicted"] / point["latencies"][one["metric"]], 1.0, places=9)
                points += 1
        self.assertGreater(points, 30)
        bands = self.page.run("[...document.querySelectorAll('#load .plot')].map((plot) => plot.querySelectorAll('svg .mark-area path').length)")
        self.assertTrue(bands and all(count == 3 for count in bands), bands)

    def test_names_the_run_under_the_pointer(self):
        self.go_to("predicted")
        box = self.page.run("(() => { const mark = document.querySelector('#predicted svg .mark-group .mark-group .mark-symbol path');"
                            " mark.scrollIntoView({block: 'center'}); const box = mark.getBoundingClientRect();"
                            " return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()")
        self.page.call("Input.dispatchMouseEvent", type="mouseMoved", x=box["x"] - 40, y=box["y"])
        self.page.call("Input.dispatchMouseEvent", type="mouseMoved", **box)
        text = self.page.run("document.getElementById('tooltip').innerText")
        self.assertRegex(text, r"(Qwen2.5-7B|Mistral-Nemo|Llama-4-Scout).*\n[\s\S]*predicted .* ms, measured .* ms")

    def test_judges_where_by_what_was_held_out(self):
        self.go_to("summary")
        rows = [row for row in self.file("crossval", "evaluation.json")["rows"]
                if row["stage"] == "summary" and row["metric"] in ("ttft_mean_ms", "e2e_mean_ms", "tpot_mean_ms")]
        worst = max(rows, key=lambda row: row["ape_percent"])
        shown = self.page.run("[...document.querySelectorAll('#summary table')[1].tBodies[0].rows][0].cells[2].dataset.value")
        self.assertAlmostEqual(float(shown), worst["error_percent"], places=9)

    def test_gives_every_parameter_the_verdict_of_the_run(self):
        self.go_to("summary")
        parameters = self.file("fit", "result.json")["parameters"]
        determined = sum(parameter["verdict"] == "" for parameter in parameters)
        text = self.page.run("document.querySelector('#summary').innerText")
        self.assertIn(f"{determined} of {len(parameters)} fitted parameters", text)

    def test_sorts_and_filters_tables(self):
        self.go_to("predicted")
        sort = ("((table, column) => { table.tHead.rows[0].cells[column].querySelector('button').click();"
                " return [...table.tBodies[0].rows].map((row) => Number(row.cells[column].dataset.value)); })"
                "(document.querySelector('#predicted table'), 8)")
        rising, falling = self.page.run(sort), self.page.run(sort)
        self.assertEqual(rising, sorted(rising))
        self.assertEqual(falling, sorted(rising, reverse=True))
        left = self.page.run("(() => { const box = document.querySelector('#predicted input[type=search]'); box.value = 'nemo';"
                             " box.dispatchEvent(new Event('input'));"
                             " return [...box.parentElement.querySelectorAll('tbody tr:not([hidden])')].map((row) => row.innerText || row.textContent); })()")
        self.assertTrue(left and all("Nemo" in row for row in left), left)

    def test_stacks_plots_on_a_phone_and_uses_the_width_of_a_desktop(self):
        for width in (390, 1400):
            with Page() as page:
                page.resize(width, 900)
                page.open(self.html)
                for name in page.run("rooftuneReport.pages"):
                    page.run(f"location.hash = '#{name}'")
                    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
                    self.assertLessEqual(page.run("document.documentElement.scrollWidth"), width, f"{name} at {width}")
                page.run("location.hash = '#load'")
                page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
                tops = page.run("[...document.querySelectorAll('#load figure')].map((figure) => Math.round(figure.getBoundingClientRect().top))")
                self.assertEqual(len(set(tops)) < len(tops), width == 1400, "figures side by side")
                panels = page.run("[...document.querySelector('#load svg').querySelectorAll('.mark-group.role-scope > g')].map((panel) => Math.round(panel.getBoundingClientRect().top))")
                self.assertEqual(max(panels) - min(panels) > 400, width == 390, panels)
                self.assertEqual(page.problems, [])

    def test_keeps_the_colour_of_a_term_from_plot_to_plot(self):
        self.go_to("steps")
        legends = self.page.run("[...document.querySelectorAll('#steps svg')].map((svg) => {"
                                " const colours = [...svg.querySelectorAll('.role-legend-symbol path')].map((path) => path.getAttribute('fill'));"
                                " const names = [...svg.querySelectorAll('.role-legend-label text')].map((text) => text.textContent);"
                                " return names.map((name, i) => [name, colours[i]]); })")
        self.assertGreater(len(legends), 1)
        colours = {}
        for name, colour in [entry for legend in legends for entry in legend]:
            self.assertEqual(colours.setdefault(name, colour), colour, name)
        self.assertEqual(len(set(colours.values())), len(colours))

    def test_says_which_axes_are_logarithmic(self):
        self.go_to("predicted")
        titles = self.page.run("[...document.querySelectorAll('#predicted svg .role-axis-title text')].map((title) => title.textContent)")
        self.assertTrue(titles and all("logarithmic" in title for title in titles), titles)

    def test_works_by_keyboard(self):
        self.go_to("summary")
        self.page.run("document.querySelector('nav a').focus()")
        self.page.press("ArrowRight")
        self.page.press("Enter")
        self.page.run("new Promise((done) => setTimeout(done, 50))")
        self.assertEqual(self.page.run("location.hash"), "#predicted")
        self.assertEqual(self.page.run("document.querySelector('nav a[aria-current]').textContent"), "Predicted")

    def test_prints_every_page(self):
        pdf = self.page.call("Page.printToPDF", printBackground=True)["data"]
        self.assertGreater(len(pdf), 100_000)
        self.assertLessEqual(len(re.findall(rb"/Type\s*/Page[^s]", base64.b64decode(pdf))), 3)
        self.assertTrue(self.page.run("rooftuneReport.drawn.every((plot) => plot.node.dataset.drawn === 'yes')"))

    def test_prints_what_is_folded_away_by_its_sentence_and_no_folded_table(self):
        self.page.emulate(media="print")
        shown = "[...document.querySelectorAll('{}')].map((node) => getComputedStyle(node).display !== 'none')"
        verdicts = self.page.run(shown.format("#summary .cards details"))
        tables = self.page.run(shown.format("figure:not(.printed-as-table) details"))
        parameters = self.page.run(shown.format("#parameters .printed-as-table > details, #parameters .printed-as-table > .plot"))
        left_out = self.page.run("[...document.querySelectorAll('#parameters .on-screen-only')].map((node) => getComputedStyle(node, '::after').content)")
        self.page.emulate()
        self.assertEqual(parameters, [False, True], "the values in place of their plot")
        self.assertIn('"Not printed: Correlations; the report on a screen has it. "', left_out)
        self.assertTrue(verdicts and all(verdicts))
        self.assertTrue(tables and not any(tables))

    def test_says_how_many_plots_of_a_kind_it_does_not_print(self):
        self.assertEqual(self.page.run("document.querySelector('#predicted .grid').dataset.leftOut"),
                         "Not printed: 3 more plots like these; the report on a screen has them all.")
        self.assertIsNone(self.page.run("document.querySelector('#summary .grid').dataset.leftOut ?? null"), "all of them are printed")
        self.page.emulate(media="print")
        printed = self.page.run("[...document.querySelectorAll('#predicted .grid > figure')].filter((node) => getComputedStyle(node).display !== 'none').length")
        self.page.emulate()
        self.assertEqual(printed, 4)

    def test_says_when_the_plotting_library_is_missing(self):
        html = self.html.read_text()
        cut = html.index("rooftuneModules.define(\"vega-")
        stripped = self.root / "without_vega.html"
        stripped.write_text(html[:cut] + html[html.index("// Vega specifications."):])
        with Page() as page:
            page.open(stripped)
            self.assertIn("libjs-vega", page.run("document.querySelector('.notices').innerText"))
            self.assertGreater(page.run("document.querySelectorAll('#predicted td[data-value]').length"), 50)
            self.assertEqual(page.problems, [])

    def test_stays_small(self):
        self.assertLess(self.html.stat().st_size, 5_000_000)


class JournalInABrowser(unittest.TestCase):
    """The improvement of a study that lacks prefix reuse: one change that helps, some that do not."""

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.root = pathlib.Path(cls.folder.name)
        study = STUDY.format(source=SOURCE) + "improve: {moves: [prefix_reuse, robust_loss, 'hold:*', 'free:*'], seeds: 2, candidates: 6, tolerance_percent: 10, rounds: 4}\n"
        study += "switches: {engine.prefix_reuse: off}\n"
        (cls.root / "study.yaml").write_text(study)
        rooftune("improve", cls.root / "study.yaml", "--out", cls.root / "run", "--csv", cls.root / "rounds.csv")
        rooftune("report", cls.root / "run", "-o", cls.root / "report.html")
        cls.rounds = list(csv.DictReader((cls.root / "rounds.csv").read_text().splitlines()))
        cls.page = Page()
        cls.page.resize(1280, 1000)
        cls.page.open(cls.root / "report.html")
        cls.page.run("location.hash = '#journal'")
        cls.page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    @classmethod
    def tearDownClass(cls):
        cls.page.__exit__()
        cls.folder.cleanup()

    def test_has_a_mark_and_a_line_of_the_table_for_every_round(self):
        self.assertGreater(len(self.rounds), 1)
        marks = self.page.run("document.querySelectorAll('#journal svg .mark-group .mark-group .mark-symbol:not(.role-legend-symbol) path').length")
        self.assertEqual(marks, len(self.rounds))
        shown = self.page.run("[...document.querySelectorAll('#journal figure ~ .scroll table')[0].tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.dataset.value ?? cell.textContent))")
        self.assertEqual([row[2] for row in shown], [row["move"] for row in self.rounds])
        for row, wanted in zip(shown, self.rounds):
            self.assertEqual(row[1], wanted["fate"])
            self.assertEqual(row[3], wanted["reason"])
            for column, key in ((4, "before_percent"), (5, "after_percent"), (6, "noise_percent")):
                self.assertAlmostEqual(float(row[column]), float(wanted[key]), places=9)

    def test_judges_by_the_folds_of_the_structure_that_stands(self):
        groups = [group for group in self.page.run("rooftuneReport.data.journal.rounds.filter((round) => round.fate !== 'reverted').at(-1).groups")]
        of_all = {group["metric"]: group["ape_after_percent"] for group in groups if group["grouped_by"] == "all"}
        summary = self.page.run("document.querySelector('#summary').textContent")
        self.assertIn(f"are missed on average: TTFT by {of_all['ttft_mean_ms']:.1f} %", summary)
        self.assertIn("The largest held-out errors:", summary)
        self.assertNotIn("No held-out error", summary)

    def test_tells_kept_from_reverted_without_colour(self):
        fates = {row["fate"] for row in self.rounds}
        self.assertIn("kept", fates)
        self.assertIn("reverted", fates)
        shapes = self.page.run("[...document.querySelectorAll('#journal svg .mark-group .mark-group .mark-symbol:not(.role-legend-symbol)')].map((layer) =>"
                               " [...layer.querySelectorAll('path')].map((mark) => [mark.getAttribute('d'), mark.getAttribute('fill')]))")
        kinds = [{tuple(mark) for mark in layer} for layer in shapes if layer]
        self.assertEqual(len(kinds), 2)
        (first, ), (second, ) = kinds
        self.assertNotEqual(first[0], second[0], "another shape")
        self.assertEqual([first[1] == "transparent", second[1] == "transparent"].count(True), 1, "one of them hollow")

    def test_has_no_complaint(self):
        self.assertEqual(self.page.problems, [])


class WatchedRunInABrowser(unittest.TestCase):
    """The page of an improvement that goes on: follows its journal, and becomes its report."""

    def test_follows_the_run_to_its_end(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        root = pathlib.Path(folder.name)
        (root / "study.yaml").write_text(STUDY.format(source=SOURCE) + "improve: {moves: [robust_loss], seeds: 2, candidates: 1, rounds: 1}\n")
        run = subprocess.Popen([PROGRAM, "improve", root / "study.yaml", "--out", root / "run"], stdout=subprocess.DEVNULL)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        while not (root / "run" / "manifest.json").exists():
            time.sleep(0.01)
        server = subprocess.Popen([PROGRAM, "report", "--watch", root / "run"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(server.stdout.close)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        url = server.stdout.readline().strip()
        if not url:
            self.skipTest("this rooftune serves no pages")
        with Page() as page:
            page.resize(390, 900)
            page.open(url)
            self.assertEqual(page.run("rooftuneReport.pages[0]"), "live")
            self.assertIn("judged", page.run("document.getElementById('live').innerText"))
            self.assertLessEqual(page.run("document.documentElement.scrollWidth"), 390)
            # It loads itself anew: whoever asks in between is told to ask again.
            pages = []
            end = time.monotonic() + 300
            while "summary" not in pages and time.monotonic() < end:
                time.sleep(0.5)
                try:
                    pages = page.run("typeof rooftuneReport === 'undefined' ? [] : rooftuneReport.pages")
                except RuntimeError:
                    pages = []
            self.assertIn("summary", pages)
            self.assertIn("journal", pages)
            self.assertNotIn("live", pages)
            self.assertEqual(page.problems, [])
            self.assertTrue(all(one.startswith((url, "data:", "about:")) for one in page.requests), page.requests)


class ReportsOfOtherCommands(unittest.TestCase):
    """Runs that have pages of their own."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def open_report(self, *arguments):
        rooftune(*arguments, "--out", self.root / "run")
        rooftune("report", self.root / "run")
        page = Page()
        self.addCleanup(page.__exit__)
        page.open(self.root / "run" / "report.html")
        for name in page.run("rooftuneReport.pages"):
            page.run(f"location.hash = '#{name}'")
            page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.assertEqual(page.problems, [])
        return page, json.loads((self.root / "run" / "result.json").read_text())

    def numbers(self, page, name):
        return set(page.run(f"[...document.querySelectorAll('#{name} td[data-value]')].map((cell) => Number(cell.dataset.value))"))

    def marks(self, page, name):
        return page.run(f"[...document.querySelectorAll('#{name} .plot')].map((plot) => plot.querySelectorAll('svg .mark-symbol:not(.role-legend-symbol) path').length)")

    def test_of_an_onboarding_shows_every_step_and_the_next_runs(self):
        page, result = self.open_report("onboard", SOURCE / "experiments" / "onboard_a100.yaml")
        self.assertIn("onboard", page.run("rooftuneReport.pages"))
        rows = [row for step in result["steps"] for row in step["fitted"] + step["unseen"]]
        shown = self.numbers(page, "onboard")
        for row in rows:
            if row["metric"] in ("e2e_mean_ms", "ttft_mean_ms"):
                self.assertIn(row["error_percent"], shown)
        for run in result["steps"][-1]["next_runs"]:
            self.assertIn(run["gpu_minutes"], shown)
        for parameter in result["steps"][-1]["parameters"]:
            self.assertIn(parameter["value"], shown)
        self.assertEqual(self.marks(page, "onboard"), [sum(row["metric"] == metric for row in rows) for metric in ("e2e_mean_ms", "ttft_mean_ms")])
        summary = page.run("document.querySelector('#summary').innerText")
        self.assertIn(result["steps"][-1]["next_runs"][0]["model"], summary)
        self.assertRegex(summary, r"missed on average, knowing [^:]+: E2E by [0-9.]+ %, TTFT by [0-9.]+ %")

    def test_of_several_runs_lays_them_over_each_other(self):
        study = self.root / "study.yaml"
        study.write_text(STUDY.format(source=SOURCE))
        rooftune("fit", study, "--out", self.root / "monday")
        rooftune("fit", study, "--seed", "2", "--out", self.root / "tuesday")
        rooftune("report", self.root / "monday", self.root / "tuesday", "-o", self.root / "both.html")
        with Page() as page:
            page.open(self.root / "both.html", "#overlay")
            page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            shown = self.numbers(page, "overlay")
            for run in ("monday", "tuesday"):
                result = json.loads((self.root / run / "result.json").read_text())
                for parameter in result["parameters"]:
                    self.assertIn(parameter["value"], shown)
                self.assertIn(result["after"]["e2e_mean_ms"]["mean_ape_percent"], shown)
                self.assertIn(run, page.run("document.querySelector('#overlay').innerText"))
            self.assertEqual(self.marks(page, "overlay"), [2 * 3, 2, 2, 2 * 3])
            self.assertEqual(page.problems, [])

    def test_of_several_runs_gives_each_one_colour(self):
        study = self.root / "study.yaml"
        study.write_text(STUDY.format(source=SOURCE))
        for command, run in (("crossval", "folds"), ("fit", "first"), ("fit", "second")):
            rooftune(command, study, "--out", self.root / run)
        rooftune("report", *(self.root / run for run in ("folds", "first", "second")), "-o", self.root / "three.html")
        with Page() as page:
            page.open(self.root / "three.html", "#overlay")
            page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
            legends = page.run("[...document.querySelectorAll('#overlay .plot svg')].map((plot) => {"
                               " const marks = [...plot.querySelectorAll('.role-legend-symbol path')].map((mark) => mark.getAttribute('fill'));"
                               " return [...plot.querySelectorAll('.role-legend-label text')].map((label, i) => [label.textContent, marks[i]]); })")
        colours = [dict(legend)["second"] for legend in legends if "second" in dict(legend)]
        self.assertEqual(len(colours), 3, "errors by GPU in two metrics, and fitted values")
        self.assertEqual(len(set(colours)), 1)

    def test_of_a_comparison_shows_every_variant(self):
        study = self.root / "study.yaml"
        study.write_text(STUDY.format(source=SOURCE) + "compare: {variants: [{name: plain}, {name: no lag, switches: {engine.async_scheduling: off}}]}\n")
        page, result = self.open_report("compare", study)
        self.assertIn("compare", page.run("rooftuneReport.pages"))
        shown = self.numbers(page, "compare")
        for variant in result["variants"]:
            for errors in (variant["training"], variant["held_out"]):
                self.assertIn(errors["e2e_mean_ms"]["mean_ape_percent"], shown)
        self.assertEqual(self.marks(page, "compare"), [4, 4])


if __name__ == "__main__":
    if find_chromium() is None:
        print("no Chromium: install it (scripts/install_dependencies.sh)")
        sys.exit(77)  # ctest: skipped
    unittest.main(argv=sys.argv[:1], verbosity=1)
