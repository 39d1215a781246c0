#!/usr/bin/env python3
"""Measures the kernels that an LLM engine spends its time in, on the GPU of this machine, and writes them in bench_data's schema.

    collect_kernels.py --print-plan --model FILE... --tp 1,2,4 > plan.json   which shapes (no GPU and no PyTorch needed)
    collect_kernels.py --plan plan.json --gpu H100-SXM --out FOLDER         measure them
    collect_kernels.py --model FILE... --tp 1 --gpu H100-SXM --out FOLDER   both at once

Written: FOLDER/{gemm,context_attention,generation_attention,allreduce}.csv, plan.json and manifest.json (GPU, driver, versions,
clocks before and after each table, method, what was skipped and why). `validate_kernels.py FOLDER` checks them.

Method: CUDA events around one call; a few calls to warm up; before each timed call a buffer larger than the L2 cache is written,
so that operands come from memory as they do in an engine, and so that the GPU is busy while the call is queued; the median of
the repeats. GEMM: bf16 torch.nn.functional.linear, fp8 torch._scaled_mm with activations that are quantised beforehand.
Attention: the first backend that runs and agrees with a reference: vLLM's FlashAttention over a paged cache, flash-attn,
PyTorch's scaled_dot_product_attention. All-reduce: NCCL through torch.distributed, slowest rank.

Exit codes: 0 measured, 1 bad usage or input, 2 no GPU or no PyTorch here (or nothing could be measured).
"""

import argparse
import datetime
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "import")]
import kernel_plan  # noqa: E402
import kernel_tables as kt  # noqa: E402

WARM_UP = 3
MIN_REPEATS = 7
MAX_REPEATS = 40
REPEAT_BUDGET_S = 0.15  # long kernels vary little: they get fewer repeats
ALLREDUCE_BATCH = 10  # calls between two events: a single one would measure how far apart the ranks started


class NoGpu(RuntimeError):
    """This machine cannot measure."""


class Unsupported(RuntimeError):
    """This shape cannot be measured here; the rest can."""


# --- the GPU ------------------------------------------------------------------------------------------------------------------


