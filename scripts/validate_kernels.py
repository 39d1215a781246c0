#!/usr/bin/env python3
"""Checks a folder of kernel tables before anything is fitted to it: columns, ranges, units, checksums, coverage.

    validate_kernels.py FOLDER [--gpu NAME] [--plan FILE]

The folder is what collect_kernels.py wrote, or one of bench_data. The GPU comes from its manifest.json (or the one beside the
folder) unless --gpu names it; with a known GPU every row is held against the data sheet. The plan (default: FOLDER/plan.json,
where there is one) says which shapes must be there. Prints one line per problem; exit code 1 when there is an error.
"""

import argparse
import json
import math
import sys
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "import")]
import collect_kernels  # noqa: E402
import kernel_plan  # noqa: E402
import kernel_tables as kt  # noqa: E402

FLAGS = ("", "over_bw_l2", "over_link", "l2_resident", "eager", "eager_host_bound", "grouped_routing")
MOST_SHOWN = 20  # problems of one file
KNOWN_WORDS = {"kind": ("custom", "nccl", "fastest"), "mode": ("graph", "eager", "nccl-tests"), "dtype": ("bf16", "fp16", *kt.QUANTISED), "kv_dtype": ("bf16", "fp8")}
KNOWN_WORDS_OF = {("expert_exchange", "kind"): ("low_latency", "high_throughput"), ("expert_exchange", "op"): ("dispatch", "combine")}
# The best row of a healthy table reaches at least this share of a peak; less means wrong units or a GPU that was not free.
LOWEST_BEST = {"gemm": 0.3, "context_attention": 0.15, "generation_attention": 0.3, "allreduce": 0.01}
# A larger problem may be a little faster (another kernel is chosen), never much.
FASTER_WHEN_LARGER = 0.5


class Findings:
    def __init__(self):
        self.lines = []
        self.errors = 0

    def error(self, where, problem, remedy):
        self.errors += 1
        self.lines.append(f"{where}: error: {problem} ({remedy})")

    def warning(self, where, problem, remedy):
        self.lines.append(f"{where}: warning: {problem} ({remedy})")


def whole_number(text):
    return text.isascii() and text.isdigit() and int(text) > 0


def check_row(table, row, where, gpu, findings):
    """Whether the row can be used at all."""
    for column in kt.SCHEMA[table]:
        text, known = row[column] or "", KNOWN_WORDS_OF.get((table, column), KNOWN_WORDS.get(column))
        if known and text not in known:
            findings.error(where, f"{column} is '{text}'", f"known: {', '.join(known)}")
            return False
    for column in kernel_plan.SHAPE_COLUMNS.get(table, ()):
        least_is_zero = kernel_plan.LEAST.get(column) == 0 and row[column] == "0"
        if column not in kernel_plan.WORD_COLUMNS and not least_is_zero and not whole_number(row[column] or ""):
            findings.error(where, f"{column} is '{row[column]}'", "a whole number above 0 is needed")
            return False
    try:
        latency_us = kt.positive(row["latency_us"] or "", "latency_us", where, 0)
    except kt.TableError:
        findings.error(where, f"latency_us is '{row['latency_us']}'", "a positive number of microseconds is needed")
        return False
    if table in ("context_attention", "generation_attention") and int(row["heads"]) % int(row["kv_heads"]):
        findings.error(where, f"{row['heads']} heads over {row['kv_heads']} KV heads", "heads of one GPU, in whole groups")
        return False
    if table in ("context_attention", "mla_context") and int(row["kv_len"]) < int(row["seq_len"]):
        findings.error(where, f"kv_len {row['kv_len']} below seq_len {row['seq_len']}", "kv_len counts the new tokens")
        return False
    if not row["engine"]:
        findings.error(where, "no engine", "name the software and version that the kernel came from, or 'unknown'")
    if row["flag"] not in FLAGS:
        findings.error(where, f"flag '{row['flag']}'", "such a row cannot be right: check --gpu and the clock, or drop the row")
        return False
    if gpu is not None and table in kernel_plan.PEAK_TABLES:
        check_against_peaks(table, row, where, gpu, findings)
    return latency_us > 0


