"""What every script about kernel tables shares: GPUs and peaks, our table schema, the work of a kernel, CSV in and out.

Nothing here knows where files lie; callers pass folders.
"""

import csv
import hashlib
import io
from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class Gpu:
    """Data-sheet figures of one GPU type: dense peaks, those of configs/gpus.yaml, which names the sources; a test compares."""

    name: str  # canonical name
    folder: str  # folder below bench_data
    upstream: str  # folder name upstream
    bf16_tflops: float
    fp8_tflops: Optional[float]  # None: no FP8 units
    bandwidth_tbs: float
    link_gbs: float  # one direction
    l2_mb: float
    fp4_tflops: Optional[float] = None  # None: no FP4 units

    def flops_per_us(self, dtype: str) -> float:
        """Peak of the units that compute `dtype`: 4-bit weights beside 16-bit activations are computed in bf16."""
        if dtype == "nvfp4" and self.fp4_tflops is not None:
            return self.fp4_tflops * 1e6
        if dtype in ("fp8", "fp8_block") and self.fp8_tflops is not None:
            return self.fp8_tflops * 1e6
        return self.bf16_tflops * 1e6

    @property
    def bytes_per_us(self) -> float:
        return self.bandwidth_tbs * 1e6

    @property
    def link_bytes_per_us(self) -> float:
        return self.link_gbs * 1e3


GPUS = (
    Gpu("H100-SXM", "h100", "h100_sxm", 989.5, 1979.0, 3.35, 450.0, 50.0),
    Gpu("A100-SXM", "a100", "a100_sxm", 312.0, None, 2.039, 300.0, 40.0),
    Gpu("L40S", "l40s", "l40s", 362.05, 733.0, 0.864, 32.0, 96.0),
    Gpu("H200-SXM", "h200", "h200_sxm", 989.5, 1979.0, 4.8, 450.0, 50.0),
    Gpu("B200-SXM", "b200", "b200_sxm", 2250.0, 4500.0, 8.0, 900.0, 126.0, 9000.0),
    Gpu("B300-SXM", "b300", "b300_sxm", 2250.0, 4500.0, 8.0, 900.0, 126.0, 13500.0),
)

# Column order of every table. Latencies are microseconds, sizes bytes, lengths tokens, fractions of data-sheet peaks.
SCHEMA = {
    "gemm": ["dtype", "m", "n", "k", "latency_us", "mfu", "achieved_fraction", "flag", "engine"],
    "context_attention": [
        "dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "window",
        "latency_us", "mfu", "achieved_fraction", "flag", "engine",
    ],
    "generation_attention": [
        "dtype", "kv_dtype", "batch", "kv_len", "heads", "kv_heads", "head_dim", "window",
        "latency_us", "achieved_fraction", "flag", "engine",
    ],
    "allreduce": ["kind", "mode", "dtype", "ranks", "bytes", "latency_us", "repeats", "achieved_fraction", "flag", "engine"],
    "moe": [
        "dtype", "num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "distribution",
        "latency_us", "mfu", "achieved_fraction", "kernel", "flag", "engine",
    ],
    "mla_context": [
        "dtype", "compute_dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "latency_us", "kernel", "flag", "engine",
    ],
    "mla_generation": ["dtype", "kv_dtype", "batch", "kv_len", "heads", "latency_us", "kernel", "flag", "engine"],
    "linear_attention": [
        "op", "phase", "part", "batch", "seq_len", "k_heads", "v_heads", "k_dim", "v_dim", "latency_us", "flag", "engine",
    ],
    "sparse_attention": [
        "op", "model", "phase", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "tp", "latency_us", "kernel", "flag", "engine",
    ],
    "collective": ["op", "dtype", "ranks", "bytes", "latency_us", "repeats", "flag", "engine"],
    "expert_exchange": ["kind", "op", "ranks", "num_tokens", "hidden", "topk", "experts", "latency_us", "flag", "engine"],
}  # fmt: skip

TABLES = tuple(SCHEMA)

# Formats of weights below 16 bits, in the order of their width.
QUANTISED = ("fp8", "fp8_block", "nvfp4", "mxfp4", "int4")

# A measurement may beat a data-sheet peak by clock noise only; anything above is refused, whatever its source says.
IMPOSSIBLE = 1.02


class TableError(ValueError):
    """A table that cannot be what it says it is."""


