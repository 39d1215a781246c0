"""Kernel importer, summary and fitter, on synthetic tables: every number here is made up and belongs to no real GPU run."""

import contextlib
import csv
import io
import json
import math
import os
import pathlib
import sys
import tempfile
import unittest

SCRIPTS = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "import"
sys.path.insert(0, str(SCRIPTS))
import import_kernels  # noqa: E402
import kernel_forms as kf  # noqa: E402
import kernel_tables as kt  # noqa: E402
import operator_summary  # noqa: E402
import summarise_kernels  # noqa: E402

H100 = next(g for g in kt.GPUS if g.folder == "h100")


class DataSheets(unittest.TestCase):
    def test_are_those_of_the_program(self):
        """One value for a peak: shares of it in bench_data are read beside what the program computes with configs/gpus.yaml."""
        program, name = {}, None
        for line in (SCRIPTS.parents[1] / "configs" / "gpus.yaml").read_text().splitlines():
            key, _, value = line.strip().removeprefix("- ").partition(": ")
            if key == "name":
                name = value
                program[name] = {}
            elif name is not None:
                program[name][key] = value
        names = {"peak_bf16_tflops": "bf16_tflops", "peak_fp8_tflops": "fp8_tflops", "peak_fp4_tflops": "fp4_tflops",
                 "hbm_bandwidth_tbs": "bandwidth_tbs", "link_bandwidth_gbs": "link_gbs"}  # fmt: skip
        for gpu in kt.GPUS:
            for key, attribute in names.items():
                ours = program[gpu.name].get(key)
                self.assertEqual(None if ours is None else float(ours), getattr(gpu, attribute), f"{gpu.name} {key}")


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text.strip().replace(" ", ""))))


def gemm_row(m, n, k, latency_us, dtype="bf16", flag=""):
    return {"gpu": "synthetic", "dtype": dtype, "m": str(m), "n": str(n), "k": str(k), "latency_us": str(latency_us),
            "source": "vllm-9.9.9", "flag": flag}  # fmt: skip


class Work(unittest.TestCase):
    def test_causal_attention_counts_half_the_square(self):
        self.assertEqual(kt.context_flops(1, 1000, 1000, 32, 128), 2.0 * 32 * 128 * 1000 * 1000)

    def test_a_chunk_after_a_cached_context_meets_all_of_it(self):
        # 10 new tokens on 90 old ones: 10 x (90 + 5) pairs, 4 FLOPs per pair, head and dimension.
        self.assertEqual(kt.context_flops(1, 10, 100, 2, 64), 4.0 * 2 * 64 * 10 * 95)

    def test_keys_and_values_are_both_read(self):
        self.assertEqual(kt.kv_bytes(4, 1000, 8, 128, "bf16"), 2 * 4 * 1000 * 8 * 128 * 2)
        self.assertEqual(kt.kv_bytes(4, 1000, 8, 128, "fp8"), 2 * 4 * 1000 * 8 * 128)

    def test_two_ranks_send_the_message_once(self):
        self.assertEqual(kt.bus_bytes(2, 1000), 1000)
        self.assertEqual(kt.bus_bytes(8, 1000), 1750)

    def test_uniform_routing_touches_one_share_for_one_token_and_all_for_many(self):
        self.assertAlmostEqual(kt.distinct_experts_uniform(1, 2, 8), 2.0)
        self.assertAlmostEqual(kt.distinct_experts_uniform(1000, 2, 8), 8.0)
        self.assertEqual(kt.distinct_experts_balanced(3, 2, 8), 6)
        self.assertEqual(kt.distinct_experts_balanced(99, 2, 8), 8)

    def test_fp8_on_a_gpu_without_fp8_units_computes_at_the_bf16_peak(self):
        a100 = next(g for g in kt.GPUS if g.folder == "a100")
        self.assertEqual(a100.flops_per_us("fp8"), a100.flops_per_us("bf16"))

    def test_quantiles_are_type_7(self):
        self.assertAlmostEqual(kt.quantile([1, 2, 3, 4], 0.5), 2.5)
        self.assertAlmostEqual(kt.quantile([1, 2, 3, 4], 0.9), 3.7)