def check_against_peaks(table, row, where, gpu, findings):
    mfu, streaming = collect_kernels.fractions(table, row, gpu)
    for share, peak in ((mfu, "FLOP/s"), (streaming, "bandwidth")):
        if share is not None and share > kt.IMPOSSIBLE and (peak == "FLOP/s" or not row["flag"]):
            findings.error(where, f"{share:.2f} of the {gpu.name}'s peak {peak}", "check the units (microseconds) and the GPU; flag rows served from L2")
    for column, value in (("mfu", mfu), ("achieved_fraction", max(mfu or 0.0, streaming))):
        if row.get(column) and not math.isclose(float(row[column]), value, rel_tol=0.01):
            findings.error(where, f"{column} is {row[column]}, recomputed {value:.4g}", "recompute it from latency and shape; never copy it")


def check_best(table, rows, where, gpu, findings):
    best = max(max(share or 0.0 for share in collect_kernels.fractions(table, row, gpu)) for row in rows)
    if best < LOWEST_BEST[table]:
        findings.error(where, f"the best row reaches {best:.2g} of the {gpu.name}'s peaks", "are these microseconds, was the GPU free, is it this GPU?")


def check_growth(table, rows, where, findings):
    """Along the one dimension that grows, times must too."""
    size = {"gemm": "m", "context_attention": "seq_len", "generation_attention": "kv_len", "allreduce": "bytes"}[table]
    # Rows that the host decided or that came from L2 grow with neither.
    rows = [row for row in rows if row["flag"] in ("", "over_link")]
    others = [c for c in kt.SCHEMA[table] if c not in (size, "latency_us", "mfu", "achieved_fraction", "flag", "repeats")]
    if table == "context_attention":
        others.remove("kv_len")
        rows = [row for row in rows if row["kv_len"] == row["seq_len"]]
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in others)].append((int(row[size]), float(row["latency_us"])))
    for key, points in groups.items():
        points.sort()
        if len(points) > 1 and points[-1][1] < FASTER_WHEN_LARGER * points[0][1]:
            shape = ", ".join(f"{column} {value}" for column, value in zip(others, key))
            findings.warning(where, f"{size} {points[-1][0]} takes {points[-1][1]:g} us, {points[0][0]} took {points[0][1]:g} ({shape})", "noise? measure again")


def check_table(table, path, gpu, findings):
    """The usable rows of a table."""
    name = path.name
    rows = kt.read_rows(path)
    if not rows:
        findings.error(name, "no rows", "a header and at least one measurement are needed")
        return []
    if list(rows[0]) != kt.SCHEMA[table]:
        findings.error(f"{name}:1", f"the columns are {','.join(map(str, rows[0]))}", f"needed: {','.join(kt.SCHEMA[table])}")
        return []
    of_table, seen, usable = Findings(), {}, []
    for line, row in enumerate(rows, 2):
        where = f"{name}:{line}"
        if None in row or None in row.values():
            of_table.error(where, "another number of fields than the header", "complete the line")
            continue
        if not check_row(table, row, where, gpu, of_table):
            continue
        key = tuple(row[c] for c in kt.SCHEMA[table] if c not in ("latency_us", "mfu", "achieved_fraction", "flag", "repeats"))
        if key in seen:
            of_table.error(where, f"the shape of line {seen[key]} again", "keep one")
        seen[key] = line
        usable.append(row)
    findings.lines += of_table.lines[:MOST_SHOWN]
    if len(of_table.lines) > MOST_SHOWN:
        findings.lines.append(f"{name}: ... and {len(of_table.lines) - MOST_SHOWN} more")
    findings.errors += of_table.errors
    if usable and table in kernel_plan.PEAK_TABLES:
        check_growth(table, usable, name, findings)
        if gpu is not None:
            check_best(table, usable, name, gpu, findings)
    return usable


