#!/usr/bin/env python3
"""How well a matrix product is predicted from its neighbours: every measured shape is left out in turn and scaled from the others.

    leave_out_products.py bench_data

The rule is that of kernels::GpuCurves (docs/step_time_models.md): the shape's roofline times the ratio to the roofline that the
three nearest shapes have at the same number of tokens. Rows count as they do there: products whose weights came from the L2 cache at
no less than streaming those weights takes, and disturbed ones at what more tokens take. Prints median and 90th percentile of
|predicted / measured - 1| in percent.
"""

import argparse
import math
import os
import sys
from collections import defaultdict

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_tables as kt  # noqa: E402
from import_kernels import version_key  # noqa: E402

NORM = 2.5
ACTIVATION_SHARE = 0.8
LARGE_WEIGHTS = 30e6
NEAREST = 3
SAME_SHAPE = 0.02
FROM_CACHE = "l2_resident"
STREAMING_TOKENS = 16
GLITCH = 1.5


def streaming_rate(rows, dtype):
    """Bytes per us at which large weights stream from memory through small products; None where no row says so."""
    rates = []
    for row in rows:
        weights = kt.gemm_weight_bytes(int(row["n"]), int(row["k"]), dtype)
        if not row["flag"] and int(row["m"]) <= STREAMING_TOKENS and weights >= LARGE_WEIGHTS:
            rates.append(weights / float(row["latency_us"]))
    return kt.quantile(rates, 0.9) if rates else None


def without_glitches(by_m):
    """Fewer tokens never take GLITCH times as long as the next larger number."""
    next_us = math.inf
    for m in sorted(by_m, reverse=True):
        if by_m[m] > GLITCH * next_us:
            by_m[m] = next_us
        next_us = by_m[m]


def shapes_of(rows, dtype):
    """{(n, k): {m: us}} as the curves read them; the newest release counts."""
    rows = [row for row in rows if row["dtype"] == dtype and row["flag"] in ("", FROM_CACHE)]
    rate = streaming_rate(rows, dtype)
    shapes = defaultdict(dict)
    for row in sorted(rows, key=lambda r: version_key(r["engine"])):
        n, k, us = int(row["n"]), int(row["k"]), float(row["latency_us"])
        if row["flag"] == FROM_CACHE:
            if rate is None:
                continue
            us = max(us, kt.gemm_weight_bytes(n, k, dtype) / rate)
        shapes[n, k][int(row["m"])] = us
    for by_m in shapes.values():
        without_glitches(by_m)
    return shapes


class Roofline:
    """A constant per call and the rates that the table's large products reach."""

    def __init__(self, shapes, dtype):
        self.dtype = dtype
        cells = [(m, n, k, us) for (n, k), by_m in shapes.items() for m, us in by_m.items()]
        large = [cell for cell in cells if kt.gemm_weight_bytes(cell[1], cell[2], dtype) >= LARGE_WEIGHTS]
        compute = [c for c in large if c[0] >= 2048] or cells
        stream = [c for c in large if c[0] <= 16] or cells
        self.call_us = 0.7 * min(us for *_, us in cells)
        self.flops_per_us = kt.quantile([kt.gemm_flops(m, n, k) / us for m, n, k, us in compute], 0.9)
        self.bytes_per_us = kt.quantile([kt.gemm_weight_bytes(n, k, dtype) / us for m, n, k, us in stream], 0.9)

    def us(self, m, n, k):
        compute = kt.gemm_flops(m, n, k) / self.flops_per_us
        memory = (kt.gemm_weight_bytes(n, k, self.dtype) + 2.0 * m * (n + k) / ACTIVATION_SHARE) / self.bytes_per_us
        return self.call_us + (compute**NORM + memory**NORM) ** (1.0 / NORM)


def leave_out(shapes, dtype):
    """Errors in percent, up to 128 tokens and above."""
    roofline = Roofline(shapes, dtype)
    errors = ([], [])
    for n, k in shapes:
        nearest = sorted((math.log(n / a) ** 2 + math.log(k / b) ** 2, (a, b)) for a, b in shapes if (a, b) != (n, k))
        for m, us in shapes[n, k].items():
            weights = total = 0.0
            for distance, shape in [entry for entry in nearest if m in shapes[entry[1]]][:NEAREST]:
                weight = 1.0 / (distance + SAME_SHAPE) ** 2
                weights += weight
                total += weight * math.log(shapes[shape][m] / roofline.us(m, *shape))
            if weights > 0.0:
                errors[m > 128].append(100.0 * abs(roofline.us(m, n, k) * math.exp(total / weights) / us - 1.0))
    return errors


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_data")
    options = parser.parse_args(argv)
    print("| GPU | format | shapes | m <= 128 | m > 128 |\n|---|---|---|---|---|")
    for gpu in kt.GPUS:
        rows = kt.read_rows(os.path.join(options.bench_data, gpu.folder, "gemm.csv"))
        for dtype in ("bf16", *kt.QUANTISED):
            shapes = shapes_of(rows, dtype)
            if shapes:
                cells = [f"{kt.quantile(e, 0.5):.1f} / {kt.quantile(e, 0.9):.1f}" if e else "-" for e in leave_out(shapes, dtype)]
                print(f"| {gpu.name} | {dtype} | {len(shapes)} | {cells[0]} | {cells[1]} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