class Gemm(unittest.TestCase):
    def convert(self, *rows):
        return import_kernels.import_gemm(list(rows), H100, import_kernels.Selection(), "synthetic.csv")

    def test_mfu_is_recomputed_from_shape_and_time(self):
        (row,) = self.convert(gemm_row(4096, 8192, 8192, 1000.0))
        self.assertAlmostEqual(float(row["mfu"]), 2 * 4096 * 8192 * 8192 / 1000.0 / 989.5e6, places=4)
        self.assertEqual(row["mfu"], row["achieved_fraction"])

    def test_a_small_batch_is_judged_by_the_bytes_it_streams(self):
        (row,) = self.convert(gemm_row(1, 8192, 8192, 50.0))
        self.assertAlmostEqual(float(row["achieved_fraction"]), 2 * 8192 * 8192 / 50.0 / 3.35e6, places=3)

    def test_a_row_faster_than_the_peak_is_refused_with_its_line(self):
        with self.assertRaisesRegex(kt.TableError, r"synthetic.csv:2: 2\.\d+ of the peak"):
            self.convert(gemm_row(4096, 8192, 8192, 250.0))

    def test_a_row_served_from_l2_keeps_its_flag_and_needs_it(self):
        (row,) = self.convert(gemm_row(1, 8192, 8192, 20.0, flag="over_bw_l2"))
        self.assertEqual(row["flag"], "over_bw_l2")
        with self.assertRaises(kt.TableError):
            self.convert(gemm_row(1, 8192, 8192, 20.0))

    def test_what_is_left_out_is_counted(self):
        selection = import_kernels.Selection()
        rows = [gemm_row(16, 1024, 1024, 9.0), gemm_row(17, 1024, 1024, 9.0)]
        self.assertEqual(len(import_kernels.import_gemm(rows, H100, selection, "synthetic.csv")), 1)
        self.assertEqual(list(selection.left_out.values()), [1])

    def test_a_missing_column_is_named(self):
        row = gemm_row(1, 1024, 1024, 9.0)
        del row["latency_us"]
        with self.assertRaisesRegex(kt.TableError, "missing column.*latency_us"):
            self.convert(row)

    def test_a_time_that_is_no_positive_number_is_refused(self):
        for bad in ("nan", "0", "-3", "fast"):
            with self.assertRaisesRegex(kt.TableError, "latency_us"):
                self.convert(gemm_row(1, 1024, 1024, bad))


class AllReduce(unittest.TestCase):
    TABLE = """
        kind,mode,version,ranks,bytes,dtype,latency_us,flag
        nccl,nccl-tests,nccl-2.9.9,2,1024,fp16,6,
        nccl,nccl-tests,nccl-2.29.2,2,1024,fp16,7,
        nccl,nccl-tests,nccl-2.29.2,2,1024,fp16,9,
        nccl,nccl-tests,nccl-2.29.2,2,1024,int8,5,
        custom,graph,vllm-0.14.0,2,1024,bf16,4.5,
        custom,graph,vllm-0.19.0,2,1024,bf16,4.4,
        custom,graph,vllm-0.24.0,2,1024,bf16,4.3,
    """

    def test_repeats_become_a_median_and_versions_compare_as_numbers(self):
        rows = import_kernels.import_allreduce(rows_of(self.TABLE), H100, import_kernels.Selection(), "synthetic.csv")
        found = {(r["engine"], r["latency_us"], r["repeats"]) for r in rows}
        self.assertEqual(found, {("vllm-0.14.0", "4.5", 1), ("vllm-0.19.0", "4.4", 1), ("vllm-0.24.0", "4.3", 1), ("nccl-2.29.2", "8", 2)})


