"""What share of a data sheet the operators of recent models reach: quantised products, latent, windowed, linear and sparse
attention, layers of many experts, collectives. One entry each, from the shipped tables; summarise_kernels.py puts them together.

Every entry has a `basis`: over which rows it is a median. Shares are of the peaks that kernel_tables.py lists.
"""

from collections import defaultdict

import kernel_tables as kt


def median(values):
    return kt.median(values) if values else None


def usable(rows):
    return [row for row in rows if not row["flag"]]


def numbers(row, *columns):
    return tuple(int(row[column]) for column in columns)


def products(rows, gpu):
    """By format: streaming of weights (m <= 16, weights of 30 MB and more), computing (m 2048 to 8192, n and k 4096 to 16384)."""
    out = {}
    for dtype in kt.QUANTISED:
        own = [(*numbers(row, "m", "n", "k"), float(row["latency_us"]), row["engine"]) for row in usable(rows) if row["dtype"] == dtype]
        if not own:
            continue
        streaming = [kt.gemm_weight_bytes(n, k, dtype) / gpu.bytes_per_us / t for m, n, k, t, _ in own
                     if m <= 16 and kt.gemm_weight_bytes(n, k, dtype) >= 30e6]  # fmt: skip
        computing = [kt.gemm_flops(m, n, k) / gpu.flops_per_us(dtype) / t for m, n, k, t, _ in own
                     if 2048 <= m <= 8192 and 4096 <= n <= 16384 and 4096 <= k <= 16384]  # fmt: skip
        out[dtype] = {
            "engines": sorted({engine for *_, engine in own}),
            "weight_bandwidth_fraction": median(streaming),
            "gemm_fraction": median(computing),
            "smallest_call_us": min(t for *_, t, _ in own),
        }
    return out


def attention(rows, phase, gpu):
    """By width of a head, window and cache: decode's share of bandwidth (64 sequences and more, 32 MB of cache and more), prefill's
    share of FLOP/s at 4096 tokens and more, and the smallest call."""
    groups = defaultdict(list)
    for row in usable(rows):
        groups[row["head_dim"], row["window"], row["kv_dtype"]].append(row)
    out = []
    for (head_dim, window, kv_dtype), own in sorted(groups.items(), key=lambda item: (int(item[0][0]), int(item[0][1]), item[0][2])):
        shares = []
        for row in own:
            t = float(row["latency_us"])
            batch, kv, kv_heads = numbers(row, "batch", "kv_len", "kv_heads")
            if phase == "generation":
                size = kt.kv_bytes(batch, min(kv, int(window) or kv), kv_heads, int(head_dim), kv_dtype)
                if batch >= 64 and size >= 32e6:
                    shares.append(size / gpu.bytes_per_us / t)
            elif int(row["seq_len"]) >= 4096 and int(row["heads"]) >= 8:
                work = kt.context_flops(batch, int(row["seq_len"]), kv, int(row["heads"]), int(head_dim), int(window))
                shares.append(work / gpu.flops_per_us(row["dtype"]) / t)
        share = "kv_bandwidth_fraction" if phase == "generation" else "flop_fraction"
        out.append({
            "head_dim": int(head_dim), "window": int(window), "kv_dtype": kv_dtype, "rows": len(shares), share: median(shares),
            "smallest_call_us": min(float(row["latency_us"]) for row in own),
        })  # fmt: skip
    return out


LATENT_ROW = 512 + 64  # values of one token: latent and rotary part of DeepSeek-V3


def latent_generation(rows, gpu):
    """Whole modules, by format of the products and of the cache: slope of the time over the cache's bytes as a share of
    bandwidth (64 sequences, 4096 to 32768 tokens), and the time of one short sequence by heads."""
    out = []
    for dtype, kv_dtype in sorted({(row["dtype"], row["kv_dtype"]) for row in rows}):
        times = {numbers(row, "heads", "batch", "kv_len"): float(row["latency_us"]) for row in usable(rows)
                 if (row["dtype"], row["kv_dtype"]) == (dtype, kv_dtype)}  # fmt: skip
        shares = []
        for heads in sorted({key[0] for key in times}):
            low, high = times.get((heads, 64, 4096)), times.get((heads, 64, 32768))
            if low and high:
                size = 64 * (32768 - 4096) * LATENT_ROW * kt.element_bytes(kv_dtype)
                shares.append(size / gpu.bytes_per_us / (high - low))
        smallest = {str(heads): t for (heads, batch, kv_len), t in sorted(times.items()) if (batch, kv_len) == (1, 1024)}
        out.append({"dtype": dtype, "kv_dtype": kv_dtype, "kv_bandwidth_fraction": median(shares), "module_us_by_heads": smallest})
    return out


