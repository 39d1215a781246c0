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

DENSE = """\
schema: rooftune/model/1
name: Small-7B  # a comment
layers: 32
hidden: 4096
heads: 32
kv_heads: 8
head_dim: 128
ffn_width: 14336
vocabulary: 32000
sampling:
  temperature: 0.6
source: "config.json: of a test"
"""

HEADS = {"heads": 32, "kv_heads": 8, "head_dim": 128}


class FakeBench:
    """Times that follow a roofline at 80 % of an H100, and a few shapes that cannot be measured."""

    def measure(self, table, row):
        if table == "gemm" and row["dtype"] == "fp8":
            raise collect_kernels.Unsupported("this GPU has no FP8 units")
        if table == "generation_attention" and row["kv_len"] == 16384:
            raise RuntimeError("CUDA error: invalid configuration")
        at_one_us = {**row, "latency_us": 1.0}
        gpu = collect_kernels.find_gpu("H100")
        return 1.25 * max(share or 0.0 for share in collect_kernels.fractions(table, at_one_us, gpu)) + 2.0, "torch-0.0"

    def all_reduce(self, ranks, sizes):
        if ranks > 2:
            raise collect_kernels.Unsupported(f"needs {ranks} GPUs, this machine has 2")
        return {size: 10.0 + size / 300e3 for size in sizes}, "nccl-0.0"


def small_plan(**tables):
    return kernel_plan.parse_plan(json.dumps({"schema": kernel_plan.SCHEMA, "models": [], "tp": [], **tables}), "test")


class Plan(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def test_splits_layers_and_heads_over_the_gpus(self):
        model = kernel_plan.read_model(self.write("small.yaml", DENSE))
        layers, heads = kernel_plan.layers_of_one_gpu(model, 4)
        self.assertEqual(layers, [(1536, 4096), (4096, 1024), (8000, 4096), (7168, 4096), (4096, 3584)])
        self.assertEqual(heads, (8, 2, 128))

    def test_replicates_kv_heads_beyond_one_for_each_gpu(self):
        model = kernel_plan.read_model(self.write("small.yaml", DENSE))
        self.assertEqual(kernel_plan.layers_of_one_gpu(model, 16)[1], (2, 1, 128))

    def test_refuses_a_degree_that_does_not_divide_the_heads(self):
        model = kernel_plan.read_model(self.write("small.yaml", DENSE))
        with self.assertRaisesRegex(kernel_plan.PlanError, "32 heads cannot be split over TP 3"):
            kernel_plan.make_plan([model], [3])

    def test_reads_a_hugging_face_folder(self):
        config = {"num_attention_heads": 32, "num_key_value_heads": 8, "hidden_size": 4096, "intermediate_size": 14336, "vocab_size": 32000}
        self.write("Small-7B/config.json", json.dumps({"text_config": config}))
        from_config = kernel_plan.read_model(self.folder / "Small-7B")
        self.assertEqual(from_config, kernel_plan.read_model(self.write("small.yaml", DENSE)))

    def test_takes_experts_out_and_shared_experts_in(self):
        facts = DENSE.replace("ffn_width: 14336", "moe:\n  layers: 48\n  shared_experts: 1\n  shared_ffn_width: 8192")
        self.assertEqual(kernel_plan.read_model(self.write("moe.yaml", facts)).ffn_widths, (8192,))
        on_one_line = DENSE.replace("ffn_width: 14336", "moe: {layers: 48, shared_experts: 1, shared_ffn_width: 8192}")
        self.assertEqual(kernel_plan.read_model(self.write("moe.yaml", on_one_line)).ffn_widths, (8192,))

    def test_says_that_latent_attention_is_not_covered(self):
        path = self.write("MLA/config.json", json.dumps({"kv_lora_rank": 512}))
        with self.assertRaisesRegex(kernel_plan.PlanError, "latent attention is not covered"):
            kernel_plan.read_model(path)

    def test_measures_shapes_that_models_share_once(self):
        model = kernel_plan.read_model(self.write("small.yaml", DENSE))
        plan = kernel_plan.make_plan([model, model], [1, 2])
        for table in kernel_plan.SHAPE_COLUMNS:
            shapes = [kernel_plan.shape_of(table, row) for row in plan[table]]
            self.assertEqual(len(shapes), len(set(shapes)), table)
        self.assertEqual({row["ranks"] for row in plan["allreduce"]}, {2})
        self.assertEqual({row["dtype"] for row in plan["gemm"]}, {"bf16"})

    def test_survives_printing_and_reading(self):
        plan = kernel_plan.make_plan([kernel_plan.read_model(self.write("small.yaml", DENSE))], [1, 2], ["bf16", "fp8"])
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
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(dtype="int4")}), "dtype is 'int4'"),
            (json.dumps({"schema": kernel_plan.SCHEMA, "gemm": rows(extra=1)}), "has the columns"),
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
            ((), "give either --plan or --model"),
            (("--plan", "-"), "measuring needs --gpu and --out"),
            (("--plan", "no_such_plan.json", "--print-plan"), "no_such_plan.json: No such file"),
            (("--model", "no_such_model", "--print-plan"), "no_such_model: cannot be read"),
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