def element_bytes(dtype: str) -> float:
    """Bytes that one weight takes, its share of the scales included."""
    # A scale is one float for 128 x 128 weights of fp8_block, one byte for 16 of nvfp4 and for 32 of mxfp4, 16 bits for 128 of int4.
    sizes = {"bf16": 2, "fp16": 2, "fp8": 1, "fp8_block": 1 + 4 / 128**2, "nvfp4": 0.5 + 1 / 16, "mxfp4": 0.5 + 1 / 32,
             "int4": 0.5 + 2 / 128}  # fmt: skip
    if dtype not in sizes:
        raise TableError(f"unknown dtype '{dtype}' (known: {', '.join(sizes)})")
    return sizes[dtype]


def gemm_flops(m: int, n: int, k: int) -> float:
    return 2.0 * m * n * k


def gemm_weight_bytes(n: int, k: int, dtype: str) -> float:
    return float(n) * k * element_bytes(dtype)


def context_flops(batch: int, seq_len: int, kv_len: int, heads: int, head_dim: int, window: int = 0) -> float:
    """Causal: each new token meets the context before the chunk and on average half of the chunk; at most `window` (0: all)."""
    pairs = seq_len * (kv_len - seq_len / 2.0)
    if window and kv_len > window:
        # Tokens before the window is full meet what is there, all others the whole window.
        filling = max(0.0, window - (kv_len - seq_len))
        pairs = filling * (window - filling / 2.0) + (seq_len - filling) * window
    return 4.0 * batch * heads * head_dim * pairs


def context_bytes(batch: int, seq_len: int, kv_len: int, heads: int, kv_heads: int, head_dim: int, kv_dtype: str) -> float:
    """Queries in and output out at 16 bits, keys and values at the cache's width."""
    return 4.0 * batch * seq_len * heads * head_dim + kv_bytes(batch, kv_len, kv_heads, head_dim, kv_dtype)


def kv_bytes(batch: int, kv_len: int, kv_heads: int, head_dim: int, kv_dtype: str) -> float:
    """Keys and values of one layer."""
    return 2.0 * batch * kv_len * kv_heads * head_dim * element_bytes(kv_dtype)


def bus_bytes(ranks: int, message_bytes: float) -> float:
    """What every rank must send in a ring all-reduce."""
    return 2.0 * (ranks - 1) / ranks * message_bytes


def moe_flops(tokens: int, hidden: int, inter: int, topk: int, tp: int) -> float:
    """Gate, up and down projection of the chosen experts, one rank's share."""
    return 6.0 * tokens * topk * hidden * inter / tp


def moe_expert_bytes(hidden: int, inter: int, tp: int, dtype: str) -> float:
    """Weights of one expert on one rank."""
    return 3.0 * hidden * inter / tp * element_bytes(dtype)


def distinct_experts_balanced(tokens: int, topk: int, experts: int) -> int:
    """Balanced routing spreads tokens evenly, so each of the first tokens touches experts of its own."""
    return min(experts, tokens * topk)


def distinct_experts_uniform(tokens: float, topk: int, experts: int) -> float:
    """Expected distinct experts when every token draws topk of them independently and uniformly."""
    return experts * (1.0 - (1.0 - topk / experts) ** tokens)


def read_rows(path) -> list:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def require_columns(rows: list, columns, path) -> None:
    if not rows:
        raise TableError(f"{path}: no rows (the file must hold a header and at least one measurement)")
    missing = [column for column in columns if column not in rows[0]]
    if missing:
        raise TableError(f"{path}: missing column(s) {', '.join(missing)} (found: {', '.join(rows[0])})")


def positive(text: str, column: str, path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        raise TableError(f"{path}:{line}: {column} is '{text}' (a positive number is needed)") from None
    if not 0.0 < value < 1e12:
        raise TableError(f"{path}:{line}: {column} is {text} (a positive finite number is needed)")
    return value


def short(value: float) -> str:
    """Four significant digits: three decimals would round a decode MFU of 0.003 by 17 %."""
    return f"{value:.4g}"


def to_csv(columns, rows) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quantile(values, q: float) -> float:
    """Linear interpolation between order statistics (type 7), as everywhere in rooftune."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("quantile of nothing")
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)


def median(values) -> float:
    return quantile(values, 0.5)
