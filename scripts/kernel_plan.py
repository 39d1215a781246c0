"""The file that says which kernels to measure on a GPU; `rooftune kernels plan --json` writes it. Needs neither a GPU nor PyTorch.

A plan is JSON: {"schema": "rooftune/kernel-plan/1", "models": [...], "tp": [...], "<table>": [{column: value, ...}, ...]}, with
tables and shape columns named as in bench_data.
"""

import json

import kernel_tables as kt

SCHEMA = "rooftune/kernel-plan/1"

# The columns that say what is measured; the others of a table are the outcome.
SHAPE_COLUMNS = {
    "gemm": ("dtype", "m", "n", "k"),
    "context_attention": ("dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim", "window"),
    "generation_attention": ("dtype", "kv_dtype", "batch", "kv_len", "heads", "kv_heads", "head_dim", "window"),
    "allreduce": ("dtype", "ranks", "bytes"),
    "moe": ("dtype", "num_tokens", "hidden", "inter", "topk", "experts", "tp", "ep", "distribution"),
    "linear_attention": ("op", "phase", "part", "batch", "seq_len", "k_heads", "v_heads", "k_dim", "v_dim"),
    "mla_context": ("dtype", "compute_dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads"),
    "mla_generation": ("dtype", "kv_dtype", "batch", "kv_len", "heads"),
    "sparse_attention": ("op", "model", "phase", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "tp"),
    "collective": ("op", "dtype", "ranks", "bytes"),
}
OPS = {
    "linear_attention": ("gdn", "kda", "mamba2"),
    "sparse_attention": ("dsa",),
    "collective": ("all_gather", "reduce_scatter", "alltoall"),
}
WORD_COLUMNS = {
    "dtype": ("bf16", *kt.QUANTISED),
    "kv_dtype": ("bf16", "fp8"),
    "compute_dtype": ("bf16", "fp8"),
    "model": ("DeepSeek-V3.2", "GLM-5"),
    "distribution": ("balanced",),
    "op": tuple(op for ops in OPS.values() for op in ops),
    "phase": ("context", "generation"),
    "part": ("recurrence", "convolution", "whole"),
}
# Tables whose rows are held against a data sheet's peaks.
PEAK_TABLES = ("gemm", "context_attention", "generation_attention", "allreduce")
LEAST = {"window": 0}  # of all other numbers: 1


class PlanError(ValueError):
    """A plan or a model that cannot be used; the message says what to do."""


def shape_of(table, row):
    """The shape of a plan's or a table's row as a tuple that compares."""
    return tuple(row[column] if column in WORD_COLUMNS else int(row[column]) for column in SHAPE_COLUMNS[table])


def parse_plan(text, name):
    try:
        plan = json.loads(text)
    except json.JSONDecodeError as error:
        raise PlanError(f"{name}:{error.lineno}:{error.colno}: not valid JSON: {error.msg} (write a plan with rooftune kernels plan --json)") from None
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
        raise PlanError(f"{name}: not a kernel plan (its \"schema\" must be \"{SCHEMA}\"; write one with rooftune kernels plan --json)")
    unknown = set(plan) - {"schema", "models", "tp"} - set(SHAPE_COLUMNS)
    if unknown:
        raise PlanError(f"{name}: unknown table '{sorted(unknown)[0]}' (known: {', '.join(SHAPE_COLUMNS)})")
    for table, columns in SHAPE_COLUMNS.items():
        for number, row in enumerate(plan.setdefault(table, []), 1):
            where = f"{name}: {table} row {number}"
            if "window" in columns:
                row.setdefault("window", 0)  # plans from before there were windows
            if set(row) != set(columns):
                raise PlanError(f"{where}: has the columns {', '.join(row)} (needed: {', '.join(columns)})")
            for column, value in row.items():
                words = WORD_COLUMNS.get(column)
                if words and value not in words:
                    raise PlanError(f"{where}: {column} is '{value}' (known: {', '.join(words)})")
                least = LEAST.get(column, 1)
                if not words and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                    raise PlanError(f"{where}: {column} is {value} (a whole number of at least {least} is needed)")
            if "op" in row and row["op"] not in OPS[table]:
                raise PlanError(f"{where}: op is '{row['op']}' (known: {', '.join(OPS[table])})")
            if "kv_heads" in row and row["heads"] % row["kv_heads"]:
                raise PlanError(f"{where}: {row['heads']} heads do not share {row['kv_heads']} KV heads evenly (correct one)")
            if "seq_len" in columns and row.get("kv_len", row["seq_len"]) < row["seq_len"]:
                raise PlanError(f"{where}: kv_len {row['kv_len']} leaves out new tokens (it counts them: at least {row['seq_len']})")
    return plan


def plan_text(plan):
    """One shape per line: such a file is read, edited and compared by people."""
    parts = [f' "{key}": {json.dumps(plan[key])}' for key in ("schema", "models", "tp") if key in plan]
    for table in SHAPE_COLUMNS:
        rows = ",\n".join("  " + json.dumps(row) for row in plan.get(table, []))
        parts.append(f' "{table}": [\n{rows}\n ]' if rows else f' "{table}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"