class Moe(unittest.TestCase):
    def convert(self, distribution, latency_us="100", ep="1"):
        row = {"dtype": "bf16", "num_tokens": "2", "hidden": "1024", "inter": "4096", "topk": "1", "experts": "16", "tp": "1",
               "ep": ep, "distribution": distribution, "latency_us": latency_us, "flag": ""}  # fmt: skip
        return import_kernels.import_moe([row], H100, import_kernels.Selection(), "synthetic.csv", "vllm-9.9.9")

    def test_balanced_rows_are_judged_by_the_experts_they_touch(self):
        (row,) = self.convert("balanced")
        self.assertAlmostEqual(float(row["achieved_fraction"]), 2 * 3 * 1024 * 4096 * 2 / 3.35e6 / 100, places=4)

    def test_skewed_rows_do_not_say_how_many_experts_they_touched(self):
        (row,) = self.convert("power_law_1.2")
        self.assertEqual(row["achieved_fraction"], "")

    def test_a_rank_of_an_expert_parallel_group_computes_its_share(self):
        (whole,), (half,) = self.convert("balanced"), self.convert("balanced", ep="2")
        self.assertAlmostEqual(float(half["mfu"]) / float(whole["mfu"]), 0.5, places=3)

    def test_groups_of_more_than_one_node_are_left_out(self):
        self.assertEqual(self.convert("balanced", ep="16"), [])


class Modules(unittest.TestCase):
    def test_a_window_limits_what_is_computed(self):
        # 1000 tokens from scratch that see at most 100: 100 x 100 / 2 while it fills, 900 x 100 after that.
        self.assertEqual(kt.context_flops(1, 1000, 1000, 1, 1, 100), 4.0 * (100 * 50 + 900 * 100))
        # 10 tokens after 1000: a whole window each.
        self.assertEqual(kt.context_flops(1, 10, 1010, 1, 1, 100), 4.0 * 10 * 100)
        self.assertEqual(kt.context_flops(1, 50, 50, 1, 1, 100), kt.context_flops(1, 50, 50, 1, 1))

    def test_weights_below_16_bits_take_their_scales_along(self):
        self.assertAlmostEqual(kt.element_bytes("nvfp4"), 0.5625)
        self.assertAlmostEqual(kt.element_bytes("mxfp4"), 0.53125)

    def test_latents_faster_than_memory_are_refused(self):
        row = {"dtype": "bf16", "kv_dtype": "bf16", "batch": "64", "kv_len": "65536", "heads": "8", "latency_us": "1000",
               "source": "flashmla", "flag": ""}  # fmt: skip
        with self.assertRaisesRegex(kt.TableError, "of the peak"):
            import_kernels.import_mla_generation([row], H100, import_kernels.Selection(), "synthetic.csv", "vllm-9.9.9")

    def test_kernels_that_verify_speculated_tokens_are_left_out(self):
        row = {"op": "gdn", "phase": "verify", "kernel": "causal_conv1d_update", "batch": "1", "seq_len": "4", "k_heads": "1",
               "v_heads": "2", "k_dim": "128", "v_dim": "128", "latency_us": "4", "source": "vllm-9.9.9", "flag": ""}  # fmt: skip
        selection = import_kernels.Selection()
        self.assertEqual(import_kernels.import_linear_attention([row], H100, selection, "synthetic.csv", ""), [])
        self.assertEqual(sum(selection.left_out.values()), 1)

    def test_what_shares_come_from_is_named(self):
        rows = [{"dtype": "nvfp4", "m": "1", "n": "16384", "k": "16384", "latency_us": "40", "flag": "", "engine": "x-1"}]
        b200 = next(g for g in kt.GPUS if g.folder == "b200")
        entry = operator_summary.products(rows, b200)["nvfp4"]
        self.assertAlmostEqual(entry["weight_bandwidth_fraction"], 16384 * 16384 * 0.5625 / 8e6 / 40)
        self.assertIsNone(entry["gemm_fraction"])


