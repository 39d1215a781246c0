import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import script_path
import collect_kernels
import kernel_plan
import kernel_tables as kt

HEADS = {"heads": 32, "kv_heads": 8, "head_dim": 128}
MOE = {"dtype": "bf16", "num_tokens": 64, "hidden": 4096, "inter": 14336, "topk": 2, "experts": 8, "tp": 1, "ep": 1, "distribution": "balanced"}
MLA = {"dtype": "bf16", "kv_dtype": "bf16", "batch": 2, "heads": 16}
SPARSE = {"op": "dsa", "model": "GLM-5", "phase": "generation", "kv_dtype": "bf16", "batch": 2, "seq_len": 1, "kv_len": 64, "heads": 8, "tp": 1}
GDN = {"op": "gdn", "phase": "context", "part": "recurrence", "batch": 1, "seq_len": 64, "k_heads": 16, "v_heads": 32, "k_dim": 128, "v_dim": 128}


class FakeBench:
    """Times that follow a roofline at 80 % of an H100, and a few shapes that cannot be measured."""

    def measure(self, table, row):
        if table == "gemm" and row["dtype"] == "fp8":
            raise collect_kernels.Unsupported("this GPU has no FP8 units")
        if table == "generation_attention" and row["kv_len"] == 16384:
            raise RuntimeError("CUDA error: invalid configuration")
        if table not in kernel_plan.PEAK_TABLES:
            return 50.0, "vllm-0.0"
        at_one_us = {**row, "latency_us": 1.0}
        gpu = collect_kernels.find_gpu("H100")
        return 1.25 * max(share or 0.0 for share in collect_kernels.fractions(table, at_one_us, gpu)) + 2.0, "torch-0.0"

    def collective(self, op, ranks, sizes):
        if ranks > 2:
            raise collect_kernels.Unsupported(f"needs {ranks} GPUs, this machine has 2")
        return {size: 10.0 + size / 300e3 for size in sizes}, "nccl-0.0"


def small_plan(**tables):
    return kernel_plan.parse_plan(json.dumps({"schema": kernel_plan.SCHEMA, "models": [], "tp": [], **tables}), "test")


class Plan(unittest.TestCase):
    def test_survives_printing_and_reading(self):
        plan = small_plan(
            gemm=[{"dtype": "nvfp4", "m": 1, "n": 64, "k": 64}],
            generation_attention=[{"dtype": "bf16", "kv_dtype": "bf16", "batch": 1, "kv_len": 16, **HEADS}],
            moe=[MOE],
            linear_attention=[GDN, {**GDN, "op": "mamba2", "part": "convolution", "v_dim": 64}],
            mla_context=[{**MLA, "compute_dtype": "bf16", "seq_len": 64, "kv_len": 64}],
            mla_generation=[{**MLA, "kv_len": 64}],
            sparse_attention=[SPARSE],
            collective=[{"op": "alltoall", "dtype": "bf16", "ranks": 2, "bytes": 1024}],
        )
        self.assertEqual(plan["generation_attention"][0]["window"], 0)
        self.assertEqual(kernel_plan.parse_plan(kernel_plan.plan_text(plan), "plan.json"), plan)

    def test_refuses_plans_with_place_and_remedy(self):
        def rows(**change):
            return [{"dtype": "bf16", "m": 1, "n": 64, "k": 64, **change}]

        for text, message in (
            ("{", "plan.json:1:2: not valid JSON"),
            ("[]", "not a kernel plan"),
            (json.dumps({"schema": "other"}), "not a kernel plan"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemms": []}), "unknown table 'gemms'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(m=0)}), "gemm row 1: m is 0"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(m=1.5)}), "gemm row 1: m is 1.5"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(dtype="int3")}), "dtype is 'int3'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "linear_attention": [{**GDN, "op": "alltoall"}]}), "op is 'alltoall'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(extra=1)}), "has the columns"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "sparse_attention": [{**SPARSE, "model": "GLM-6"}]}), "model is 'GLM-6'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "sparse_attention": [{**SPARSE, "op": "gdn"}]}), "op is 'gdn'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "mla_context": [{**MLA, "compute_dtype": "bf16", "seq_len": 9, "kv_len": 8}]}), "leaves out new"),
        ):
            with self.assertRaisesRegex(kernel_plan.PlanError, message, msg=text):
                kernel_plan.parse_plan(text, "plan.json")


class Rows(unittest.TestCase):
    h100 = collect_kernels.find_gpu("h100_sxm")

    def test_carry_the_recomputed_share_of_the_peak(self):
        shape = {"dtype": "bf16", "m": 4096, "n": 4096, "k": 4096}
        row = collect_kernels.table_row("gemm", shape, 200.0, "torch-0.0", self.h100)
        self.assertEqual(list(row), kt.SCHEMA["gemm"])
        self.assertEqual((row["mfu"], row["flag"]), ("0.6945", ""))  # 2 * 4096^3 / 200 us / 989.5 TFLOP/s

    def test_flag_what_cannot_be(self):
        shape = {"dtype": "bf16", "m": 4096, "n": 4096, "k": 4096}
        self.assertEqual(collect_kernels.table_row("gemm", shape, 100.0, "torch-0.0", self.h100)["flag"], "over_flops")
        shape["m"] = 1
        self.assertEqual(collect_kernels.table_row("gemm", shape, 5.0, "torch-0.0", self.h100)["flag"], "over_bw_l2")

    def test_leave_shares_empty_for_a_gpu_without_data_sheet(self):
        row = collect_kernels.table_row("gemm", {"dtype": "bf16", "m": 1, "n": 64, "k": 64}, 5.0, "torch-0.0", None)
        self.assertEqual((row["mfu"], row["achieved_fraction"], row["latency_us"]), ("", "", "5"))


