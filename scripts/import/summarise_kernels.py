#!/usr/bin/env python3
"""Condenses the tables of bench_data/ into bench_data/efficiency.json: what share of its data sheet each GPU's kernels reach.

    summarise_kernels.py bench_data [--out FILE]

docs/kernel_data.md defines every number. Deterministic: the same tables give the same bytes.
"""

import argparse
import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_forms as kf  # noqa: E402
import kernel_tables as kt  # noqa: E402
import operator_summary  # noqa: E402

LARGE_SHAPE = 2**25  # n*k of a "large" GEMM: 64 MB of bf16 weights
EXPERTS_COMPUTE = (512, 8192)  # tokens of a step in which experts' products are more than their weights' stream
MIN_FIT_WEIGHTS = 16e6  # bytes; smaller layers are all launch and tail
REFERENCE = "H100-SXM"
SHARED_PNORM = 2.5  # the exponent is shared by all GPUs in rooftune; docs/kernel_data.md shows what that costs

# Shares of peak on one engine version, vLLM 0.14.0, from the full upstream tables (aiconfigurator 095f58a): the A100 tables
# that bench_data ships are 0.14.0, the H100 tables are 0.24.0, so these alone compare the two GPUs fairly.
SAME_VERSION = {
    "engine": "vllm-0.14.0",
    "source": "computed from the full upstream tables of aiconfigurator 095f58a; H100 tables of 0.14.0 are not shipped",
    "H100-SXM": {"decode_attention": 0.865, "weights": 0.853, "gemm_compute": 0.837, "gemm_m_256_512": 0.694,
                 "context_attention": 0.517},
    "A100-SXM": {"decode_attention": 0.738, "weights": 0.702, "gemm_compute": 0.881, "gemm_m_256_512": 0.694,
                 "context_attention": 0.538},
}  # fmt: skip


def rounded(value, digits=4):
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    return value


def integers(row, *columns):
    return tuple(int(row[column]) for column in columns)


def is_common(row):
    """Heads of 128 and no window: what most models have, so that GPUs are compared on equal shapes."""
    return row["head_dim"] == "128" and row["window"] == "0"


def spread(values):
    return {"median": kt.median(values), "q10": kt.quantile(values, 0.1), "q90": kt.quantile(values, 0.9)}


def ape(fit, bands):
    return {
        name: {"median": fit.ape_percent(0.5, select), "q90": fit.ape_percent(0.9, select), "rows": sum(select)}
        for name, select in bands.items()
        if any(select)
    }


def gemm_rows(tables, gpu, dtype):
    """(m, n, k, compute_us, weights_us, t): rooflines at data-sheet peaks; rows served from L2 left out."""
    out = []
    for row in tables["gemm"]:
        if row["dtype"] != dtype or row["flag"]:
            continue
        m, n, k = integers(row, "m", "n", "k")
        out.append((
            m, n, k,
            kt.gemm_flops(m, n, k) / gpu.flops_per_us(dtype),
            kt.gemm_weight_bytes(n, k, dtype) / gpu.bytes_per_us,
            float(row["latency_us"]),
        ))  # fmt: skip
    return out


def gemm_fit_rows(rows, gpu, dtype):
    """The benchmark turns six weight copies: they must not fit into L2 twice over, or L2 serves part of them."""
    least = max(MIN_FIT_WEIGHTS, gpu.l2_mb * 1e6 / 3.0)
    return [r for r in rows if kt.gemm_weight_bytes(r[1], r[2], dtype) >= least and r[0] <= 8192]


def gemm_bands(samples):
    return {
        "m<=128": [s[0] <= 128 for s in samples],
        "m>128": [s[0] > 128 for s in samples],
        "m<=256": [s[0] <= 256 for s in samples],
    }


def fit_gemm(rows, form_name="call + p-norm", **fixed):
    """Fits the form's parameters but those that are `fixed`."""
    samples = [(m, compute, weights) for m, _, _, compute, weights, _ in rows]
    measured = [r[5] for r in rows]
    form, start = kf.GEMM_FORMS[form_name]
    upper = {"gemm_fraction": 1.0, "weight_bandwidth_fraction": 1.0, "pnorm": 50.0}
    start = {name: value for name, value in start.items() if name not in fixed}
    return kf.fit(lambda p, s: form({**p, **fixed}, s), samples, measured, start, upper), samples


