"""Which kernels of a model are worth measuring on a GPU, and the file that says so. Needs neither a GPU nor PyTorch.

A plan is JSON: {"schema": "rooftune/kernel-plan/1", "models": [...], "tp": [...], "<table>": [{column: value, ...}, ...]}, with
tables and shape columns named as in bench_data.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

SCHEMA = "rooftune/kernel-plan/1"

# The columns that say what is measured; the others of a table are the outcome.
SHAPE_COLUMNS = {
    "gemm": ("dtype", "m", "n", "k"),
    "context_attention": ("dtype", "kv_dtype", "batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim"),
    "generation_attention": ("dtype", "kv_dtype", "batch", "kv_len", "heads", "kv_heads", "head_dim"),
    "allreduce": ("dtype", "ranks", "bytes"),
}
WORD_COLUMNS = {"dtype": ("bf16", "fp8"), "kv_dtype": ("bf16", "fp8")}

# Dense where GEMMs turn from weight streaming to compute (m about 100 to 400 on current GPUs), sparse elsewhere.
GEMM_M = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 160, 192, 256, 320, 384, 512, 768, 1024, 2048, 4096, 8192)
CONTEXT_SEQ = (16, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
CONTEXT_BATCH = (1, 2, 4, 8)
CONTEXT_TOKENS = 32768  # of all sequences together
CHUNKS = ((512, 2048), (512, 8192), (2048, 4096), (2048, 8192), (2048, 16384))  # new tokens, tokens attended to
GENERATION_BATCH = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GENERATION_KV = (128, 512, 1024, 2048, 4096, 8192, 16384, 32768)
KV_BYTES = 16 * 2**30  # largest KV cache of one measurement
ALLREDUCE_BYTES = tuple(2**i for i in range(10, 29))


class PlanError(ValueError):
    """A plan or a model that cannot be used; the message says what to do."""


@dataclass(frozen=True)
class Model:
    """What of a decoder decides the shapes of its kernels."""

    name: str
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    ffn_widths: tuple  # of dense layers and shared experts; empty for pure MoE
    fp8: bool = False


def _scalar(text):
    text = text.split(" #")[0].strip()
    if text[:1] in "\"'":
        return text[1:-1]
    if text[:1] == "{":
        pairs = (pair.split(":", 1) for pair in text[1:-1].split(",") if ":" in pair)
        return {key.strip(): _scalar(value) for key, value in pairs}
    try:
        return int(text)
    except ValueError:
        return {"true": True, "false": False}.get(text, text)


def parse_facts(text):
    """Our own model facts: `key: value` lines and one level of nested ones. GPU boxes need no YAML package for that."""
    facts, nested = {}, None
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#") or ":" not in line:
            continue
        key, value = line.split(":", 1)
        if line[0] in " \t":
            if nested is not None:
                nested[key.strip()] = _scalar(value)
        elif value.strip():
            facts[key.strip()] = _scalar(value)
        else:
            nested = facts.setdefault(key.strip(), {})
    return facts


def _from_facts(facts, path):
    try:
        moe = facts.get("moe", {})
        widths = [facts.get("ffn_width", 0), moe.get("shared_ffn_width", 0) * moe.get("shared_experts", 0)]
        return Model(
            facts["name"], facts["hidden"], facts["heads"], facts["kv_heads"], facts["head_dim"], facts["vocabulary"],
            tuple(width for width in widths if width), any(facts.get("computes_in_fp8", {}).values()),
        )  # fmt: skip
    except KeyError as key:
        raise PlanError(f"{path}: no {key} (name a file of configs/models or a Hugging Face config.json)") from None


def _from_hugging_face(config, path):
    name = path.parent.name if path.name == "config.json" else path.stem
    config = {**config, **config.get("text_config", {})}
    if "kv_lora_rank" in config:
        raise PlanError(f"{path}: multi-head latent attention is not covered (leave this model out)")
    try:
        heads, hidden = config["num_attention_heads"], config["hidden_size"]
        moe = any(key in config for key in ("num_local_experts", "num_experts", "n_routed_experts"))
        return Model(
            name, hidden, heads, config.get("num_key_value_heads") or heads, config.get("head_dim") or hidden // heads,
            config["vocab_size"], () if moe else (config["intermediate_size"],),
            "fp8" in json.dumps(config.get("quantization_config", {})).lower(),
        )  # fmt: skip
    except KeyError as key:
        raise PlanError(f"{path}: no {key} (is this a decoder's config.json?)") from None


def read_model(path):
    """A model of configs/models (YAML), or a Hugging Face config.json or the folder that holds one."""
    path = Path(path)
    if path.is_dir():
        path = path / "config.json"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror} (name a model file or folder)") from None
    if path.suffix != ".json":
        return _from_facts(parse_facts(text), path)
    try:
        return _from_hugging_face(json.loads(text), path)
    except json.JSONDecodeError as error:
        raise PlanError(f"{path}:{error.lineno}:{error.colno}: not valid JSON: {error.msg} (fetch the file again)") from None


def layers_of_one_gpu(model, tp):
    """(n, k) of the linear layers of one GPU, fused as engines run them, and its attention heads."""
    if model.heads % tp:
        raise PlanError(f"{model.name}: {model.heads} heads cannot be split over TP {tp} (leave that TP out)")
    heads = model.heads // tp
    kv_heads = max(1, model.kv_heads // tp)  # engines replicate KV heads beyond one per GPU
    layers = [
        ((heads + 2 * kv_heads) * model.head_dim, model.hidden),
        (model.hidden, heads * model.head_dim),
        (math.ceil(model.vocabulary / tp / 64) * 64, model.hidden),  # vocabularies are padded to 64
    ]
    for width in model.ffn_widths:
        layers += [(2 * width // tp, model.hidden), (model.hidden, width // tp)]
    return layers, (heads, kv_heads, model.head_dim)


def make_plan(models, degrees, dtypes=None):
    """Every shape once, whichever models share it. `dtypes` of GEMMs: by default bf16, and fp8 for models that compute in it."""
    rows = {table: {} for table in SHAPE_COLUMNS}  # dictionaries keep the order and drop repetitions

    def add(table, *values):
        rows[table][values] = dict(zip(SHAPE_COLUMNS[table], values))

    for model in models:
        for tp in degrees:
            layers, (heads, kv_heads, dim) = layers_of_one_gpu(model, tp)
            for dtype in dtypes or (("bf16", "fp8") if model.fp8 else ("bf16",)):
                for n, k in layers:
                    for m in GEMM_M:
                        add("gemm", dtype, m, n, k)
            for seq in CONTEXT_SEQ:
                for batch in CONTEXT_BATCH:
                    if batch * seq <= CONTEXT_TOKENS:
                        add("context_attention", "bf16", "bf16", batch, seq, seq, heads, kv_heads, dim)
            for seq, kv in CHUNKS:
                add("context_attention", "bf16", "bf16", 1, seq, kv, heads, kv_heads, dim)
            for batch in GENERATION_BATCH:
                for kv in GENERATION_KV:
                    if 4 * batch * kv * kv_heads * dim <= KV_BYTES:
                        add("generation_attention", "bf16", "bf16", batch, kv, heads, kv_heads, dim)
            if tp > 1:
                for size in ALLREDUCE_BYTES:
                    add("allreduce", "bf16", tp, size)
    plan = {"schema": SCHEMA, "models": [model.name for model in models], "tp": list(degrees)}
    plan.update({table: list(shapes.values()) for table, shapes in rows.items()})
    return plan


def shape_of(table, row):
    """The shape of a plan's or a table's row as a tuple that compares."""
    return tuple(row[column] if column in WORD_COLUMNS else int(row[column]) for column in SHAPE_COLUMNS[table])


def parse_plan(text, name):
    try:
        plan = json.loads(text)
    except json.JSONDecodeError as error:
        raise PlanError(f"{name}:{error.lineno}:{error.colno}: not valid JSON: {error.msg} (print a plan with --print-plan)") from None
    if not isinstance(plan, dict) or plan.get("schema") != SCHEMA:
        raise PlanError(f"{name}: not a kernel plan (its \"schema\" must be \"{SCHEMA}\"; print one with --print-plan)")
    unknown = set(plan) - {"schema", "models", "tp"} - set(SHAPE_COLUMNS)
    if unknown:
        raise PlanError(f"{name}: unknown table '{sorted(unknown)[0]}' (known: {', '.join(SHAPE_COLUMNS)})")
    for table, columns in SHAPE_COLUMNS.items():
        for number, row in enumerate(plan.setdefault(table, []), 1):
            where = f"{name}: {table} row {number}"
            if set(row) != set(columns):
                raise PlanError(f"{where}: has the columns {', '.join(row)} (needed: {', '.join(columns)})")
            for column, value in row.items():
                words = WORD_COLUMNS.get(column)
                if words and value not in words:
                    raise PlanError(f"{where}: {column} is '{value}' (known: {', '.join(words)})")
                if not words and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                    raise PlanError(f"{where}: {column} is {value} (a whole number of at least 1 is needed)")
            if table.endswith("attention") and row["heads"] % row["kv_heads"]:
                raise PlanError(f"{where}: {row['heads']} heads do not share {row['kv_heads']} KV heads evenly (correct one)")
            if table == "context_attention" and row["kv_len"] < row["seq_len"]:
                raise PlanError(f"{where}: kv_len {row['kv_len']} leaves out new tokens (it counts them: at least {row['seq_len']})")
    return plan


def plan_text(plan):
    """One shape per line: such a file is read, edited and compared by people."""
    parts = [f' "{key}": {json.dumps(plan[key])}' for key in ("schema", "models", "tp") if key in plan]
    for table in SHAPE_COLUMNS:
        rows = ",\n".join("  " + json.dumps(row) for row in plan.get(table, []))
        parts.append(f' "{table}": [\n{rows}\n ]' if rows else f' "{table}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"
