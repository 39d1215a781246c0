#!/usr/bin/env python3
"""Turns upstream kernel measurements into the tables of bench_data/.

    import_kernels.py --kernels DIR --legacy DIR --out bench_data [--date YYYY-MM-DD]

--kernels  folder with <gpu>_sxm/{gemm,context_attention,generation_attention,allreduce,moe}.csv (vLLM kernel
           measurements of NVIDIA aiconfigurator, microseconds)
--legacy   folder with gemm/h100/data.csv and mha/{prefill,decode}/h100/*.csv (the Go simulator family's tables)

Written: <out>/<gpu>/<table>.csv for every GPU and table of kernel_tables.py that upstream has,
<out>/h100/legacy_{gemm,context_attention,generation_attention}.csv and <out>/manifest.json.

Columns (bench_data/README.md has the prose):
  latency_us         measured time of one call, microseconds
  dtype, kv_dtype    number format of the weights and the computation / of the KV cache: bf16, fp8 (per tensor), fp8_block (128 x 128),
                     nvfp4 (weights and activations), mxfp4 and int4 (weights alone, computed in bf16)
  m, n, k            y[m,n] = x[m,k] w[n,k]^T: m tokens, n outputs and k inputs of the layer
  batch, seq_len, kv_len   sequences; new tokens per sequence; tokens attended to (new ones included)
  heads, kv_heads, head_dim   of ONE GPU, after tensor parallelism
  window             tokens that a query sees at most; 0: all
  ranks, bytes, kind, mode, repeats   all-reduce: GPUs, message size, who measured it and how, runs behind the median
  num_tokens, hidden, inter, topk, experts, tp, ep, distribution   fused MoE; inter is the whole expert's width
  mfu                FLOPs / time / dense peak of dtype. Recomputed here; no upstream mfu column is used. Attention counts
                     causal FLOPs. Absent where it says nothing (decode attention moves bytes; an all-reduce computes nothing)
  achieved_fraction  roofline time / measured time. gemm: max(FLOPs/F, weight bytes/W); context attention: max(FLOPs/F, q, k, v and
                     output bytes/W);
                     generation attention: KV bytes/W; all-reduce: bus bytes/link; moe: max(FLOPs/F, touched expert bytes/W),
                     balanced routing only, because other routings do not say how many experts were touched
  kernel, part       which implementation ran, which of several kernels of one operator
  flag               over_bw_l2: faster than memory allows, operands were in L2 (never use for bandwidth);
                     over_link: faster than the link allows (in-network reduction);
                     l2_resident: the layer's only weight copy fits into L2 and small batches were served from it;
                     eager, eager_host_bound: launched without a CUDA graph; the host decided the time;
                     grouped_routing: the routing touched about half of the experts that real routing does
  engine             software that the kernel came from

The GPU is the folder. Attention and MoE files do not name their engine upstream; one collector run filled a GPU's folder,
so its GEMM table's engine is theirs.
"""

import argparse
import datetime
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_tables as kt  # noqa: E402