def summarise_gemm(tables, gpu, dtype):
    rows = gemm_rows(tables, gpu, dtype)
    if not rows:
        return None
    large = [r for r in rows if r[1] * r[2] >= LARGE_SHAPE]
    curve = []
    for m in sorted({r[0] for r in large if r[0] <= 8192}):
        at_m = [r for r in large if r[0] == m]
        curve.append({
            "m": m, "shapes": len(at_m),
            "time_over_roofline": spread([t / max(c, w) for _, _, _, c, w, t in at_m]),
            "flop_fraction": kt.median([c / t for _, _, _, c, _, t in at_m]),
            "weight_bandwidth_fraction": kt.median([w / t for _, _, _, _, w, t in at_m]),
        })  # fmt: skip
    free, samples = fit_gemm(gemm_fit_rows(rows, gpu, dtype))
    shared, _ = fit_gemm(gemm_fit_rows(rows, gpu, dtype), pnorm=SHARED_PNORM)
    bands = gemm_bands(samples)
    return {
        "curve": curve,
        "weight_streaming_fraction": spread([w / t for m, n, k, _, w, t in large if m <= 16]),
        "fit": {"form": "call_us + pnorm(2mnk/(F gemm_fraction), nk bytes/(W weight_bandwidth_fraction))",
                **free.parameters, "ape_percent": ape(free, bands)},
        "fit_shared_pnorm": {**shared.parameters, "pnorm": SHARED_PNORM, "log_spread": shared.log_spread(),
                             "ape_percent": ape(shared, bands)},
    }  # fmt: skip


def generation_rows(tables, gpu, kv_dtype):
    """(batch, kv_len, heads, kv_heads, bytes, roofline_us, t)"""
    out = []
    for row in tables["generation_attention"]:
        if row["kv_dtype"] != kv_dtype or row["flag"] or not is_common(row):
            continue
        batch, kv_len, heads, kv_heads, dim = integers(row, "batch", "kv_len", "heads", "kv_heads", "head_dim")
        size = kt.kv_bytes(batch, kv_len, kv_heads, dim, kv_dtype)
        out.append((batch, kv_len, heads, kv_heads, size, size / gpu.bytes_per_us, float(row["latency_us"])))
    return out


def call_plus_share(p, s):
    return p["call_us"] + s[0] / p["fraction"]


def summarise_generation(tables, gpu, kv_dtype):
    rows = generation_rows(tables, gpu, kv_dtype)
    if not rows:
        return None
    curve = []
    for exponent in range(20, 34, 2):
        for batch in (1, 4, 16, 64, 256):
            cell = [r for r in rows if r[0] == batch and 2**exponent <= r[4] < 2 ** (exponent + 2)]
            if cell:
                curve.append({
                    "kv_bytes_from": 2**exponent, "kv_bytes_below": 2 ** (exponent + 2), "batch": batch, "rows": len(cell),
                    "kv_bandwidth_fraction": kt.median([r[5] / r[6] for r in cell]),
                    "latency_us": kt.median([r[6] for r in cell]),
                })  # fmt: skip
    # Fewer than 16 (sequence, KV head) pairs leave most of the GPU idle where the kernel does not split long sequences;
    # a cache near the L2's size is partly served from it, which in serving it never is: weights pass in between.
    l2 = gpu.l2_mb * 1e6
    fitted = [r for r in rows if r[0] <= 256 and 64 <= r[1] <= 32768 and r[0] * r[3] >= 16 and not l2 / 32 <= r[4] < 2 * l2]
    fit = kf.fit(call_plus_share, [(r[5],) for r in fitted], [r[6] for r in fitted], {"call_us": 10.0, "fraction": 0.8},
                 {"fraction": 1.0})  # fmt: skip
    bands = {
        "kv<L2/32": [r[4] < l2 / 32 for r in fitted],
        "2..8 L2": [2 * l2 <= r[4] < 8 * l2 for r in fitted],
        ">8 L2": [r[4] >= 8 * l2 for r in fitted],
    }
    return {
        "curve": curve,
        "fit": {"form": "call_us + KV bytes/(W kv_bandwidth_fraction)", "call_us": fit.parameters["call_us"],
                "kv_bandwidth_fraction": fit.parameters["fraction"], "log_spread": fit.log_spread(),
                "ape_percent": ape(fit, bands)},
    }  # fmt: skip