class Legacy(unittest.TestCase):
    @staticmethod
    def table(peak_tflops, latency_us=200.0):
        mfu = 2 * 4096 * 4096 * 8192 / latency_us / (peak_tflops * 1e6)
        return rows_of(f"m,k,n,latency_us,mfu\n4096,4096,8192,{latency_us},{mfu:.3f}\n")

    def test_a_table_divided_by_the_fp8_peak_is_fp8(self):
        (row,) = import_kernels.import_legacy_gemm(self.table(1979.0), H100, "synthetic.csv")
        self.assertEqual(row["dtype"], "fp8")
        self.assertEqual((row["m"], row["n"], row["k"]), (4096, 8192, 4096))

    def test_a_table_divided_by_another_peak_is_not_guessed(self):
        with self.assertRaisesRegex(kt.TableError, "divided by 148"):
            import_kernels.import_legacy_gemm(self.table(148.0), H100, "synthetic.csv")

    def test_fp8_needs_a_row_that_bf16_cannot_reach(self):
        with self.assertRaisesRegex(kt.TableError, "not proven"):
            import_kernels.import_legacy_gemm(self.table(1979.0, latency_us=600.0), H100, "synthetic.csv")

    def test_decode_files_are_turned_into_one_ranks_heads(self):
        rows = rows_of("dtype,kv_dtype,batch_size,kv_len,latency_us,mfu\nbf16,bf16,16,8192,60,0.01\n")
        (row,) = import_kernels.import_legacy_generation([("28-4-128-tp4.csv", rows)], H100)
        self.assertEqual((row["heads"], row["kv_heads"]), (7, 1))

    def test_a_file_name_without_heads_is_refused(self):
        with self.assertRaisesRegex(kt.TableError, "heads"):
            import_kernels.legacy_shape("data.csv")


class Fitter(unittest.TestCase):
    def test_pnorm_adds_at_one_and_takes_the_larger_at_infinity(self):
        self.assertAlmostEqual(kf.pnorm(3.0, 4.0, 1.0), 7.0)
        self.assertAlmostEqual(kf.pnorm(3.0, 4.0, 2.0), 5.0)
        self.assertAlmostEqual(kf.pnorm(3.0, 4.0, 200.0), 4.0)

    def test_known_parameters_come_back_from_noisy_times(self):
        true = {"gemm_fraction": 0.8, "weight_bandwidth_fraction": 0.7, "pnorm": 3.0, "call_us": 5.0}
        samples, measured = [], []
        for shape in (2**23, 2**24, 2**25, 2**26, 2**27):
            for m in (1, 4, 16, 64, 96, 128, 192, 256, 512, 1024, 4096):
                sample = (m, 2.0 * m * shape / 989.5e6, 2.0 * shape / 3.35e6)
                samples.append(sample)
                noise = 1.0 + 0.02 * math.sin(17.0 * len(samples))
                measured.append(kf.gemm_pnorm_call(true, sample) * noise)
        form, start = kf.GEMM_FORMS["call + p-norm"]
        found = kf.fit(form, samples, measured, start)
        for name, value in true.items():
            self.assertAlmostEqual(found.parameters[name] / value, 1.0, delta=0.15 if name == "pnorm" else 0.05, msg=name)
        self.assertLess(found.ape_percent(0.9), 3.0)

    def test_bounds_hold_even_when_the_data_pull_past_them(self):
        samples = [(x,) for x in (1.0, 2.0, 4.0, 8.0)]
        found = kf.fit(lambda p, s: s[0] / p["fraction"], samples, [s[0] / 1.5 for s in samples], {"fraction": 0.5},
                       {"fraction": 1.0})  # fmt: skip
        self.assertLessEqual(found.parameters["fraction"], 1.001)


def write(path, columns, rows):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)