AICONFIGURATOR = {
    "repository": "github.com/ai-dynamo/aiconfigurator",
    "commit": "095f58a51c4ca8e61b66ec108d86f223f8d559ce",
    "licence": "Apache-2.0",
}
AICONFIGURATOR_PATH = "aic-core/src/aiconfigurator_core/systems/data/{gpu}/{table}"
# Upstream folders of each table.
UPSTREAM_TABLE = {
    "gemm": "gemm/{vllm,trtllm}/<version>/*_perf.parquet",
    "context_attention": "attention/vllm/<version>/*_perf.parquet",
    "generation_attention": "attention/vllm/<version>/*_perf.parquet",
    "allreduce": "comm/vllm/<version>/custom_allreduce_perf.parquet, comm/nccl/<version>/nccl_perf.parquet",
    "moe": "moe/vllm/<version>/*_perf.parquet",
    "mla_context": "mla/vllm/<version>/*_perf.parquet",
    "mla_generation": "mla/vllm/<version>/*_perf.parquet",
    "linear_attention": "{gdn,kda}/vllm/<version>/*_perf.parquet",
    "sparse_attention": "{dsa,dsv4,msa}/vllm/<version>/*_perf.parquet",
    "collective": "comm/nccl/<version>/nccl_perf.parquet",
    "expert_exchange": "wideep/sglang/<version>/*deepep*_perf.parquet",
}
# Input files of each table: the first extraction, then what was added to it. A GPU has some of them.
INPUTS = {
    "gemm": ("gemm", "gemm_fp8_block", "gemm_nvfp4", "gemm_int4"),
    "context_attention": ("context_attention", "context_attention_ext"),
    "generation_attention": ("generation_attention", "generation_attention_ext"),
    "allreduce": ("allreduce", "collectives"),
    "moe": ("moe", "moe_gptoss_minimax", "moe_qwen3", "moe_deepseek_kimi"),
    "mla_context": ("mla_context",),
    "mla_generation": ("mla_generation",),
    "linear_attention": ("linear_attention",),
    "sparse_attention": ("sparse_attention",),
    "collective": ("collectives",),
    "expert_exchange": ("deepep",),
}
# Names of number formats upstream, where ours differ.
FORMATS = {"int4_wo": "int4", "w4a16_mxfp4": "mxfp4"}
INFERENCE_SIM = {
    "repository": "inference-sim",
    "branch": "stepml-experiments",
    "commit": "9293b227",
    "licence": "Apache-2.0",
}

# m of serving and of prefill chunks. Eight upstream shapes also have every m +- 1 around tile borders: a study of tile
# quantisation, which no step-time model here resolves.
GEMM_M = {1, 2, 4, 8, 16, 32, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024, 2048, 4096, 8192, 16384}
CONTEXT_SEQ = {1, 16, 32, 64, 128, 256, 512, 1024, 1536, 2048, 4096, 8192, 16384, 32768}
FP8_KV_BATCH = {1, 4, 16, 64, 256, 1024}
MAX_TP = 8  # of one node, tensor- and expert-parallel alike


class Selection:
    """Counts what is left out, by reason, so that the manifest can say it."""

    def __init__(self):
        self.left_out = {}

    def keep(self, row_is_wanted: bool, reason: str) -> bool:
        if not row_is_wanted:
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
        return row_is_wanted


def check_possible(fraction: float, flag: str, what: str) -> None:
    if fraction > kt.IMPOSSIBLE and not flag:
        raise kt.TableError(f"{what}: {fraction:.3f} of the peak (check units, dtype and GPU, or flag the row upstream)")


def import_gemm(rows, gpu, selection, path):
    kt.require_columns(rows, ["dtype", "m", "n", "k", "latency_us", "source", "flag"], path)
    out = []
    for line, row in enumerate(rows, start=2):
        m, n, k = (int(row[c]) for c in "mnk")
        if not selection.keep(m in GEMM_M, "m off the ladder 1 ... 16384 (tile-border study of eight shapes; 1536, 3072, 32768)"):
            continue
        dtype = FORMATS.get(row["dtype"], row["dtype"])
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        mfu = kt.gemm_flops(m, n, k) / gpu.flops_per_us(dtype) / t
        streaming = kt.gemm_weight_bytes(n, k, dtype) / gpu.bytes_per_us / t
        check_possible(mfu, "", f"{path}:{line}")
        check_possible(streaming, row["flag"], f"{path}:{line}")
        out.append({
            "dtype": dtype, "m": m, "n": n, "k": k, "latency_us": row["latency_us"], "mfu": kt.short(mfu),
            "achieved_fraction": kt.short(max(mfu, streaming)), "flag": row["flag"], "engine": row["source"],
        })  # fmt: skip
    return sorted(out, key=lambda r: (r["dtype"], r["n"], r["k"], r["m"], r["engine"]))