def context_rows(tables, gpu, kv_dtype):
    """(batch, seq_len, heads, kv_heads, flops_us, bytes_us, t)"""
    out = []
    for row in tables["context_attention"]:
        if row["kv_dtype"] != kv_dtype or row["flag"] or not is_common(row):
            continue
        batch, seq, kv, heads, kv_heads, dim = integers(
            row, "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim"
        )
        flops = kt.context_flops(batch, seq, kv, heads, dim) / gpu.flops_per_us(row["dtype"])
        traffic = kt.context_bytes(batch, seq, kv, heads, kv_heads, dim, kv_dtype) / gpu.bytes_per_us
        out.append((batch, seq, heads, kv_heads, flops, traffic, float(row["latency_us"])))
    return out


def context_form(p, s):
    return p["call_us"] + s[0] / p["flop_fraction"] + s[1] / p["io_fraction"]


def summarise_context(tables, gpu, kv_dtype):
    rows = context_rows(tables, gpu, kv_dtype)
    if not rows:
        return None
    curve = []
    for seq in sorted({r[1] for r in rows if r[1] >= 64}):
        # Enough work that the launch does not decide: at least 30 us at peak.
        busy = [r[4] / r[6] for r in rows if r[1] == seq and r[2] >= 8 and r[4] >= 30.0]
        if len(busy) >= 3:
            curve.append({"seq_len": seq, "rows": len(busy), "flop_fraction": spread(busy)})
    fitted = [r for r in rows if r[1] >= 64]
    fit = kf.fit(context_form, [(r[4], r[5]) for r in fitted], [r[6] for r in fitted],
                 {"call_us": 10.0, "flop_fraction": 0.5, "io_fraction": 0.5}, {"flop_fraction": 1.0})  # fmt: skip
    bands = {
        "seq<512": [r[1] < 512 for r in fitted],
        "512..2048": [512 <= r[1] <= 2048 for r in fitted],
        "seq>2048": [r[1] > 2048 for r in fitted],
    }
    return {
        "curve": curve,
        "fit": {"form": "call_us + causal FLOPs/(F flop_fraction) + (q, k, v, output bytes)/(W io_fraction)",
                **fit.parameters, "log_spread": fit.log_spread(), "ape_percent": ape(fit, bands)},
    }  # fmt: skip


def version_key(engine):
    return [int(part) for part in engine.split("-")[1].split(".")]


def summarise_allreduce(tables, gpu):
    custom = [r for r in tables["allreduce"] if r["kind"] == "custom" and r["mode"] == "graph"]
    newest = max({r["engine"] for r in custom}, key=version_key)
    out = {"engine": newest, "ranks": {}}
    for ranks in (2, 4, 8):
        rows = []
        for row in custom:
            if row["engine"] == newest and int(row["ranks"]) == ranks:
                size = int(row["bytes"])
                rows.append((size, kt.bus_bytes(ranks, size) / gpu.link_bytes_per_us, float(row["latency_us"])))
        entry = {
            "floor_us": min(r[2] for r in rows),
            "bus_fraction_largest": max(rows)[1] / max(rows)[2],
            "curve": [{"bytes": size, "latency_us": t} for size, _, t in sorted(rows)],
        }
        # Up to 4 MB vLLM's own kernel runs, above it NCCL: one line through both is a compromise that one pair of
        # parameters needs, the two parts are what happens.
        for name, low, high in (("8KB..32MB", 8192, 2**25), ("8KB..4MB", 8192, 2**22), ("8MB..128MB", 2**23, 2**27)):
            part = [r for r in rows if low <= r[0] <= high]
            fit = kf.fit(call_plus_share, [(r[1],) for r in part], [r[2] for r in part], {"call_us": 5.0, "fraction": 0.5})
            entry[name] = {
                "latency_us": fit.parameters["call_us"], "fraction": fit.parameters["fraction"],
                "log_spread": fit.log_spread(),
                "ape_percent": {"median": fit.ape_percent(0.5), "max": fit.ape_percent(1.0)},
            }  # fmt: skip
        out["ranks"][str(ranks)] = entry
    return out