def latent_context(rows, gpu):
    """Whole modules at 4096 tokens, one sequence: time by heads."""
    out = []
    for key in sorted({(row["dtype"], row["compute_dtype"], row["kv_dtype"]) for row in rows}):
        own = [row for row in usable(rows) if (row["dtype"], row["compute_dtype"], row["kv_dtype"]) == key]
        times = {row["heads"]: float(row["latency_us"]) for row in own if numbers(row, "batch", "seq_len") == (1, 4096)}
        if times:
            out.append({"dtype": key[0], "compute_dtype": key[1], "kv_dtype": key[2], "module_us_by_heads": times})
    return out


def experts(rows, gpu):
    """By layer, format and degrees: smallest call, streaming (all experts reached by few tokens) and computing (8192 tokens and
    more), balanced routing; how much longer skewed routing takes there."""
    groups = defaultdict(dict)
    flags = {}
    for row in rows:
        key = (*numbers(row, "hidden", "inter", "topk", "experts"), row["dtype"], *numbers(row, "tp", "ep"))
        groups[key][row["distribution"], int(row["num_tokens"])] = float(row["latency_us"])
        flags[key] = (row["flag"], row["kernel"])
    out = []
    for key, times in sorted(groups.items()):
        hidden, inter, topk, count, dtype, tp, ep = key
        balanced = {n: t for (distribution, n), t in times.items() if distribution == "balanced"}
        if not balanced:
            continue
        streaming = [
            count / ep * kt.moe_expert_bytes(hidden, inter, tp, dtype) / gpu.bytes_per_us / t
            for n, t in balanced.items()
            if count <= n * topk <= 4 * count
        ]
        computing = [kt.moe_flops(n, hidden, inter, topk, tp * ep) / gpu.flops_per_us(dtype) / t for n, t in balanced.items() if n >= 8192]
        skew = [times[distribution, n] / balanced[n] for distribution, n in times
                if distribution.startswith("power_law") and n >= 4096 and n in balanced]  # fmt: skip
        flag, kernel = flags[key]
        out.append({
            "hidden": hidden, "inter": inter, "topk": topk, "experts": count, "dtype": dtype, "tp": tp, "ep": ep, "kernel": kernel,
            "flag": flag, "smallest_call_us": min(balanced.values()), "weight_bandwidth_fraction": None if flag else median(streaming),
            "gemm_fraction": median(computing), "skewed_over_balanced": median(skew),
        })  # fmt: skip
    return out


def linear_attention(rows):
    """Time per sequence and layer, 64 sequences: one token each, and 1024 tokens each, all parts together."""
    groups = defaultdict(float)
    for row in usable(rows):
        batch, seq = numbers(row, "batch", "seq_len")
        if batch == 64 and (row["phase"], seq) in (("generation", 1), ("context", 1024)):
            groups[row["op"], row["phase"], int(row["v_heads"]), int(row["k_heads"])] += float(row["latency_us"])
    return [
        {"op": op, "phase": phase, "v_heads": v_heads, "k_heads": k_heads, "us_per_sequence": t / 64}
        for (op, phase, v_heads, k_heads), t in sorted(groups.items())
    ]


def sparse_attention(rows):
    """Whole modules that decode: 32 sequences, over their context."""
    out = defaultdict(dict)
    for row in usable(rows):
        if row["phase"] == "generation" and row["batch"] == "32":
            out[row["op"], row["model"], row["kv_dtype"], row["heads"], row["tp"]][row["kv_len"]] = float(row["latency_us"])
    return [
        {"op": op, "model": model, "kv_dtype": kv, "heads": int(heads), "tp": int(tp), "us_by_kv_len": times}
        for (op, model, kv, heads, tp), times in sorted(out.items())
    ]


def collectives(rows, gpu):
    """Floor and largest share of one link direction, by kind and ranks. A buffer of s bytes crosses (r - 1)/r s of each link."""
    groups = defaultdict(list)
    for row in rows:
        groups[row["op"], int(row["ranks"])].append((int(row["bytes"]), float(row["latency_us"])))
    return [
        {
            "op": op, "ranks": ranks, "floor_us": min(t for _, t in own),
            "link_fraction": max((ranks - 1) / ranks * size / gpu.link_bytes_per_us / t for size, t in own),
        }
        for (op, ranks), own in sorted(groups.items())
    ]  # fmt: skip


def summarise(tables, gpu):
    out = {
        "products": products(tables["gemm"], gpu),
        "generation_attention": attention(tables["generation_attention"], "generation", gpu),
        "context_attention": attention(tables["context_attention"], "context", gpu),
        "latent_generation": latent_generation(tables["mla_generation"], gpu),
        "latent_context": latent_context(tables["mla_context"], gpu),
        "experts": experts(tables["moe"], gpu),
        "linear_attention": linear_attention(tables["linear_attention"]),
        "sparse_attention": sparse_attention(tables["sparse_attention"]),
        "collectives": collectives(tables["collective"], gpu),
    }
    return {name: entry for name, entry in out.items() if entry}