def import_context_attention(rows, gpu, selection, path, engine):
    columns = ["dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "latency_us", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        batch, seq, kv, heads, kv_heads, dim = (
            int(row[c]) for c in ("batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim")
        )
        if not selection.keep(seq in CONTEXT_SEQ, "lengths 3072, 6144, 10240, 12288 (neighbours bracket them)"):
            continue
        if not selection.keep(row["kv_dtype"] == "bf16" or batch in FP8_KV_BATCH, "fp8 KV: every other batch size"):
            continue
        window = int(row.get("window") or 0)
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        # Against the bf16 peak for an fp8 cache too: dtype says what is computed, kv_dtype what is stored.
        mfu = kt.context_flops(batch, seq, kv, heads, dim, window) / gpu.flops_per_us(row["dtype"]) / t
        traffic = kt.context_bytes(batch, seq, kv, heads, kv_heads, dim, row["kv_dtype"]) / gpu.bytes_per_us / t
        check_possible(mfu, "", f"{path}:{line}")
        check_possible(traffic, row["flag"], f"{path}:{line}")
        out.append({
            "dtype": row["dtype"], "kv_dtype": row["kv_dtype"], "batch": batch, "seq_len": seq, "kv_len": kv,
            "heads": heads, "kv_heads": kv_heads, "head_dim": dim, "window": window, "latency_us": row["latency_us"],
            "mfu": kt.short(mfu), "achieved_fraction": kt.short(max(mfu, traffic)), "flag": row["flag"], "engine": engine,
        })  # fmt: skip
    order = ("kv_dtype", "head_dim", "window", "heads", "kv_heads", "seq_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def import_generation_attention(rows, gpu, selection, path, engine):
    columns = ["dtype", "kv_dtype", "batch", "kv_len", "heads", "kv_heads", "head_dim", "latency_us", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        batch, kv, heads, kv_heads, dim = (int(row[c]) for c in ("batch", "kv_len", "heads", "kv_heads", "head_dim"))
        if not selection.keep(row["kv_dtype"] == "bf16" or batch in FP8_KV_BATCH, "fp8 KV: every other batch size"):
            continue
        window = int(row.get("window") or 0)
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        read = min(kv, window) if window else kv
        share = kt.kv_bytes(batch, read, kv_heads, dim, row["kv_dtype"]) / gpu.bytes_per_us / t
        check_possible(share, row["flag"], f"{path}:{line}")
        out.append({
            "dtype": row["dtype"], "kv_dtype": row["kv_dtype"], "batch": batch, "kv_len": kv, "heads": heads,
            "kv_heads": kv_heads, "head_dim": dim, "window": window, "latency_us": row["latency_us"],
            "achieved_fraction": kt.short(share), "flag": row["flag"], "engine": engine,
        })  # fmt: skip
    order = ("kv_dtype", "head_dim", "window", "heads", "kv_heads", "kv_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def version_key(engine: str):
    return [int(part) for part in re.findall(r"\d+", engine)]


def import_allreduce(rows, gpu, selection, path):
    kt.require_columns(rows, ["kind", "mode", "version", "ranks", "bytes", "dtype", "latency_us", "flag"], path)
    rows = [row for row in rows if row.get("op", "all_reduce") == "all_reduce"]
    newest = {}
    for row in rows:
        newest[row["kind"]] = max(newest.get(row["kind"], row["version"]), row["version"], key=version_key)
    runs = {}
    for line, row in enumerate(rows, start=2):
        if not selection.keep(row["dtype"] != "int8", "int8 messages (engines reduce 16-bit activations)"):
            continue
        is_newest = row["version"] == newest[row["kind"]]
        if not selection.keep(row["kind"] == "custom" or is_newest, "NCCL versions but the newest"):
            continue
        # Releases differ in where they change the algorithm, which only the kernel itself shows.
        if not selection.keep(row["mode"] != "eager" or is_newest, "launches without a graph of older releases"):
            continue
        mode = row["mode"] or "nccl-tests"
        key = (row["kind"], mode, row["dtype"], int(row["ranks"]), int(row["bytes"]), row["version"])
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        runs.setdefault(key, []).append((t, row["flag"]))
    out = []
    for key in sorted(runs, key=lambda k: (k[0], k[1], k[5], k[3], k[4])):
        kind, mode, dtype, ranks, size, version = key
        t = kt.median([run[0] for run in runs[key]])
        flag = next((run[1] for run in runs[key] if run[1]), "")
        share = kt.bus_bytes(ranks, size) / gpu.link_bytes_per_us / t
        # The upstream flag allows 2 %; a median of repeats may cross that border on its own.
        if share > 1.0 and not flag:
            flag = "over_link" if share > kt.IMPOSSIBLE else ""
        out.append({
            "kind": kind, "mode": mode, "dtype": dtype, "ranks": ranks, "bytes": size, "latency_us": f"{t:.6g}",
            "repeats": len(runs[key]), "achieved_fraction": kt.short(share), "flag": flag, "engine": version,
        })  # fmt: skip
    return out


def import_moe(rows, gpu, selection, path, engine):
    columns = ["dtype", "num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "distribution", "latency_us", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        tokens, hidden, inter, topk, experts, tp, ep = (
            int(row[c]) for c in ("num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep")
        )
        if not selection.keep(tp * ep <= MAX_TP, "more than 8 GPUs"):
            continue
        dtype = FORMATS.get(row["dtype"], row["dtype"])
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        # One rank of ep holds its share of the experts and computes its share of the (token, expert) pairs.
        mfu = kt.moe_flops(tokens, hidden, inter, topk, tp * ep) / gpu.flops_per_us(dtype) / t
        check_possible(mfu, row["flag"], f"{path}:{line}")
        balanced = row["distribution"] == "balanced"
        achieved = ""
        if balanced:
            touched = kt.distinct_experts_balanced(tokens, topk, experts) / ep
            streaming = touched * kt.moe_expert_bytes(hidden, inter, tp, dtype) / gpu.bytes_per_us / t
            # With few tokens rank 0 of an expert-parallel group may hold fewer of the touched experts than its share.
            if ep == 1 or tokens * topk >= 4 * experts:
                check_possible(streaming, row["flag"], f"{path}:{line}")
                achieved = kt.short(max(mfu, streaming))
        out.append({
            "dtype": dtype, "num_tokens": tokens, "hidden": hidden, "inter": inter, "topk": topk,
            "experts": experts, "tp": tp, "ep": ep, "distribution": row["distribution"],
            "latency_us": row["latency_us"], "mfu": kt.short(mfu) if balanced or ep == 1 else "", "achieved_fraction": achieved,
            "kernel": row.get("kernel", ""), "flag": row["flag"], "engine": engine,
        })  # fmt: skip
    order = ("dtype", "hidden", "inter", "experts", "distribution", "tp", "ep", "num_tokens")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def import_mla_context(rows, gpu, selection, path, engine):
    columns = ["dtype", "compute_dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "latency_us", "source", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        if not selection.keep(int(row["seq_len"]) in CONTEXT_SEQ, "lengths 10240, 12288 (neighbours bracket them)"):
            continue
        kt.positive(row["latency_us"], "latency_us", path, line)
        out.append({
            **{c: row[c] for c in ("dtype", "compute_dtype", "kv_dtype", "latency_us", "flag")},
            **{c: int(row[c]) for c in ("batch", "seq_len", "kv_len", "heads")}, "kernel": row["source"], "engine": engine,
        })  # fmt: skip
    order = ("dtype", "compute_dtype", "kv_dtype", "heads", "seq_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def import_mla_generation(rows, gpu, selection, path, engine):
    kt.require_columns(rows, ["dtype", "kv_dtype", "batch", "kv_len", "heads", "latency_us", "source", "flag"], path)
    out = []
    for line, row in enumerate(rows, start=2):
        batch, kv_len = int(row["batch"]), int(row["kv_len"])
        # The latents of one layer: 576 values a token.
        latents = batch * kv_len * 576 * kt.element_bytes(row["kv_dtype"])
        t = kt.positive(row["latency_us"], "latency_us", path, line)
        check_possible(latents / gpu.bytes_per_us / t, row["flag"], f"{path}:{line}")
        out.append({
            **{c: row[c] for c in ("dtype", "kv_dtype", "latency_us", "flag")},
            "batch": batch, "kv_len": kv_len, "heads": int(row["heads"]), "kernel": row["source"], "engine": engine,
        })  # fmt: skip
    order = ("dtype", "kv_dtype", "heads", "kv_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


# Kernels that one step of an operator runs one after the other, by our names.
LINEAR_PARTS = {
    ("gdn", "context"): {"causal_conv1d_fn": "convolution", "chunk_flashinfer": "recurrence"},
    ("gdn", "generation"): {"causal_conv1d_update": "convolution", "recurrent_packed_decode": "recurrence"},
    ("kda", "context"): {"causal_conv1d_fn_qkv3": "convolution", "flashkda_fwd": "recurrence"},
    ("kda", "generation"): {"fused_kda_decode": "whole"},
}


def import_linear_attention(rows, gpu, selection, path, engine):
    columns = ["op", "phase", "kernel", "batch", "seq_len", "k_heads", "v_heads", "k_dim", "v_dim", "latency_us", "source", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        part = LINEAR_PARTS.get((row["op"], row["phase"]), {}).get(row["kernel"])
        if not selection.keep(part is not None, "verification of speculated tokens; kernels that a fused one replaces"):
            continue
        kt.positive(row["latency_us"], "latency_us", path, line)
        out.append({
            **{c: row[c] for c in ("op", "phase", "latency_us", "flag")}, "part": part,
            **{c: int(row[c]) for c in ("batch", "seq_len", "k_heads", "v_heads", "k_dim", "v_dim")}, "engine": row["source"],
        })  # fmt: skip
    order = ("op", "phase", "part", "k_heads", "v_heads", "seq_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def import_sparse_attention(rows, gpu, selection, path, engine):
    columns = ["op", "model", "phase", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "tp", "latency_us", "kernel", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        kt.positive(row["latency_us"], "latency_us", path, line)
        out.append({
            **{c: row[c] for c in ("op", "model", "phase", "kv_dtype", "latency_us", "kernel", "flag")},
            **{c: int(row[c]) for c in ("batch", "seq_len", "kv_len", "heads", "tp")}, "engine": engine,
        })  # fmt: skip
    order = ("op", "model", "phase", "kv_dtype", "heads", "tp", "seq_len", "kv_len", "batch")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def import_collective(rows, gpu, selection, path):
    kt.require_columns(rows, ["op", "kind", "version", "ranks", "bytes", "dtype", "latency_us", "repeats", "flag"], path)
    rows = [row for row in rows if row["op"] != "all_reduce"]
    newest = max((row["version"] for row in rows), key=version_key)
    out = []
    for line, row in enumerate(rows, start=2):
        if not selection.keep(row["version"] == newest, "NCCL versions but the newest"):
            continue
        if not selection.keep(row["dtype"] != "int8", "int8 messages (they take what 16-bit ones of equal bytes take)"):
            continue
        kt.positive(row["latency_us"], "latency_us", path, line)
        out.append({
            **{c: row[c] for c in ("op", "dtype", "latency_us", "repeats", "flag")},
            **{c: int(row[c]) for c in ("ranks", "bytes")}, "engine": row["version"],
        })  # fmt: skip
    return sorted(out, key=lambda r: (r["op"], r["ranks"], r["bytes"]))


# DeepEP's kernels by upstream's names, and how many GPUs a node has there.
EXCHANGE_KINDS = {"ll": "low_latency", "normal": "high_throughput"}
GPUS_PER_NODE = 8
# Streaming multiprocessors that vLLM's DeepEPAll2AllManagerBase gives the high-throughput kernels; the others set none (0).
EXCHANGE_SMS = (0, 20)


def import_expert_exchange(rows, gpu, selection, path):
    columns = ["kind", "op", "nodes", "num_tokens", "hidden", "topk", "experts", "sms", "latency_us", "source", "flag"]
    kt.require_columns(rows, columns, path)
    out = []
    for line, row in enumerate(rows, start=2):
        kt.positive(row["latency_us"], "latency_us", path, line)
        if not selection.keep(int(row["sms"]) in EXCHANGE_SMS, "other shares of the GPU than the 20 multiprocessors that vLLM takes"):
            continue
        if not selection.keep(int(row["num_tokens"]) <= 16384, "more tokens of a rank than a step has (above 16384)"):
            continue
        out.append({
            "kind": EXCHANGE_KINDS[row["kind"]], "ranks": GPUS_PER_NODE * int(row["nodes"]),
            **{c: row[c] for c in ("op", "latency_us", "flag")},
            **{c: int(row[c]) for c in ("num_tokens", "hidden", "topk", "experts")}, "engine": row["source"],
        })  # fmt: skip
    order = ("kind", "op", "ranks", "hidden", "topk", "experts", "num_tokens")
    return sorted(out, key=lambda r: tuple(r[c] for c in order))


def single_engine(rows, path) -> str:
    engines = sorted({row["source"] for row in rows})
    if len(engines) != 1:
        raise kt.TableError(f"{path}: several engines ({', '.join(engines)}); attention and MoE files do not name theirs")
    return engines[0]


def implied_peak_tflops(work_per_us_over_mfu) -> float:
    return kt.median(work_per_us_over_mfu) / 1e6


def import_legacy_gemm(rows, gpu, path):
    """The table names no dtype. Its mfu column was divided by 1979 TFLOP/s and half of its rows exceed the bf16 peak: FP8."""
    kt.require_columns(rows, ["m", "k", "n", "latency_us", "mfu"], path)
    shapes = [(int(r["m"]), int(r["n"]), int(r["k"]), float(r["latency_us"]), float(r["mfu"])) for r in rows]
    peak = implied_peak_tflops([kt.gemm_flops(m, n, k) / t / mfu for m, n, k, t, mfu in shapes if mfu >= 0.05])
    if abs(peak / gpu.fp8_tflops - 1.0) > 0.01:
        raise kt.TableError(f"{path}: mfu was divided by {peak:.0f} TFLOP/s, not by the FP8 peak (state the dtype instead)")
    fastest = max(kt.gemm_flops(m, n, k) / t / 1e6 for m, n, k, t, _ in shapes)
    if fastest <= gpu.bf16_tflops:
        raise kt.TableError(f"{path}: no row exceeds the bf16 peak, so FP8 is not proven (state the dtype instead)")
    out = []
    for row, (m, n, k, t, _) in zip(rows, shapes):
        mfu = kt.gemm_flops(m, n, k) / gpu.flops_per_us("fp8") / t
        streaming = kt.gemm_weight_bytes(n, k, "fp8") / gpu.bytes_per_us / t
        # Small repeated operands stay in L2 in this benchmark, and nothing in it says so row by row.
        flag = "over_bw_l2" if streaming > kt.IMPOSSIBLE else ""
        check_possible(mfu, "", f"{path} m={m} n={n} k={k}")
        out.append({
            "dtype": "fp8", "m": m, "n": n, "k": k, "latency_us": row["latency_us"], "mfu": kt.short(mfu),
            "achieved_fraction": kt.short(max(mfu, streaming)), "flag": flag, "engine": "unknown",
        })  # fmt: skip
    return sorted(out, key=lambda r: (r["n"], r["k"], r["m"]))


HEADS = re.compile(r"^(\d+)-(\d+)-(\d+)(?:-tp(\d+))?\.csv$")


def legacy_shape(name: str):
    match = HEADS.match(name)
    if match is None:
        raise kt.TableError(f"{name}: not <heads>-<kv_heads>-<head_dim>[-tp<N>].csv")
    return tuple(int(group) if group else 1 for group in match.groups())


def import_legacy_context(files, gpu):
    out = []
    for path, rows in files:
        heads, kv_heads, dim, _ = legacy_shape(os.path.basename(path))
        kt.require_columns(rows, ["dtype", "seq_len", "latency_us", "mfu"], path)
        for line, row in enumerate(rows, start=2):
            seq = int(row["seq_len"])
            t = kt.positive(row["latency_us"], "latency_us", path, line)
            mfu = kt.context_flops(1, seq, seq, heads, dim) / gpu.flops_per_us(row["dtype"]) / t
            traffic = kt.context_bytes(1, seq, seq, heads, kv_heads, dim, row["dtype"]) / gpu.bytes_per_us / t
            check_possible(mfu, "", f"{path}:{line}")
            out.append({
                "dtype": row["dtype"], "kv_dtype": row["dtype"], "batch": 1, "seq_len": seq, "kv_len": seq,
                "heads": heads, "kv_heads": kv_heads, "head_dim": dim, "window": 0, "latency_us": row["latency_us"],
                "mfu": kt.short(mfu), "achieved_fraction": kt.short(max(mfu, traffic)), "flag": "", "engine": "unknown",
            })  # fmt: skip
    return sorted(out, key=lambda r: (r["heads"], r["kv_heads"], r["seq_len"]))


def import_legacy_generation(files, gpu):
    out = []
    for path, rows in files:
        heads, kv_heads, dim, tp = legacy_shape(os.path.basename(path))
        kt.require_columns(rows, ["dtype", "kv_dtype", "batch_size", "kv_len", "latency_us"], path)
        # The file name holds the model's heads; the kernel ran on one rank's share. Proof: with the whole model's heads
        # the best row of every tp = N file would stream N x 3.2 TB/s.
        heads, kv_heads = heads // tp, max(1, kv_heads // tp)
        for line, row in enumerate(rows, start=2):
            batch, kv = int(row["batch_size"]), int(row["kv_len"])
            t = kt.positive(row["latency_us"], "latency_us", path, line)
            share = kt.kv_bytes(batch, kv, kv_heads, dim, row["kv_dtype"]) / gpu.bytes_per_us / t
            check_possible(share, "", f"{path}:{line}")
            out.append({
                "dtype": row["dtype"], "kv_dtype": row["kv_dtype"], "batch": batch, "kv_len": kv, "heads": heads,
                "kv_heads": kv_heads, "head_dim": dim, "window": 0, "latency_us": row["latency_us"],
                "achieved_fraction": kt.short(share), "flag": "", "engine": "unknown",
            })  # fmt: skip
    return sorted(out, key=lambda r: (r["heads"], r["kv_heads"], r["kv_len"], r["batch"]))


def input_digest(paths) -> str:
    whole = b""
    for path in paths:
        with open(path, "rb") as file:
            whole += file.read()
    return kt.sha256(whole)


def write_table(out_dir, relative, columns, rows, entry, manifest):
    data = kt.to_csv(columns, rows)
    target = os.path.join(out_dir, relative)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(data)
    manifest["files"].append({"file": relative, "rows": len(rows), "sha256": kt.sha256(data), **entry})


def import_gpu(kernels_dir, gpu, out_dir, manifest):
    folder = os.path.join(kernels_dir, gpu.upstream)
    gemm_path = os.path.join(folder, "gemm.csv")
    engine = single_engine(kt.read_rows(gemm_path), gemm_path)
    importers = {
        "gemm": lambda rows, s, p: import_gemm(rows, gpu, s, p),
        "context_attention": lambda rows, s, p: import_context_attention(rows, gpu, s, p, engine),
        "generation_attention": lambda rows, s, p: import_generation_attention(rows, gpu, s, p, engine),
        "allreduce": lambda rows, s, p: import_allreduce(rows, gpu, s, p),
        "moe": lambda rows, s, p: import_moe(rows, gpu, s, p, engine),
        "mla_context": lambda rows, s, p: import_mla_context(rows, gpu, s, p, engine),
        "mla_generation": lambda rows, s, p: import_mla_generation(rows, gpu, s, p, engine),
        "linear_attention": lambda rows, s, p: import_linear_attention(rows, gpu, s, p, engine),
        "sparse_attention": lambda rows, s, p: import_sparse_attention(rows, gpu, s, p, engine),
        "collective": lambda rows, s, p: import_collective(rows, gpu, s, p),
        "expert_exchange": lambda rows, s, p: import_expert_exchange(rows, gpu, s, p),
    }
    for table, importer in importers.items():
        paths = [os.path.join(folder, name + ".csv") for name in INPUTS[table]]
        paths = [path for path in paths if os.path.exists(path)]
        if table == "allreduce" and len(paths) == 2:
            # A GPU whose all-reduce has a file of its own keeps other collectives in the second one.
            paths = paths[:1]
        if not paths:
            continue
        rows = [row for path in paths for row in kt.read_rows(path)]
        selection = Selection()
        result = importer(rows, selection, " + ".join(paths))
        if not result:
            continue
        entry = {
            "gpu": gpu.name,
            "engines": sorted({row["engine"] for row in result}),
            "source": {**AICONFIGURATOR, "path": AICONFIGURATOR_PATH.format(gpu=gpu.upstream, table=UPSTREAM_TABLE[table])},
            "input": {"rows": len(rows), "sha256": input_digest(paths)},
            "left_out": [{"reason": reason, "rows": count} for reason, count in selection.left_out.items()],
        }
        write_table(out_dir, f"{gpu.folder}/{table}.csv", kt.SCHEMA[table], result, entry, manifest)


def import_legacy(legacy_dir, out_dir, manifest):
    gpu = next(g for g in kt.GPUS if g.folder == "h100")

    def listing(*parts):
        folder = os.path.join(legacy_dir, *parts)
        return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith(".csv")]

    gemm_paths = [os.path.join(legacy_dir, "gemm", "h100", "data.csv")]
    context_paths = listing("mha", "prefill", "h100")
    generation_paths = listing("mha", "decode", "h100")
    tables = [
        ("gemm", gemm_paths, lambda: import_legacy_gemm(kt.read_rows(gemm_paths[0]), gpu, gemm_paths[0]), "gemm/h100/data.csv",
         "dtype fp8 is inferred: the mfu column was divided by 1979 TFLOP/s and rows run above the bf16 peak"),
        ("context_attention", context_paths, lambda: import_legacy_context([(p, kt.read_rows(p)) for p in context_paths], gpu),
         "mha/prefill/h100/*.csv", "one sequence; mfu recomputed with causal FLOPs"),
        ("generation_attention", generation_paths,
         lambda: import_legacy_generation([(p, kt.read_rows(p)) for p in generation_paths], gpu),
         "mha/decode/h100/*.csv", "heads and kv_heads are one rank's share (upstream names the model's heads and the tp)"),
    ]  # fmt: skip
    for table, paths, run, source_path, note in tables:
        entry = {
            "gpu": gpu.name,
            "engines": ["unknown"],
            "source": {**INFERENCE_SIM, "path": "bench_data/" + source_path},
            "input": {"rows": sum(len(kt.read_rows(p)) for p in paths), "sha256": input_digest(paths)},
            "left_out": [],
            "note": note,
        }
        write_table(out_dir, f"h100/legacy_{table}.csv", kt.SCHEMA[table], run(), entry, manifest)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kernels", required=True, help="folder of upstream kernel tables, one folder per GPU")
    parser.add_argument("--legacy", required=True, help="folder of the Go family's gemm/ and mha/ tables")
    parser.add_argument("--out", required=True, help="bench_data folder to write")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="date of import for the manifest")
    options = parser.parse_args(argv)
    manifest = {
        "schema": "rooftune/kernel-manifest/1",
        "imported": options.date,
        "importer": "scripts/import/import_kernels.py",
        "files": [],
        "not_imported": [
            {"what": "all-reduce profiles of microsoft/vidur (MIT)",
             "why": "below 1 MB they show timer noise and rank skew; above it the NCCL rows say the same"},
            {"what": "per-experiment kernel profiles interpolated by aiconfigurator",
             "why": "interpolations of the same measurements, with a wrong layer split for Llama-4-Scout"},
            {"what": "MLA batched products, FP8 quantisation kernels",
             "why": "no operator uses them: the products are part of the MLA rows, quantisation is part of the GEMM rows"},
        ],
    }  # fmt: skip
    try:
        for gpu in kt.GPUS:
            import_gpu(options.kernels, gpu, options.out, manifest)
        import_legacy(options.legacy, options.out, manifest)
    except (kt.TableError, OSError, KeyError) as error:
        print(f"import_kernels: error: {error}", file=sys.stderr)
        return 1
    with open(os.path.join(options.out, "manifest.json"), "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        file.write("\n")
    for entry in manifest["files"]:
        print(f"{entry['file']}: {entry['rows']} rows of {entry['input']['rows']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