SCOUT_HIDDEN = 5120
FEW_EXPERTS = 16  # Mixtral and Scout: layers of many small experts are summarised one by one (operator_summary.py)


def moe_rows(tables, gpu, dtype, distribution):
    """(tokens, hidden, tp, experts_per_token/experts, streaming_us of the touched experts, t)"""
    out = []
    # Blackwell Ultra has no rows of few large experts.
    has_few = any(int(row["experts"]) <= FEW_EXPERTS for row in tables["moe"])
    for row in tables["moe"]:
        if row["dtype"] != dtype or row["distribution"] != distribution or row["flag"] or row["ep"] != "1":
            continue
        if has_few and int(row["experts"]) > FEW_EXPERTS:
            continue
        tokens, hidden, inter, topk, experts, tp = integers(row, "num_tokens", "hidden", "inter", "topk", "experts", "tp")
        if distribution == "balanced":
            touched = kt.distinct_experts_balanced(tokens, topk, experts)
        else:
            touched = kt.distinct_experts_uniform(tokens, topk, experts)
        streaming = touched * kt.moe_expert_bytes(hidden, inter, tp, dtype) / gpu.bytes_per_us
        out.append((tokens, hidden, tp, topk / experts, streaming, float(row["latency_us"])))
    return out


def routing_correlation(tables, gpu):
    """rho of E (1 - (1 - k/E)^(rho n)) for skewed routing: how many experts its time pays for, read off the balanced curve."""
    curves, skewed = {}, []
    for row in tables["moe"]:
        if row["dtype"] != "bf16" or int(row["hidden"]) != SCOUT_HIDDEN or row["flag"] or row["ep"] != "1":
            continue
        point = (int(row["num_tokens"]), float(row["latency_us"]))
        if row["distribution"] == "balanced" and point[0] <= int(row["experts"]):
            curves.setdefault(row["tp"], []).append(point)
        elif row["distribution"] == "power_law_1.2" and 4 <= point[0] <= 32:
            skewed.append((row["tp"], int(row["experts"]), *point))
    rhos = []
    for tp, experts, tokens, t in skewed:
        curve = sorted(curves.get(tp, []))
        for (d0, t0), (d1, t1) in zip(curve, curve[1:]):
            if t0 <= t < t1:
                touched = d0 + (d1 - d0) * (t - t0) / (t1 - t0)
                if touched < experts:
                    rhos.append(math.log(1.0 - touched / experts) / math.log(1.0 - 1.0 / experts) / tokens)
    return spread(rhos) if len(rhos) >= 4 else None


def summarise_moe(tables, gpu, dtype):
    balanced = moe_rows(tables, gpu, dtype, "balanced")
    rows, basis = balanced, "balanced"
    if not rows:
        # Skewed routing touches fewer experts than tokens suggest: only where all are touched is the traffic known.
        rows, basis = [r for r in moe_rows(tables, gpu, dtype, "power_law_1.2") if r[0] * r[3] >= 4.0], "power_law_1.2, all touched"
    rows = [r for r in rows if r[0] <= 256 and r[2] <= 4]
    if not rows:
        return None
    fit = kf.fit(call_plus_share, [(r[4],) for r in rows], [r[5] for r in rows], {"call_us": 20.0, "fraction": 0.8})
    scout = {}
    for tokens, hidden, tp, _, streaming, t in sorted(r for r in balanced if r[1] == SCOUT_HIDDEN and r[2] <= 8):
        scout.setdefault(str(tp), []).append(
            {"tokens": tokens, "latency_us": t, "expert_bandwidth_fraction": streaming / t}
        )
    result = {
        "basis": basis,
        "fit": {"form": "call_us + touched expert bytes/(W moe_weight_bandwidth_fraction), tokens <= 256, tp <= 4",
                "call_us": fit.parameters["call_us"], "moe_weight_bandwidth_fraction": fit.parameters["fraction"],
                "log_spread": fit.log_spread(),
                "ape_percent": {"median": fit.ape_percent(0.5), "q90": fit.ape_percent(0.9)}},
    }  # fmt: skip
    if scout:
        result["scout_by_tp"] = scout
    if dtype == "bf16" and (rho := routing_correlation(tables, gpu)) is not None:
        result["routing_correlation_power_law_1.2"] = rho
    return result