class Cuda:
    """Measures shapes with PyTorch, which is imported here so that everything else works without it."""

    def __init__(self):
        try:
            import torch
        except ImportError as error:
            raise NoGpu(f"PyTorch cannot be imported ({error})") from None
        if not torch.cuda.is_available():
            raise NoGpu("PyTorch sees no CUDA GPU")
        self.torch = torch
        self.device = torch.device("cuda", 0)
        self.properties = torch.cuda.get_device_properties(0)
        self.l2_bytes = getattr(self.properties, "L2_cache_size", 0) or 128 * 2**20
        self.flush = torch.empty(max(4 * self.l2_bytes, 256 * 2**20), dtype=torch.int8, device=self.device)
        self.torch_engine = f"torch-{torch.__version__.split('+')[0]}"
        self.attention, self.rejected_backends = self._choose_attention()
        self.chunks_work = self._agrees(new_tokens=48)

    def facts(self):
        torch, properties = self.torch, self.properties
        return {
            "device": properties.name,
            "devices": torch.cuda.device_count(),
            "compute_capability": f"{properties.major}.{properties.minor}",
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "l2_bytes": self.l2_bytes,
            "driver": nvidia_smi("driver_version"),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "nccl": ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_available() else None,
            "attention_backend": self.attention.name,
            "attention_backends_rejected": self.rejected_backends,
            "event_overhead_us": round(self.time_us(lambda: None), 3),
        }

    def time_us(self, call):
        torch = self.torch
        for _ in range(WARM_UP):
            call()
        torch.cuda.synchronize()
        samples, begin = [], time.monotonic()
        while len(samples) < MIN_REPEATS or (len(samples) < MAX_REPEATS and time.monotonic() - begin < REPEAT_BUDGET_S):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            self.flush.zero_()
            start.record()
            call()
            end.record()
            end.synchronize()
            samples.append(start.elapsed_time(end) * 1e3)
        return kt.median(samples)

    def measure(self, table, row):
        """Microseconds of one shape, and the software that it ran on."""
        try:
            return getattr(self, "_" + table)(**row)
        except self.torch.cuda.OutOfMemoryError:
            raise Unsupported("out of GPU memory") from None
        finally:
            self.torch.cuda.empty_cache()

    def _random(self, *shape, dtype=None):
        return self.torch.randn(*shape, device=self.device, dtype=dtype or self.torch.bfloat16)

    def _gemm(self, dtype, m, n, k):
        torch = self.torch
        x, w = self._random(m, k), self._random(n, k)
        if dtype == "bf16":
            return self.time_us(lambda: torch.nn.functional.linear(x, w)), self.torch_engine
        if (self.properties.major, self.properties.minor) < (8, 9):
            raise Unsupported("this GPU has no FP8 units")
        if n % 16 or k % 16:
            raise Unsupported("torch._scaled_mm needs n and k in multiples of 16")
        one = torch.ones((), device=self.device, dtype=torch.float32)
        x8, w8 = x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn).t()
        return self.time_us(lambda: torch._scaled_mm(x8, w8, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)), self.torch_engine

    def _context_attention(self, dtype, kv_dtype, batch, seq_len, kv_len, heads, kv_heads, head_dim):
        return self._attention(dtype, kv_dtype, batch, seq_len, kv_len, heads, kv_heads, head_dim)

    def _generation_attention(self, dtype, kv_dtype, batch, kv_len, heads, kv_heads, head_dim):
        return self._attention(dtype, kv_dtype, batch, 1, kv_len, heads, kv_heads, head_dim)

    def _attention(self, dtype, kv_dtype, batch, new_tokens, kv_len, heads, kv_heads, head_dim):
        if (dtype, kv_dtype) != ("bf16", "bf16"):
            raise Unsupported(f"attention in {dtype} over a {kv_dtype} cache is not measured here")
        if 1 < new_tokens < kv_len and not self.chunks_work:
            raise Unsupported(f"{self.attention.name} cannot compute a chunk of a longer prompt")
        q = self._random(batch, new_tokens, heads, head_dim)
        k, v = (self._random(batch, kv_len, kv_heads, head_dim) for _ in range(2))
        return self.time_us(self.attention.prepare(q, k, v)), self.attention.name

    def _choose_attention(self):
        """The first backend that runs and computes the right thing, and why those before it were passed over."""
        rejected = {}
        for backend in (VllmFlashAttention, FlashAttention, Sdpa):
            try:
                attention = backend(self.torch)
                for new_tokens in (1, 80):
                    self._check_attention(attention, new_tokens)
                return attention, rejected
            except Exception as error:  # noqa: BLE001: whatever a missing or broken package raises
                rejected[backend.__name__] = f"{type(error).__name__}: {error}"[:300]
        raise NoGpu(f"no attention backend works: {rejected}")

    def _agrees(self, new_tokens):
        try:
            self._check_attention(self.attention, new_tokens)
        except Exception:  # noqa: BLE001: as above
            return False
        return True

    def _check_attention(self, attention, new_tokens, kv_len=80, heads=8, kv_heads=2, head_dim=128):
        torch = self.torch
        q = self._random(2, new_tokens, heads, head_dim)
        k, v = (self._random(2, kv_len, kv_heads, head_dim) for _ in range(2))
        got = attention.prepare(q, k, v)()
        queries, keys, values = (x.float().transpose(1, 2) for x in (q, *(x.repeat_interleave(heads // kv_heads, 2) for x in (k, v))))
        scores = queries @ keys.transpose(2, 3) / math.sqrt(head_dim)
        # Causal from the end: the last new token sees everything.
        hidden = torch.ones(new_tokens, kv_len, device=self.device, dtype=torch.bool).triu(kv_len - new_tokens + 1)
        wanted = scores.masked_fill(hidden, -math.inf).softmax(-1) @ values
        difference = (got.reshape(q.shape).float().transpose(1, 2) - wanted).abs().max().item()
        if not difference < 0.05:
            raise RuntimeError(f"differs from the reference by {difference:.3g}")

    def all_reduce(self, ranks, sizes):
        """Microseconds by message size over `ranks` GPUs."""
        if ranks > self.torch.cuda.device_count():
            raise Unsupported(f"needs {ranks} GPUs, this machine has {self.torch.cuda.device_count()}")
        import torch.multiprocessing as processes

        context = processes.get_context("spawn")
        results = context.SimpleQueue()
        processes.spawn(all_reduce_rank, args=(ranks, sizes, free_port(), results), nprocs=ranks)
        slowest = {}
        for _ in range(ranks):
            for size, latency_us in results.get().items():
                slowest[size] = max(latency_us, slowest.get(size, 0.0))
        return slowest, f"nccl-{'.'.join(map(str, self.torch.cuda.nccl.version()))}"


class VllmFlashAttention:
    """What vLLM itself runs: variable lengths over a paged KV cache of 16-token blocks."""

    BLOCK = 16

    def __init__(self, torch):
        import vllm
        from vllm.vllm_flash_attn import flash_attn_varlen_func
        from vllm.vllm_flash_attn.flash_attn_interface import is_fa_version_supported

        self.torch, self.run = torch, flash_attn_varlen_func
        # As vLLM chooses: version 3 on Hopper alone.
        self.version = 3 if torch.cuda.get_device_capability()[0] == 9 and is_fa_version_supported(3) else 2
        self.name = f"vllm-{vllm.__version__}-fa{self.version}"

    def prepare(self, q, k, v):
        torch = self.torch
        batch, new_tokens, heads, head_dim = q.shape
        kv_len, kv_heads = k.shape[1], k.shape[2]
        blocks = -(-kv_len // self.BLOCK)

        def paged(x):
            padded = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, blocks * self.BLOCK - kv_len))
            return padded.reshape(batch * blocks, self.BLOCK, kv_heads, head_dim).contiguous()

        keys, values = paged(k), paged(v)
        # Blocks lie in random order, as they do in a pool that has served requests for a while.
        order = torch.randperm(batch * blocks, device=q.device)
        table = torch.empty_like(order)
        table[order] = torch.arange(batch * blocks, device=q.device)
        keys, values = keys[order], values[order]
        arguments = dict(
            cu_seqlens_q=torch.arange(0, (batch + 1) * new_tokens, new_tokens, dtype=torch.int32, device=q.device),
            max_seqlen_q=new_tokens,
            seqused_k=torch.full((batch,), kv_len, dtype=torch.int32, device=q.device),
            max_seqlen_k=kv_len,
            block_table=table.reshape(batch, blocks).to(torch.int32),
            softmax_scale=head_dim**-0.5,
            causal=True,
            fa_version=self.version,
        )
        flat = q.reshape(batch * new_tokens, heads, head_dim)
        return lambda: self.run(flat, keys, values, **arguments)


class FlashAttention:
    """The flash-attn package over a contiguous cache."""

    def __init__(self, torch):
        import flash_attn

        self.run = flash_attn.flash_attn_with_kvcache
        self.name = f"flash-attn-{flash_attn.__version__}"
        self.torch = torch

    def prepare(self, q, k, v):
        lengths = self.torch.full((q.shape[0],), k.shape[1], dtype=self.torch.int32, device=q.device)
        return lambda: self.run(q, k, v, cache_seqlens=lengths, causal=True)


class Sdpa:
    """PyTorch's own attention."""

    def __init__(self, torch):
        from torch.nn.attention.bias import causal_lower_right

        self.torch, self.causal_lower_right = torch, causal_lower_right
        self.name = f"torch-{torch.__version__.split('+')[0]}-sdpa"

    def prepare(self, q, k, v):
        attend = self.torch.nn.functional.scaled_dot_product_attention
        queries, keys, values = (x.transpose(1, 2) for x in (q, k, v))
        new_tokens, kv_len = q.shape[1], k.shape[1]
        if new_tokens == 1:
            return lambda: attend(queries, keys, values, enable_gqa=True).transpose(1, 2)
        if new_tokens == kv_len:
            return lambda: attend(queries, keys, values, is_causal=True, enable_gqa=True).transpose(1, 2)
        mask = self.causal_lower_right(new_tokens, kv_len)
        return lambda: attend(queries, keys, values, attn_mask=mask, enable_gqa=True).transpose(1, 2)


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def all_reduce_rank(rank, ranks, sizes, port, results):
    """One process of an all-reduce measurement."""
    import torch
    import torch.distributed as distributed

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.cuda.set_device(rank)
    distributed.init_process_group("nccl", rank=rank, world_size=ranks)
    latencies = {}
    for size in sizes:
        message = torch.zeros(max(1, size // 2), dtype=torch.bfloat16, device=rank)
        for _ in range(WARM_UP):
            distributed.all_reduce(message)
        samples = []
        for _ in range(MIN_REPEATS):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            distributed.all_reduce(message)  # brings the ranks together
            start.record()
            for _ in range(ALLREDUCE_BATCH):
                distributed.all_reduce(message)
            end.record()
            end.synchronize()
            samples.append(start.elapsed_time(end) * 1e3 / ALLREDUCE_BATCH)
        latencies[size] = kt.median(samples)
    distributed.destroy_process_group()
    results.put(latencies)


def nvidia_smi(field):
    """One field of the first GPU, or None: field names differ between drivers."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-i", "0", f"--query-gpu={field}", "--format=csv,noheader"], capture_output=True, text=True, timeout=20, check=True
        )
        return answer.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def clocks():
    fields = ("clocks.sm", "clocks.max.sm", "clocks.mem", "power.draw", "power.limit", "temperature.gpu")
    return {field: nvidia_smi(field) for field in fields}


# --- rows ---------------------------------------------------------------------------------------------------------------------


def find_gpu(name):
    """The GPU's data sheet, or None for one that kernel_tables does not know."""
    folded = name.lower().replace("_", "-")
    for gpu in kt.GPUS:
        if folded in (gpu.name.lower(), gpu.folder, gpu.upstream.replace("_", "-")):
            return gpu
    return None


def fractions(table, row, gpu):
    """(share of peak FLOP/s or None, share of peak bandwidth of memory or link) of a measured row."""
    t = float(row["latency_us"])
    number = {column: int(row[column]) for column in kernel_plan.SHAPE_COLUMNS[table] if column not in kernel_plan.WORD_COLUMNS}
    if table == "gemm":
        flops = kt.gemm_flops(number["m"], number["n"], number["k"])
        traffic = kt.gemm_weight_bytes(number["n"], number["k"], row["dtype"])
    elif table == "context_attention":
        flops = kt.context_flops(*(number[c] for c in ("batch", "seq_len", "kv_len", "heads", "head_dim")), int(row.get("window") or 0))
        traffic = kt.context_bytes(*(number[c] for c in ("batch", "seq_len", "kv_len", "heads", "kv_heads", "head_dim")), row["kv_dtype"])
    elif table == "generation_attention":
        flops = None
        read = min(number["kv_len"], int(row.get("window") or 0) or number["kv_len"])
        traffic = kt.kv_bytes(number["batch"], read, number["kv_heads"], number["head_dim"], row["kv_dtype"])
    else:
        return None, kt.bus_bytes(number["ranks"], number["bytes"]) / gpu.link_bytes_per_us / t
    return flops and flops / gpu.flops_per_us(row["dtype"]) / t, traffic / gpu.bytes_per_us / t


def table_row(table, shape, latency_us, engine, gpu):
    """A row of bench_data's schema. Without a data sheet the shares of its peaks stay empty."""
    row = {column: "" for column in kt.SCHEMA[table]}
    if "window" in row:
        row["window"] = 0
    row.update(shape, latency_us=f"{latency_us:.5g}", engine=engine)
    if table == "allreduce":
        row.update(kind="nccl", mode="eager", repeats=MIN_REPEATS)
    if gpu is None:
        return row
    mfu, streaming = fractions(table, row, gpu)
    if "mfu" in row:
        row["mfu"] = kt.short(mfu)
    row["achieved_fraction"] = kt.short(max(mfu or 0.0, streaming))
    if mfu is not None and mfu > kt.IMPOSSIBLE:
        row["flag"] = "over_flops"
    elif streaming > kt.IMPOSSIBLE:
        row["flag"] = "over_link" if table == "allreduce" else "over_bw_l2"
    return row


# --- collecting ---------------------------------------------------------------------------------------------------------------


class Collection:
    """What has been measured so far."""

    def __init__(self):
        self.rows = {table: [] for table in kernel_plan.SHAPE_COLUMNS}
        self.skipped = []
        self.clocks = {}

    def skip(self, table, shape, reason):
        self.skipped.append({"table": table, **shape, "reason": str(reason)})


def collect(plan, bench, gpu, deadline=math.inf, progress=lambda text: None):
    """Measures a plan's shapes with `bench`; what cannot be measured, or not in time, is listed with its reason."""
    collection = Collection()
    for table in kernel_plan.SHAPE_COLUMNS:
        shapes = plan.get(table, [])
        if not shapes:
            continue
        before = clocks()
        if table == "allreduce":
            collect_all_reduces(shapes, bench, gpu, deadline, collection)
        else:
            for number, shape in enumerate(shapes, 1):
                progress(f"{table} {number}/{len(shapes)}")
                if time.monotonic() > deadline:
                    collection.skip(table, shape, "time limit")
                    continue
                try:
                    latency_us, engine = bench.measure(table, shape)
                except Unsupported as reason:
                    collection.skip(table, shape, reason)
                except RuntimeError as error:  # a kernel that refuses one shape must not cost the others
                    collection.skip(table, shape, f"{type(error).__name__}: {error}"[:300])
                else:
                    collection.rows[table].append(table_row(table, shape, latency_us, engine, gpu))
        collection.clocks[table] = {"before": before, "after": clocks()}
    return collection


def collect_all_reduces(shapes, bench, gpu, deadline, collection):
    for ranks in sorted({shape["ranks"] for shape in shapes}):
        group = [shape for shape in shapes if shape["ranks"] == ranks]
        try:
            if time.monotonic() > deadline:
                raise Unsupported("time limit")
            if any(shape["dtype"] != "bf16" for shape in group):
                raise Unsupported("all-reduces are measured in bf16")
            latencies, engine = bench.all_reduce(ranks, [shape["bytes"] for shape in group])
        except RuntimeError as reason:
            for shape in group:
                collection.skip("allreduce", shape, reason)
        else:
            for shape in group:
                collection.rows["allreduce"].append(table_row("allreduce", shape, latencies[shape["bytes"]], engine, gpu))


def write(collection, plan, folder, gpu_name, facts):
    """The folder's files; returns how many rows were written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for table, rows in collection.rows.items():
        if not rows:
            continue
        data = kt.to_csv(kt.SCHEMA[table], rows)
        (folder / f"{table}.csv").write_bytes(data)
        engines = sorted({row["engine"] for row in rows})
        files.append({"file": f"{table}.csv", "rows": len(rows), "sha256": kt.sha256(data), "gpu": gpu_name, "engines": engines})
    (folder / "plan.json").write_text(kernel_plan.plan_text(plan), encoding="utf-8")
    manifest = {
        "schema": "rooftune/kernel-manifest/1",
        "imported": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "importer": "scripts/collect_kernels.py",
        "files": files,
        "collection": {
            "machine": facts,
            "method": {
                "statistic": "median",
                "warm_up": WARM_UP,
                "repeats": [MIN_REPEATS, MAX_REPEATS],
                "l2": "flushed before every call",
                "fp8_gemm": "activations quantised beforehand; their quantisation is not in the time",
            },
            "clocks": collection.clocks,
            "skipped": collection.skipped,
        },
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return sum(file["rows"] for file in files)


# --- command line -------------------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Bad usage exits with 1, as everywhere in rooftune."""

    def error(self, message):
        self.exit(1, f"error: {message}\n")


def parse_arguments(arguments):
    parser = Parser(description="Measures LLM kernels on this machine's GPU (see the head of this file).")
    shapes = parser.add_argument_group("what to measure")
    shapes.add_argument("--plan", metavar="FILE", help="shapes to measure, '-' for standard input")
    shapes.add_argument("--model", metavar="PATH", action="append", default=[], help="model facts or config.json; repeatable")
    shapes.add_argument("--tp", default="1", help="tensor-parallel degrees, e.g. 1,2,4 (default 1)")
    shapes.add_argument("--dtypes", help="GEMM formats, e.g. bf16,fp8 (default: what the models compute in)")
    shapes.add_argument("--print-plan", action="store_true", help="print the shapes and stop")
    parser.add_argument("--gpu", help="name of this GPU type in the tables, e.g. H100-SXM")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder for the tables")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="stop measuring after this time; the rest is listed")
    options = parser.parse_args(arguments)
    if bool(options.plan) == bool(options.model):
        parser.error("give either --plan or --model")
    if not options.print_plan and not (options.gpu and options.out):
        parser.error("measuring needs --gpu and --out (or print the shapes with --print-plan)")
    return options


def load_plan(options):
    if options.plan:
        text = sys.stdin.read() if options.plan == "-" else Path(options.plan).read_text(encoding="utf-8")
        return kernel_plan.parse_plan(text, options.plan)
    try:
        degrees = [int(word) for word in options.tp.split(",")]
    except ValueError:
        raise kernel_plan.PlanError(f"--tp is '{options.tp}' (whole numbers with commas between them, e.g. 1,2,4)") from None
    if min(degrees) < 1:
        raise kernel_plan.PlanError(f"--tp is '{options.tp}' (degrees start at 1)")
    dtypes = options.dtypes.split(",") if options.dtypes else None
    for dtype in dtypes or ():
        if dtype not in kernel_plan.WORD_COLUMNS["dtype"]:
            raise kernel_plan.PlanError(f"--dtypes names '{dtype}' (known: bf16, fp8)")
    return kernel_plan.make_plan([kernel_plan.read_model(path) for path in options.model], degrees, dtypes)


def measure(plan, options):
    if options.out.exists() and any(options.out.iterdir()):
        raise kernel_plan.PlanError(f"{options.out}: is not empty (name a new folder)")
    gpu = find_gpu(options.gpu)
    if gpu is None:
        print(f"note: no data sheet for '{options.gpu}', so mfu and achieved_fraction stay empty", file=sys.stderr)
    bench = Cuda()
    facts = bench.facts()
    print(f"{facts['device']}, driver {facts['driver']}, torch {facts['torch']}, attention by {facts['attention_backend']}", file=sys.stderr)

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r{text}\033[K", end="", file=sys.stderr, flush=True)

    deadline = time.monotonic() + 60.0 * options.max_minutes
    collection = collect(plan, bench, gpu, deadline, progress)
    rows = write(collection, plan, options.out, options.gpu, facts)
    progress("")
    print(f"{options.out}: {rows} rows measured, {len(collection.skipped)} shapes skipped (reasons in manifest.json)")
    return 0 if rows else 2


def main(arguments=None):
    options = parse_arguments(arguments)
    try:
        plan = load_plan(options)
        if options.print_plan:
            print(kernel_plan.plan_text(plan), end="")
            return 0
        return measure(plan, options)
    except (kernel_plan.PlanError, kt.TableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename}: {error.strerror} (check the path)", file=sys.stderr)
        return 1
    except NoGpu as reason:
        print(
            f"error: nothing can be measured here: {reason}\n"
            "Run this on a machine with an NVIDIA GPU and PyTorch (deploy/kubernetes/collect-kernels-job.yaml runs it in a cluster),\n"
            "or print the shapes to measure with --print-plan.",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