def load_manifest(folder, findings):
    """The manifest's entries of the files of this folder, and what its collector skipped."""
    for path, prefix in ((folder / "manifest.json", ""), (folder.parent / "manifest.json", folder.name + "/")):
        if path.is_file():
            break
    else:
        findings.error("manifest.json", "missing", "collect_kernels.py writes it: where figures come from must be known")
        return {}, []
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        entries = {entry["file"][len(prefix) :]: entry for entry in manifest["files"] if entry["file"].startswith(prefix)}
        return entries, manifest.get("collection", {}).get("skipped", [])
    except (ValueError, KeyError, TypeError) as error:
        findings.error("manifest.json", f"cannot be used: {type(error).__name__}: {error}", "write it again with the tables")
        return {}, []


def check_manifest(folder, entries, findings):
    for path in sorted(folder.glob("*.csv")):
        entry = entries.get(path.name)
        if entry is None:
            findings.error(path.name, "not in the manifest", "add it with its source, or remove the file")
        elif entry.get("sha256") != kt.sha256(path.read_bytes()):
            findings.error(path.name, "differs from the manifest's checksum", "edited by hand? write both again")
    for name in sorted(set(entries) - {path.name for path in folder.glob("*.csv")}):
        findings.error(name, "in the manifest but not in the folder", "copy the whole folder")


def check_coverage(plan, rows, skipped, findings):
    for table in kernel_plan.SHAPE_COLUMNS:
        planned = {kernel_plan.shape_of(table, row) for row in plan.get(table, [])}
        measured = {kernel_plan.shape_of(table, row) for row in rows.get(table, [])}
        excused = {kernel_plan.shape_of(table, row) for row in skipped if row.get("table") == table}
        missing = planned - measured - excused
        if missing:
            example = " ".join(f"{c}={v}" for c, v in zip(kernel_plan.SHAPE_COLUMNS[table], min(missing, key=str)))
            findings.error(f"{table}.csv", f"{len(missing)} of {len(planned)} planned shapes are missing, e.g. {example}", "measure them or shorten the plan")
        if planned and len(excused & planned) * 2 > len(planned):
            findings.warning(f"{table}.csv", f"{len(excused & planned)} of {len(planned)} planned shapes were skipped", "manifest.json says why")


def validate(folder, gpu_name=None, plan_path=None):
    findings = Findings()
    entries, skipped = load_manifest(folder, findings)
    gpu_name = gpu_name or next((entry.get("gpu") for entry in entries.values() if entry.get("gpu")), None)
    gpu = collect_kernels.find_gpu(gpu_name) if gpu_name else None
    if gpu is None:
        findings.warning(str(folder), f"no data sheet for GPU '{gpu_name}'", "rows are not held against peaks; name a known one with --gpu")
    if entries:
        check_manifest(folder, entries, findings)
    rows = {table: check_table(table, folder / f"{table}.csv", gpu, findings) for table in kt.TABLES if (folder / f"{table}.csv").is_file()}
    if not rows:
        findings.error(str(folder), "no kernel tables", f"expected {', '.join(table + '.csv' for table in kt.TABLES)}")
    plan_path = plan_path or (folder / "plan.json" if (folder / "plan.json").is_file() else None)
    if plan_path:
        check_coverage(kernel_plan.parse_plan(plan_path.read_text(encoding="utf-8"), str(plan_path)), rows, skipped, findings)
    return findings, rows, gpu


def main(arguments=None):
    parser = collect_kernels.Parser(description="Checks a folder of kernel tables (see the head of this file).")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gpu", help="the GPU type, when the manifest does not say it")
    parser.add_argument("--plan", type=Path, help="shapes that must be there (default: FOLDER/plan.json)")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"{options.folder}: no such folder (name the one that collect_kernels.py wrote)")
    try:
        findings, rows, gpu = validate(options.folder, options.gpu, options.plan)
    except (OSError, kernel_plan.PlanError) as error:
        parser.error(str(error))
    for line in findings.lines:
        print(line)
    counts = ", ".join(f"{len(table_rows)} {table}" for table, table_rows in rows.items())
    print(f"{options.folder}: {counts or 'no rows'}; GPU {gpu.name if gpu else 'unknown'}; {findings.errors} errors")
    return 1 if findings.errors else 0


if __name__ == "__main__":
    sys.exit(main())