def summarise_expert_products(tables, gpu, dtype, streaming):
    """The share of peak that experts' products reach in steps large enough to compute, in physics' form: streaming and the time per
    call as `streaming`, the fit of the bf16 rows, has them."""
    samples, measured = [], []
    for row in tables["moe"]:
        if row["dtype"] != dtype or row["distribution"] != "balanced" or row["flag"]:
            continue
        tokens, hidden, inter, topk, experts, tp, ep = integers(row, "num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep")
        if not EXPERTS_COMPUTE[0] <= tokens <= EXPERTS_COMPUTE[1]:
            continue
        compute_us = 2.0 * tokens * topk / ep * 3.0 * hidden * inter / tp / gpu.flops_per_us(dtype)
        touched = kt.distinct_experts_balanced(tokens, topk, experts) / ep
        weights_us = touched * kt.moe_expert_bytes(hidden, inter, tp, dtype) / gpu.bytes_per_us
        samples.append((tokens, compute_us, weights_us / streaming["moe_weight_bandwidth_fraction"]))
        measured.append(float(row["latency_us"]))
    if not samples:
        return None

    def form(p, s):
        return streaming["call_us"] + kf.pnorm(s[1] / p["gemm_fraction"], s[2], SHARED_PNORM)

    fit = kf.fit(form, samples, measured, {"gemm_fraction": 0.2})
    return {
        "form": f"call_us + pnorm(compute/gemm_fraction, streaming) with bf16's call and streaming, {EXPERTS_COMPUTE[0]} to "
                f"{EXPERTS_COMPUTE[1]} tokens",
        "gemm_fraction": fit.parameters["gemm_fraction"],
        "log_spread": fit.log_spread(),
        "rows": len(samples),
    }  # fmt: skip


def comparable_shares(tables, gpu):
    """The five shares that SAME_VERSION holds, by the same definitions, from the shipped version."""
    gemm = gemm_rows(tables, gpu, "bf16")
    square = [r for r in gemm if 4096 <= r[1] <= 16384 and 4096 <= r[2] <= 16384]
    generation = [r for r in generation_rows(tables, gpu, "bf16") if r[4] >= 512e6 and r[0] >= 8]
    context = [r for r in context_rows(tables, gpu, "bf16") if r[1] >= 2048 and 16 <= r[2] <= 64]
    return {
        "decode_attention": kt.median([r[5] / r[6] for r in generation]),
        "weights": kt.median([r[4] / r[5] for r in gemm if r[0] <= 16 and r[1] * r[2] >= LARGE_SHAPE]),
        "gemm_compute": kt.median([r[3] / r[5] for r in square if 2048 <= r[0] <= 8192]),
        "gemm_m_256_512": kt.median([r[3] / r[5] for r in square if 256 <= r[0] <= 512]),
        "context_attention": kt.median([r[4] / r[6] for r in context]),
    }


def geometric_mean(a, b):
    return (a * b) ** 0.5


def half_log_ratio(a, b):
    """Distance of either value from their geometric mean: without NVLink 2 and 4 ranks are different machines."""
    return 0.5 * abs(math.log(a / b))


def prior(value, log_spread, basis):
    # Kernels of one GPU scatter by the fit's spread; serving differs from a benchmark by more than a tight fit says.
    return {"value": value, "log_sd": max(0.05, log_spread), "basis": basis}


PREFILL_SEQ = 1024