class Collecting(unittest.TestCase):
    gemm = [{"dtype": dtype, "m": m, "n": 4096, "k": 4096} for dtype in ("bf16", "fp8") for m in (1, 64)]
    generation = [{"dtype": "bf16", "kv_dtype": "bf16", "batch": 8, "kv_len": kv, **HEADS} for kv in (1024, 16384)]
    allreduce = [{"dtype": "bf16", "ranks": ranks, "bytes": size} for ranks in (2, 4) for size in (1024, 2**20)]

    def test_lists_what_it_could_not_measure_with_the_reason(self):
        plan = small_plan(gemm=self.gemm, generation_attention=self.generation, allreduce=self.allreduce)
        collection = collect_kernels.collect(plan, FakeBench(), collect_kernels.find_gpu("H100"))
        self.assertEqual({table: len(rows) for table, rows in collection.rows.items() if rows}, {"gemm": 2, "generation_attention": 1, "allreduce": 2})
        reasons = [skipped["reason"] for skipped in collection.skipped]
        self.assertEqual(reasons.count("this GPU has no FP8 units"), 2)
        self.assertIn("RuntimeError: CUDA error: invalid configuration", reasons)
        self.assertEqual(reasons.count("needs 4 GPUs, this machine has 2"), 2)

    def test_measures_experts_recurrences_and_every_collective(self):
        collectives = [{"op": op, "dtype": "bf16", "ranks": 2, "bytes": 1024} for op in kernel_plan.OPS["collective"]]
        plan = small_plan(moe=[MOE], linear_attention=[GDN], collective=collectives)
        collection = collect_kernels.collect(plan, FakeBench(), collect_kernels.find_gpu("H100"))
        self.assertEqual(collection.skipped, [])
        for table, rows in (("moe", 1), ("linear_attention", 1), ("collective", 3)):
            self.assertEqual(len(collection.rows[table]), rows)
            self.assertEqual(list(collection.rows[table][0]), kt.SCHEMA[table])

    def test_stops_at_its_time_limit_and_says_so(self):
        plan = small_plan(gemm=self.gemm, allreduce=self.allreduce)
        collection = collect_kernels.collect(plan, FakeBench(), None, deadline=time.monotonic() - 1)
        self.assertEqual(sum(map(len, collection.rows.values())), 0)
        self.assertEqual({skipped["reason"] for skipped in collection.skipped}, {"time limit"})

    def test_writes_tables_plan_and_manifest_that_fit_together(self):
        plan = small_plan(gemm=self.gemm)
        collection = collect_kernels.collect(plan, FakeBench(), collect_kernels.find_gpu("H100"))
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "new"
            self.assertEqual(collect_kernels.write(collection, plan, folder, "H100-SXM", {"driver": "1"}), 2)
            manifest = json.loads((folder / "manifest.json").read_text())
            (entry,) = manifest["files"]
            self.assertEqual(entry["sha256"], kt.sha256((folder / "gemm.csv").read_bytes()))
            self.assertEqual(manifest["collection"]["machine"], {"driver": "1"})
            self.assertEqual(kernel_plan.parse_plan((folder / "plan.json").read_text(), "plan.json"), plan)
            self.assertEqual(kt.read_rows(folder / "gemm.csv")[0]["engine"], "torch-0.0")


class CommandLine(unittest.TestCase):
    def run_script(self, *arguments, text=""):
        script = script_path.ROOT / "scripts" / "collect_kernels.py"
        # A folder that cannot be imported from stands in for a machine without PyTorch.
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "torch.py").write_text("raise ImportError('hidden by the test')\n")
            return subprocess.run(
                [sys.executable, "-B", script, *arguments], input=text, capture_output=True, text=True, cwd=folder,
                env={"PYTHONPATH": folder, "PATH": ""},
            )  # fmt: skip

    def test_says_clearly_that_there_is_no_gpu(self):
        plan = kernel_plan.plan_text(small_plan(gemm=Collecting.gemm))
        result = self.run_script("--plan", "-", "--gpu", "H100", "--out", "tables", text=plan)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("nothing can be measured here: PyTorch cannot be imported", result.stderr)
        self.assertIn("--print-plan", result.stderr)

    def test_prints_the_plan_without_a_gpu(self):
        plan = kernel_plan.plan_text(small_plan(gemm=Collecting.gemm))
        result = self.run_script("--plan", "-", "--print-plan", text=plan)
        self.assertEqual((result.returncode, result.stdout), (0, plan))

    def test_exits_with_one_on_bad_usage(self):
        for arguments, message in (
            ((), "--plan is missing"),
            (("--plan", "-"), "measuring needs --gpu and --out"),
            (("--plan", "no_such_plan.json", "--print-plan"), "no_such_plan.json: No such file"),
        ):
            result = self.run_script(*arguments)
            self.assertEqual(result.returncode, 1, arguments)
            self.assertIn(message, result.stderr)

    def test_never_writes_over_a_folder(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "gemm.csv").write_text("precious")
            Path(folder, "p.json").write_text(kernel_plan.plan_text(small_plan(gemm=Collecting.gemm)))
            errors = io.StringIO()
            with contextlib.redirect_stderr(errors):
                code = collect_kernels.main(["--plan", str(Path(folder, "p.json")), "--gpu", "H100", "--out", folder])
            self.assertEqual(code, 1)
            self.assertIn("is not empty", errors.getvalue())


if __name__ == "__main__":
    unittest.main()
