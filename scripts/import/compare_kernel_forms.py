#!/usr/bin/env python3
"""Prints which functional form fits the bf16 GEMM times of each GPU how well: the tables of docs/kernel_data.md.

    compare_kernel_forms.py bench_data [--dtype bf16]

Errors are median / 90th percentile of |predicted/measured - 1| in percent over shapes and m.
"""

import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kernel_forms as kf  # noqa: E402
import kernel_tables as kt  # noqa: E402
import summarise_kernels as sk  # noqa: E402


def free_curve(rows, with_call):
    """The best that any form of m alone can do: t = call + n k c(m), every c(m) free."""
    best = None
    for call in [0.25 * i for i in range(41)] if with_call else [0.0]:
        slopes = {}
        for m, n, k, _, _, t in rows:
            slopes.setdefault(m, []).append(max(t - call, 0.05 * t) / (n * k))
        slopes = {m: kt.median(values) for m, values in slopes.items()}
        fit = kf.Fit({"call_us": call}, [call + n * k * slopes[m] for m, n, k, _, _, _ in rows], [r[5] for r in rows])
        loss = sum(abs(e) for e in fit.log_errors)
        if best is None or loss < best[0]:
            best = (loss, fit)
    return best[1]


def cells(fit, samples):
    out = []
    for select in ([m <= 128 for m in samples], [m > 128 for m in samples]):
        out.append(f"{fit.ape_percent(0.5, select):.1f} / {fit.ape_percent(0.9, select):.1f}")
    return out


# Linear layers of one transformer layer, (n, k): shapes that every GPU's grid holds.
LAYERS = {
    "d 4096, GQA, FFN 16384, TP 1": [(6144, 4096), (4096, 4096), (16384, 4096), (4096, 16384)],
    "d 8192, GQA, FFN 16384 per GPU, TP 4": [(2560, 8192), (8192, 2048), (16384, 8192), (8192, 16384)],
}


def layer_table(rows, gpu):
    """Sum of a layer's GEMMs, fit against measurement: errors of single shapes that cancel, and those that do not."""
    fit, _ = sk.fit_gemm(sk.gemm_fit_rows(rows, gpu, "bf16"), pnorm=sk.SHARED_PNORM)
    p = {**fit.parameters, "pnorm": sk.SHARED_PNORM}
    measured = {(n, k, m): (c, w, t) for m, n, k, c, w, t in rows}
    for name, shapes in LAYERS.items():
        errors = []
        for m in (1, 8, 16, 32, 64, 96, 128, 160, 192, 256, 512, 1024, 2048, 4096):
            found = [measured.get((n, k, m)) for n, k in shapes]
            if all(found):
                predicted = sum(kf.gemm_pnorm_call(p, (m, c, w)) for c, w, _ in found)
                errors.append(f"{m}: {100.0 * (predicted / sum(t for _, _, t in found) - 1.0):+.0f}")
        yield name, errors


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bench_data")
    parser.add_argument("--dtype", default="bf16", choices=("bf16", "fp8"))
    options = parser.parse_args(argv)
    print("| GPU | form | m <= 128 | m > 128 | parameters |\n|---|---|---|---|---|")
    layers = []
    for gpu in kt.GPUS:
        tables = {"gemm": kt.read_rows(os.path.join(options.bench_data, gpu.folder, "gemm.csv"))}
        rows = sk.gemm_rows(tables, gpu, options.dtype)
        if not rows:
            continue
        chosen = sk.gemm_fit_rows(rows, gpu, options.dtype)
        ms = [r[0] for r in chosen]

        def line(form, fit):
            parameters = ", ".join(f"{name} {value:.3g}" for name, value in fit.parameters.items())
            print(f"| {gpu.name} | {form} | {' | '.join(cells(fit, ms))} | {parameters} |")

        for name in kf.GEMM_FORMS:
            line(name, sk.fit_gemm(chosen, name)[0])
        line(f"call + p-norm, p = {sk.SHARED_PNORM}", sk.fit_gemm(chosen, pnorm=sk.SHARED_PNORM)[0])
        line("n k c(m), every c(m) free", free_curve(chosen, with_call=False))
        line("call + n k c(m), every c(m) free", free_curve(chosen, with_call=True))
        decode = [r for r in chosen if r[0] <= 256]
        fit = sk.fit_gemm(decode, "call + p-norm")[0]
        small = [r[0] <= 128 for r in decode]
        parameters = ", ".join(f"{name} {value:.3g}" for name, value in fit.parameters.items())
        print(f"| {gpu.name} | call + p-norm fitted on m <= 256 only | {fit.ape_percent(0.5, small):.1f} / "
              f"{fit.ape_percent(0.9, small):.1f} | - | {parameters} |")  # fmt: skip
        if options.dtype == "bf16":
            layers.append((gpu.name, list(layer_table(rows, gpu))))
    for gpu_name, table in layers:
        for name, errors in table:
            if errors:
                print(f"\n{gpu_name}, {name}: error of the layer's sum in percent at m: {', '.join(errors)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