def physics_priors(summary):
    gemm = summary["gemm"]["bf16"].get("fit_shared_call", summary["gemm"]["bf16"]["fit_shared_pnorm"])
    generation = summary["generation_attention"]["bf16"]["fit"]
    context = summary["context_attention"]["bf16"]
    at_prefill = next(c for c in context["curve"] if c["seq_len"] == PREFILL_SEQ)["flop_fraction"]
    # Messages of serving: tokens x hidden x 2 bytes, one decode of a small model to a 2048-token chunk of a large one.
    two, four = (summary["allreduce"]["ranks"][r]["8KB..32MB"] for r in ("2", "4"))
    moe = summary["moe"]["bf16"]["fit"]
    fit = "call + p-norm fit of bf16 GEMMs, m 1..8192"
    return {
        "physics.gemm_fraction": prior(gemm["gemm_fraction"], gemm["log_spread"], fit),
        "physics.weight_bandwidth_fraction": prior(gemm["weight_bandwidth_fraction"], gemm["log_spread"], fit),
        "physics.kv_bandwidth_fraction": prior(
            generation["kv_bandwidth_fraction"], generation["log_spread"], "call + bytes fit of bf16 decode attention"
        ),
        "physics.prefill_attention_fraction": prior(
            at_prefill["median"], 0.3, f"median share of peak at {PREFILL_SEQ} tokens; rises with length (see the curve)"
        ),
        "physics.pnorm": prior(SHARED_PNORM, 0.3, "one value for all GPUs; free fits give 1.6 (A100) to 3.3 (H200)"),
        "physics.allreduce_us": prior(
            geometric_mean(two["latency_us"], four["latency_us"]),
            max(two["log_spread"], four["log_spread"], half_log_ratio(two["latency_us"], four["latency_us"])),
            "vLLM all-reduce in a CUDA graph, 8 KB to 32 MB, geometric mean of 2 and 4 ranks",
        ),
        "physics.allreduce_fraction": prior(
            geometric_mean(two["fraction"], four["fraction"]),
            max(0.3, half_log_ratio(two["fraction"], four["fraction"])),
            "as allreduce_us; share of one link direction (by ranks under gpus.*.allreduce)",
        ),
        "physics.moe_weight_bandwidth_fraction": prior(
            moe["moe_weight_bandwidth_fraction"], moe["log_spread"], f"fused bf16 MoE, {summary['moe']['bf16']['basis']}"
        ),
    }


def resolved(call_us):
    """A fitted constant below half a microsecond says that the rows could not resolve it, not that calls are free."""
    return call_us if call_us >= 0.5 else None


def smallest_gemm_us(tables):
    """Weights of 2 to 8 MB come from L2 on every GPU: what is left is the kernel itself, defined alike for all of them."""
    return kt.median([float(r["latency_us"]) for r in tables["gemm"]
                      if r["dtype"] == "bf16" and int(r["m"]) <= 16
                      and 2e6 <= kt.gemm_weight_bytes(int(r["n"]), int(r["k"]), "bf16") <= 8e6])  # fmt: skip


def share_beside_calls(tables, gpu, dtype, reference):
    """The fit with the shared exponent again, where its own constant per call could not be resolved: the constant is the reference's,
    times what the smallest calls take here and there. A share fitted without it holds the calls' time as well, which a server's
    per-layer overhead holds already."""
    own_call_us = reference["gemm"]["bf16"]["fit_shared_pnorm"]["call_us"]
    call_us = own_call_us * smallest_gemm_us(tables) / reference["per_call"]["smallest_gemm_us"]
    fit, _ = fit_gemm(gemm_fit_rows(gemm_rows(tables, gpu, dtype), gpu, dtype), pnorm=SHARED_PNORM, call_us=call_us)
    return {**fit.parameters, "call_us": call_us, "pnorm": SHARED_PNORM, "log_spread": fit.log_spread()}


def per_call(tables, summary):
    """Time that every call costs whatever its size: what a per-layer overhead must cover on this GPU."""
    gemm = resolved(summary["gemm"]["bf16"]["fit_shared_pnorm"]["call_us"])
    attention = summary["generation_attention"]["bf16"]["fit"]["call_us"]
    return {
        "gemm_call_us": gemm,
        "smallest_gemm_us": smallest_gemm_us(tables),
        "generation_attention_call_us": attention,
        "context_attention_call_us": summary["context_attention"]["bf16"]["fit"]["call_us"],
        "moe_call_us": resolved(summary["moe"]["bf16"]["fit"]["call_us"]),
        # Fused QKV, output, fused gate-up, down; one attention.
        "dense_layer_us": None if gemm is None else 4.0 * gemm + attention,
    }