def synthetic_upstream(folder):
    """Every GPU behaves exactly as the forms say: e_gemm .8, e_weights .7, 5 us per GEMM; e_kv .6, 10 us; and so on."""
    for gpu in kt.GPUS:
        base = os.path.join(folder, "kernels", gpu.upstream)
        flops, bandwidth, link = gpu.flops_per_us("bf16"), gpu.bytes_per_us, gpu.link_bytes_per_us
        p = {"gemm_fraction": 0.8, "weight_bandwidth_fraction": 0.7, "pnorm": 2.5, "call_us": 5.0}
        rows = []
        for n, k in ((1024, 2048), (8192, 4096), (8192, 8192), (16384, 8192), (16384, 16384)):
            for m in (1, 8, 16, 64, 128, 256, 512, 2048, 4096):
                t = kf.gemm_pnorm_call(p, (m, 2.0 * m * n * k / flops, 2.0 * n * k / bandwidth))
                rows.append(["x", "bf16", m, n, k, t, "vllm-9.9.9", ""])
        write(base + "/gemm.csv", ["gpu", "dtype", "m", "n", "k", "latency_us", "source", "flag"], rows)
        rows = []
        for batch in (1, 8, 64, 256):
            for seq in (64, 512, 1024, 2048, 4096):
                t = 12.0 + kt.context_flops(batch, seq, seq, 32, 128) / flops / 0.5
                t += kt.context_bytes(batch, seq, seq, 32, 8, 128, "bf16") / bandwidth / 0.4
                rows.append(["bf16", "bf16", batch, seq, seq, 32, 8, 128, t, ""])
        columns = ["dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "latency_us", "flag"]
        write(base + "/context_attention.csv", columns, rows)
        rows = []
        for batch in (4, 16, 64, 256):
            for kv in (64, 1024, 8192, 32768):
                t = 10.0 + kt.kv_bytes(batch, kv, 8, 128, "bf16") / bandwidth / 0.6
                rows.append(["bf16", "bf16", batch, kv, 32, 8, 128, t, ""])
        write(base + "/generation_attention.csv", [c for c in columns if c != "seq_len"], rows)
        rows = []
        for ranks in (2, 4, 8):
            for exponent in range(13, 28):
                t = 6.0 + kt.bus_bytes(ranks, 2**exponent) / link / 0.5
                rows.append(["custom", "graph", "vllm-9.9.9", ranks, 2**exponent, "bf16", t, ""])
        write(base + "/allreduce.csv", ["kind", "mode", "version", "ranks", "bytes", "dtype", "latency_us", "flag"], rows)
        rows = []
        for tokens in (1, 4, 16, 64, 256):
            streaming = kt.distinct_experts_balanced(tokens, 1, 16) * kt.moe_expert_bytes(5120, 8192, 1, "bf16") / bandwidth
            rows.append(["bf16", tokens, 5120, 8192, 1, 16, 1, 1, "balanced", 30.0 + streaming / 0.9, ""])
        columns = ["dtype", "num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "distribution", "latency_us", "flag"]
        write(base + "/moe.csv", columns, rows)
    legacy = os.path.join(folder, "legacy")
    mfu = 2 * 4096 * 4096 * 8192 / 200.0 / 1979e6
    write(legacy + "/gemm/h100/data.csv", ["m", "k", "n", "latency_us", "mfu"], [[4096, 4096, 8192, 200.0, f"{mfu:.3f}"]])
    write(legacy + "/mha/prefill/h100/32-8-128.csv", ["dtype", "seq_len", "latency_us", "mfu"], [["bf16", 4096, 300.0, 0.4]])
    write(legacy + "/mha/decode/h100/32-8-128-tp2.csv", ["dtype", "kv_dtype", "batch_size", "kv_len", "latency_us", "mfu"],
          [["bf16", "bf16", 16, 8192, 120.0, 0.01]])  # fmt: skip


class ExpertExchange(unittest.TestCase):
    def test_keeps_what_vllm_runs_and_counts_ranks(self):
        columns = ["kind", "op", "nodes", "num_tokens", "hidden", "topk", "experts", "sms", "latency_us", "source", "flag"]
        rows = [
            ["normal", "combine", 2, 64, 7168, 8, 256, 20, "80.5", "sglang-0.5.6", ""],
            ["normal", "combine", 2, 64, 7168, 8, 256, 24, "70.5", "sglang-0.5.6", ""],
            ["ll", "dispatch", 1, 128, 7168, 8, 256, 0, "36.7", "sglang-0.5.12", "eager"],
            ["normal", "dispatch", 1, 65536, 7168, 8, 256, 20, "7896", "sglang-0.5.12", ""],
        ]
        selection = import_kernels.Selection()
        gpu = kt.GPUS[0]
        kept = import_kernels.import_expert_exchange([dict(zip(columns, map(str, row))) for row in rows], gpu, selection, "deepep.csv")
        self.assertEqual([(r["kind"], r["op"], r["ranks"], r["num_tokens"], r["latency_us"], r["flag"]) for r in kept],
                         [("high_throughput", "combine", 16, 64, "80.5", ""), ("low_latency", "dispatch", 8, 128, "36.7", "eager")])  # fmt: skip
        self.assertEqual(sum(selection.left_out.values()), 2)
        self.assertEqual(set(kept[0]), set(kt.SCHEMA["expert_exchange"]))


class WholeImport(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        synthetic_upstream(cls.folder.name)
        cls.out = os.path.join(cls.folder.name, "bench_data")
        with contextlib.redirect_stdout(io.StringIO()):
            cls.status = import_kernels.main([
                "--kernels", os.path.join(cls.folder.name, "kernels"), "--legacy", os.path.join(cls.folder.name, "legacy"),
                "--out", cls.out, "--date", "2001-01-01",
            ])  # fmt: skip
            cls.summary_status = summarise_kernels.main([cls.out])
        with open(os.path.join(cls.out, "manifest.json"), encoding="utf-8") as file:
            cls.manifest = json.load(file)
        with open(os.path.join(cls.out, "efficiency.json"), encoding="utf-8") as file:
            cls.summary = json.load(file)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_both_programs_succeed(self):
        self.assertEqual((self.status, self.summary_status), (0, 0))

    def test_the_manifest_describes_every_file_as_written(self):
        self.assertEqual(len(self.manifest["files"]), 5 * len(kt.GPUS) + 3)
        for entry in self.manifest["files"]:
            with open(os.path.join(self.out, entry["file"]), "rb") as file:
                data = file.read()
            self.assertEqual(kt.sha256(data), entry["sha256"], entry["file"])
            self.assertEqual(data.count(b"\n") - 1, entry["rows"], entry["file"])
            self.assertTrue(entry["source"]["commit"] and entry["source"]["licence"] and entry["engines"], entry["file"])

    def test_no_machine_path_gets_into_the_files(self):
        for path in pathlib.Path(self.out).rglob("*"):
            if path.is_file():
                self.assertNotIn(self.folder.name.encode(), path.read_bytes(), path.name)

    def test_attention_takes_its_engine_from_the_gemm_table(self):
        rows = kt.read_rows(os.path.join(self.out, "l40s", "generation_attention.csv"))
        self.assertEqual({r["engine"] for r in rows}, {"vllm-9.9.9"})

    def test_priors_recover_the_parameters_that_made_the_tables(self):
        expected = {
            "physics.gemm_fraction": 0.8, "physics.weight_bandwidth_fraction": 0.7, "physics.kv_bandwidth_fraction": 0.6,
            "physics.allreduce_us": 6.0, "physics.allreduce_fraction": 0.5, "physics.moe_weight_bandwidth_fraction": 0.9,
        }  # fmt: skip
        for gpu, priors in self.summary["physics_priors"].items():
            for name, value in expected.items():
                self.assertAlmostEqual(priors[name]["value"] / value, 1.0, delta=0.02, msg=f"{gpu} {name}")

    def test_a_share_beside_calls_that_no_row_resolves_leaves_them_to_the_layers(self):
        """Rows in which a constant per call of 4 us hides behind a share: with the reference's constant the share comes back."""
        gpu = next(g for g in kt.GPUS if g.folder == "l40s")
        rows = []
        for m, n, k in ((m, n, k) for m in (1, 16, 64, 256, 1024) for n, k in ((8192, 8192), (16384, 8192), (28672, 8192))):
            compute = kt.gemm_flops(m, n, k) / gpu.flops_per_us("bf16") / 0.65
            weights = kt.gemm_weight_bytes(n, k, "bf16") / gpu.bytes_per_us / 0.8
            rows.append({**gemm_row(m, n, k, 4.0 + (compute**2.5 + weights**2.5) ** 0.4), "gpu": gpu.name})
        rows += [gemm_row(1, 1024, 2048, 8.0)]  # smallest calls
        reference = {"gemm": {"bf16": {"fit_shared_pnorm": {"call_us": 3.0}}}, "per_call": {"smallest_gemm_us": 6.0}}
        fit = summarise_kernels.share_beside_calls({"gemm": rows}, gpu, "bf16", reference)
        self.assertAlmostEqual(fit["call_us"], 4.0)
        self.assertAlmostEqual(fit["weight_bandwidth_fraction"], 0.8, delta=0.002)
        self.assertAlmostEqual(fit["gemm_fraction"], 0.65, delta=0.002)

    def test_the_share_of_experts_products_comes_back_from_rows_that_have_it(self):
        gpu = next(g for g in kt.GPUS if g.folder == "h100")
        streaming = {"call_us": 30.0, "moe_weight_bandwidth_fraction": 0.9}
        rows = []
        for tokens, ep in ((tokens, ep) for tokens in (64, 512, 2048, 8192) for ep in (1, 2)):
            compute = 2.0 * tokens * 2 / ep * 3 * 4096 * 14336 / gpu.flops_per_us("fp8") / 0.2
            weights = 8 / ep * kt.moe_expert_bytes(4096, 14336, 1, "fp8") / gpu.bytes_per_us / 0.9
            latency_us = 30.0 + (compute**2.5 + weights**2.5) ** 0.4
            row = {"dtype": "fp8", "distribution": "balanced", "flag": "", "num_tokens": tokens, "hidden": 4096, "inter": 14336,
                   "topk": 2, "experts": 8, "tp": 1, "ep": ep, "latency_us": latency_us if tokens > 64 else 1e6}  # fmt: skip
            rows.append({key: str(value) for key, value in row.items()})
        fit = summarise_kernels.summarise_expert_products({"moe": rows}, gpu, "fp8", streaming)
        self.assertEqual(fit["rows"], 6)
        self.assertAlmostEqual(fit["gemm_fraction"], 0.2, delta=0.001)
        self.assertIsNone(summarise_kernels.summarise_expert_products({"moe": rows}, gpu, "bf16", streaming))

    def test_prior_ids_are_those_of_the_registry(self):
        registry = (SCRIPTS.parents[1] / "lib" / "params" / "src" / "registry.cpp").read_text(encoding="utf-8")
        for priors in self.summary["physics_priors"].values():
            for name in priors:
                self.assertIn(f'"{name}"', registry)

    def test_peers_that_behave_alike_have_ratio_one(self):
        for gpu, entry in self.summary["ratios_to_reference"].items():
            self.assertAlmostEqual(entry["priors"]["physics.weight_bandwidth_fraction"], 1.0, delta=0.02, msg=gpu)
            self.assertTrue(entry["same_engine"])

    def test_the_same_tables_give_the_same_bytes(self):
        again = os.path.join(self.folder.name, "again.json")
        with contextlib.redirect_stdout(io.StringIO()):
            summarise_kernels.main([self.out, "--out", again])
        self.assertEqual(pathlib.Path(again).read_bytes(), pathlib.Path(self.out, "efficiency.json").read_bytes())

    def test_a_missing_folder_is_an_error_not_a_crash(self):
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            status = import_kernels.main(["--kernels", "nowhere", "--legacy", "nowhere", "--out", self.folder.name + "/x"])
        self.assertEqual(status, 1)
        self.assertIn("import_kernels: error:", errors.getvalue())


if __name__ == "__main__":
    unittest.main()
