import contextlib
import io
import json
import tempfile
import unittest
from pathlib import Path

import script_path
import collect_kernels
import kernel_tables as kt
import validate_kernels
from test_collect_kernels import FakeBench, HEADS, small_plan

GEMM = [{"dtype": "bf16", "m": m, "n": 8192, "k": 8192} for m in (1, 64, 256, 1024, 4096)]
CONTEXT = [{"dtype": "bf16", "kv_dtype": "bf16", "batch": 1, "seq_len": s, "kv_len": s, **HEADS} for s in (128, 1024, 8192)]
GENERATION = [{"dtype": "bf16", "kv_dtype": "bf16", "batch": 64, "kv_len": kv, **HEADS} for kv in (512, 2048, 8192)]


class Validate(unittest.TestCase):
    """Starts from a folder as the collector writes it; each test spoils one thing."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "tables"
        self.plan = small_plan(gemm=GEMM, context_attention=CONTEXT, generation_attention=GENERATION)
        collection = collect_kernels.collect(self.plan, FakeBench(), collect_kernels.find_gpu("H100"))
        collect_kernels.write(collection, self.plan, self.folder, "H100-SXM", {})

    def edit(self, table, change, keep_checksum=False):
        path = self.folder / f"{table}.csv"
        data = change(path.read_text()).encode()
        path.write_bytes(data)
        if not keep_checksum:
            manifest_path = self.folder / "manifest.json"
            manifest = json.loads(manifest_path.read_text())
            for entry in manifest["files"]:
                if entry["file"] == path.name:
                    entry["sha256"] = kt.sha256(data)
            manifest_path.write_text(json.dumps(manifest))

    def edit_row(self, table, line, **changes):
        def change(text):
            lines = text.splitlines()
            row = dict(zip(lines[0].split(","), lines[line - 1].split(",")), **changes)
            lines[line - 1] = ",".join(row.values())
            return "\n".join(lines) + "\n"

        self.edit(table, change)

    def problems(self, **options):
        findings, _, _ = validate_kernels.validate(self.folder, **options)
        return "\n".join(findings.lines)

    def test_accepts_what_the_collector_writes(self):
        self.assertEqual(self.problems(), "")

    def test_accepts_the_tables_that_ship(self):
        for gpu in ("h100", "a100", "l40s", "h200", "b200", "b300"):
            findings, rows, known = validate_kernels.validate(script_path.ROOT / "bench_data" / gpu)
            self.assertEqual((findings.lines, known.folder), ([], gpu))
            self.assertGreater(len(rows["gemm"]), 1000)

    def test_names_missing_columns(self):
        self.edit("gemm", lambda text: text.replace("dtype,m,n,k,latency_us", "dtype,m,n,k,latency_ms"))
        self.assertIn("gemm.csv:1: error: the columns are dtype,m,n,k,latency_ms", self.problems())

    def test_names_the_line_of_a_bad_number(self):
        for text in ("0", "-3", "nan", "inf", "fast", ""):
            self.edit_row("gemm", 3, latency_us=text)
            self.assertIn(f"gemm.csv:3: error: latency_us is '{text}'", self.problems())
        self.edit_row("gemm", 3, latency_us="100", m="1.5")
        self.assertIn("gemm.csv:3: error: m is '1.5'", self.problems())

    def test_notices_milliseconds(self):
        def to_milliseconds(text):
            lines = [line.split(",") for line in text.splitlines()]
            for fields in lines[1:]:
                fields[4] = str(float(fields[4]) / 1000.0)
                fields[5] = fields[6] = ""
            return "\n".join(map(",".join, lines)) + "\n"

        self.edit("gemm", to_milliseconds)
        self.assertIn("of the H100-SXM's peak FLOP/s (check the units (microseconds)", self.problems())

    def test_notices_nanoseconds_and_busy_gpus(self):
        def to_nanoseconds(text):
            lines = [line.split(",") for line in text.splitlines()]
            for fields in lines[1:]:
                fields[4] = str(float(fields[4]) * 1000.0)
                fields[5] = fields[6] = ""
            return "\n".join(map(",".join, lines)) + "\n"

        self.edit("gemm", to_nanoseconds)
        self.assertIn("the best row reaches", self.problems())

    def test_never_believes_an_mfu_column(self):
        self.edit_row("gemm", 6, mfu="0.9")
        self.assertIn("gemm.csv:6: error: mfu is 0.9, recomputed", self.problems())

    def test_counts_the_planned_shapes_that_are_missing(self):
        self.edit("gemm", lambda text: "\n".join(text.splitlines()[:-2]) + "\n")
        self.assertIn("gemm.csv: error: 2 of 5 planned shapes are missing, e.g. dtype=bf16 m=1024", self.problems())

    def test_excuses_shapes_that_the_collector_has_listed_as_skipped(self):
        plan = small_plan(gemm=[*GEMM, {"dtype": "fp8", "m": 1, "n": 8192, "k": 8192}])
        collection = collect_kernels.collect(plan, FakeBench(), collect_kernels.find_gpu("H100"))
        self.folder = self.folder.parent / "with_fp8"
        collect_kernels.write(collection, plan, self.folder, "H100-SXM", {})
        self.assertEqual(self.problems(), "")

    def test_notices_a_shape_that_occurs_twice(self):
        self.edit("gemm", lambda text: text + text.splitlines()[1] + "\n")
        self.assertIn("gemm.csv:7: error: the shape of line 2 again", self.problems())

    def test_notices_files_that_were_edited_after_they_were_measured(self):
        self.edit("gemm", lambda text: text + "\n", keep_checksum=True)
        self.assertIn("gemm.csv: error: differs from the manifest's checksum", self.problems())

    def test_wants_to_know_where_figures_come_from(self):
        (self.folder / "manifest.json").unlink()
        self.assertIn("manifest.json: error: missing", self.problems(gpu_name="H100"))

    def test_warns_when_a_larger_problem_is_much_faster(self):
        self.edit_row("generation_attention", 2, latency_us="90000", achieved_fraction="")
        self.assertIn("generation_attention.csv: warning: kv_len 8192 takes", self.problems())

    def test_exits_with_one_when_there_is_an_error(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(validate_kernels.main([str(self.folder)]), 0)
            (self.folder / "gemm.csv").write_text("")
            self.assertEqual(validate_kernels.main([str(self.folder)]), 1)
        self.assertIn("GPU H100-SXM; 0 errors", output.getvalue())


if __name__ == "__main__":
    unittest.main()