def summarise_gpu(folder, gpu, reference=None):
    """`reference`: what came of the reference GPU, unless this is it."""
    paths = {table: os.path.join(folder, gpu.folder, table + ".csv") for table in kt.TABLES}
    tables = {table: kt.read_rows(path) if os.path.exists(path) else [] for table, path in paths.items()}
    formats = ("bf16", "fp8")

    def each(summarise, only=formats):
        return {name: result for name in only if (result := summarise(tables, gpu, name)) is not None}

    summary = {
        "folder": gpu.folder,
        "engine": next(row["engine"] for row in tables["gemm"] if row["dtype"] == "bf16"),
        "peaks": {"bf16_tflops": gpu.bf16_tflops, "fp8_tflops": gpu.fp8_tflops, "bandwidth_tbs": gpu.bandwidth_tbs,
                  "link_gbs": gpu.link_gbs},
        "comparable_shares": comparable_shares(tables, gpu),
        "gemm": each(summarise_gemm),
        "generation_attention": each(summarise_generation),
        "context_attention": each(summarise_context),
        "allreduce": summarise_allreduce(tables, gpu),
        "moe": each(summarise_moe),
        "operators": operator_summary.summarise(tables, gpu),
    }  # fmt: skip
    streaming = summary["moe"]["bf16"]["fit"]
    summary["moe_products"] = each(
        lambda tables, gpu, dtype: summarise_expert_products(tables, gpu, dtype, streaming), ("bf16", "fp8", "fp8_block")
    )
    summary["per_call"] = per_call(tables, summary)
    if reference is not None and summary["per_call"]["gemm_call_us"] is None:
        summary["gemm"]["bf16"]["fit_shared_call"] = share_beside_calls(tables, gpu, "bf16", reference)
    return summary


def ratios(summaries, priors):
    reference = priors[REFERENCE]
    out = {}
    for name, own in priors.items():
        if name == REFERENCE:
            continue
        same = summaries[name]["engine"] == summaries[REFERENCE]["engine"]
        entry = {
            "same_engine": same,
            "priors": {key: own[key]["value"] / reference[key]["value"] for key in own},
            "per_call": {
                key: None if value is None else value / summaries[REFERENCE]["per_call"][key]
                for key, value in summaries[name]["per_call"].items()
            },
        }
        if name in SAME_VERSION:
            entry["at_" + SAME_VERSION["engine"]] = {
                key: value / SAME_VERSION[REFERENCE][key] for key, value in SAME_VERSION[name].items()
            }
        out[name] = entry
    return out


def summarise(folder):
    with open(os.path.join(folder, "manifest.json"), "rb") as file:
        manifest = file.read()
    reference = summarise_gpu(folder, next(gpu for gpu in kt.GPUS if gpu.name == REFERENCE))
    summaries = {gpu.name: reference if gpu.name == REFERENCE else summarise_gpu(folder, gpu, reference) for gpu in kt.GPUS}
    priors = {name: physics_priors(summary) for name, summary in summaries.items()}
    return rounded({
        "schema": "rooftune/kernel-efficiency/1",
        "inputs": {"manifest.json": kt.sha256(manifest)},
        "definitions": "docs/kernel_data.md",
        "reference_gpu": REFERENCE,
        "physics_priors": priors,
        "ratios_to_reference": ratios(summaries, priors),
        "same_version_shares": SAME_VERSION,
        "gpus": summaries,
    })  # fmt: skip


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_data", help="folder that import_kernels.py wrote")
    parser.add_argument("--out", help="file to write (default: efficiency.json in that folder)")
    options = parser.parse_args(argv)
    try:
        result = summarise(options.bench_data)
    except (kt.TableError, OSError, KeyError) as error:
        print(f"summarise_kernels: error: {error}", file=sys.stderr)
        return 1
    target = options.out or os.path.join(options.bench_data, "efficiency.json")
    with open(target, "w", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    for name, priors in result["physics_priors"].items():
        print(name, *(f"{key.removeprefix('physics.')} {entry['value']}" for key, entry in priors.items()), sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main())
