#!/usr/bin/env python3
"""Measures the kernels that an LLM engine spends its time in, on the GPU of this machine, and writes them in bench_data's schema.

    rooftune kernels plan --model NAME... --tp 1 2 4 --json > plan.json     which shapes (no GPU needed)
    collect_kernels.py --plan plan.json --gpu H100-SXM --out FOLDER         measure them

Written: a table for each kind of kernel of the plan (gemm.csv ...), plan.json and manifest.json (GPU, driver, versions,
clocks before and after each table, method, what was skipped and why). `validate_kernels.py FOLDER` checks them.

Method: CUDA events around one call; a few calls to warm up; before each timed call a buffer larger than the L2 cache is written,
so that operands come from memory as they do in an engine, and so that the GPU is busy while the call is queued; the median of
the repeats. GEMM: bf16 torch.nn.functional.linear, fp8 torch._scaled_mm, fp8_block and nvfp4 vLLM's kernels, with activations that
are quantised beforehand; the quantised ones must agree with a product in float32.
Attention: the first backend that runs and agrees with a reference: vLLM's FlashAttention over a paged cache, flash-attn,
PyTorch's scaled_dot_product_attention. Latent attention: whole modules (collect_modules.py), in bf16. Experts: vLLM's
fused kernel, tokens dealt evenly. Linear attention: recurrences of flash-linear-attention (vLLM's copy or the package) and mamba_ssm,
convolutions of causal_conv1d. Collectives: NCCL through torch.distributed, slowest rank.

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
        self.windows_work = self._agrees(new_tokens=48, window=32)

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
        if dtype == "fp8_block":
            return self._agreeing_gemm(self._fp8_block_gemm, x, w, tolerance=0.1)
        if dtype == "nvfp4":
            if self.properties.major < 10:
                raise Unsupported("this GPU has no FP4 units")
            return self._agreeing_gemm(self._nvfp4_gemm, x, w, tolerance=0.3)
        if dtype != "fp8":
            raise Unsupported(f"no kernel for {dtype} weights is called here: import tables that have them")
        if n % 16 or k % 16:
            raise Unsupported("torch._scaled_mm needs n and k in multiples of 16")
        one = torch.ones((), device=self.device, dtype=torch.float32)
        x8, w8 = x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn).t()
        return self.time_us(lambda: torch._scaled_mm(x8, w8, scale_a=one, scale_b=one, out_dtype=torch.bfloat16)), self.torch_engine

    def _agreeing_gemm(self, prepare, x, w, tolerance):
        """Time of a quantised product, if its kernel is here and computes the product."""
        try:
            call = prepare(x, w)
            got = call().float()
        except Exception as error:  # noqa: BLE001: whatever a missing or other release of vLLM raises
            raise Unsupported(f"{type(error).__name__}: {error}"[:300]) from None
        wanted = x.float() @ w.float().t()
        difference = ((got - wanted).norm() / wanted.norm()).item()
        if not difference < tolerance:
            raise Unsupported(f"differs from the product in float32 by {difference:.2g} of it")
        return self.time_us(call), vllm_engine()

    def _fp8_block_gemm(self, x, w, block=128):
        """One scale for 128 x 128 weights, one for 128 activations of a token, as DeepSeek's checkpoints have them."""
        from vllm.model_executor.layers.quantization.utils.fp8_utils import w8a8_block_fp8_matmul

        torch = self.torch
        m, k = x.shape
        n = w.shape[0]
        if n % block or k % block:
            raise Unsupported("n and k must be multiples of 128")
        most = torch.finfo(torch.float8_e4m3fn).max
        tokens = x.float().view(m, k // block, block)
        token_scales = tokens.abs().amax(-1).clamp(min=1e-6) / most
        x8 = (tokens / token_scales[..., None]).view(m, k).to(torch.float8_e4m3fn)
        blocks = w.float().view(n // block, block, k // block, block)
        scales = blocks.abs().amax((1, 3)).clamp(min=1e-6) / most
        w8 = (blocks / scales[:, None, :, None]).reshape(n, k).to(torch.float8_e4m3fn)
        return lambda: w8a8_block_fp8_matmul(x8, w8, token_scales, scales, [block, block], output_dtype=torch.bfloat16)

    def _nvfp4_gemm(self, x, w):
        from vllm import _custom_ops as ops

        torch = self.torch
        most = 448.0 * 6.0  # of an FP8 scale times a 4-bit number
        x_scale, w_scale = (most / t.abs().max().float() for t in (x, w))
        x4, x_scales = ops.scaled_fp4_quant(x, x_scale)
        w4, w_scales = ops.scaled_fp4_quant(w, w_scale)
        alpha = 1.0 / (x_scale * w_scale)
        return lambda: ops.cutlass_scaled_fp4_mm(x4, w4, x_scales, w_scales, alpha, torch.bfloat16)

    def _moe(self, dtype, num_tokens, hidden, inter, topk, experts, tp, ep, distribution):
        """What one GPU of tp x ep does: its slice of its experts, for the pairs that are theirs."""
        if dtype != "bf16":
            raise Unsupported(f"experts in {dtype} are not measured here: import tables that have them")
        if distribution != "balanced" or experts % ep or inter % tp:
            raise Unsupported("only experts that divide evenly, with evenly dealt tokens")
        try:
            from vllm.model_executor.layers.fused_moe import fused_experts
        except ImportError as error:
            raise Unsupported(f"vLLM's fused experts cannot be imported ({error})") from None
        torch, own, width = self.torch, experts // ep, inter // tp
        x = self._random(num_tokens, hidden)
        up_gate, down = self._random(own, 2 * width, hidden), self._random(own, hidden, width)
        # Pair i goes to expert i: as even as can be. Of other GPUs' experts nothing is computed.
        chosen = (torch.arange(num_tokens * topk, device=self.device) % experts).view(num_tokens, topk)
        weights = torch.full((num_tokens, topk), 1.0 / topk, device=self.device, dtype=torch.float32)
        if ep > 1:
            mine = chosen < own
            rows = mine.any(dim=1)
            if not rows.any():
                raise Unsupported("no token reaches the first GPU's experts")
            x, chosen, weights, mine = x[rows], chosen[rows], weights[rows], mine[rows]
            per_token = int(mine.sum(dim=1).max())
            order = mine.int().argsort(dim=1, descending=True, stable=True)[:, :per_token]
            chosen, weights = chosen.gather(1, order).clamp(max=own - 1), weights.gather(1, order)
        return self.time_us(lambda: fused_experts(x, up_gate, down, weights, chosen.to(torch.int32))), vllm_engine()

    def _mla_context(self, dtype, compute_dtype, kv_dtype, batch, seq_len, kv_len, heads):
        if (dtype, compute_dtype, kv_dtype) != ("bf16", "bf16", "bf16") or seq_len != kv_len:
            raise Unsupported("latent attention is measured in bf16 and from scratch: import tables that have more")
        return self._module(lambda modules: modules.latent_prompt(self, modules.DEEPSEEK, heads, batch, seq_len))

    def _mla_generation(self, dtype, kv_dtype, batch, kv_len, heads):
        if (dtype, kv_dtype) != ("bf16", "bf16"):
            raise Unsupported("latent attention is measured in bf16: import tables that have more")
        return self._module(lambda modules: modules.latent_decode(self, modules.DEEPSEEK, heads, batch, kv_len))

    def _sparse_attention(self, op, model, phase, kv_dtype, batch, seq_len, kv_len, heads, tp):
        raise Unsupported("tables hold whole modules of sparse attention, with FP8 weights in blocks: import such tables")

    def _module(self, prepare):
        """Time of a module, if its kernels are here and agree with a reference."""
        import collect_modules

        try:
            call = prepare(collect_modules)
            call()
        except self.torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001: whatever a missing or other release of vLLM raises
            raise Unsupported(f"{type(error).__name__}: {error}"[:300]) from None
        return self.time_us(call), vllm_engine()

    def _linear_attention(self, op, phase, part, batch, seq_len, k_heads, v_heads, k_dim, v_dim):
        """Of one layer; `k_dim` is Mamba-2's state."""
        if part == "convolution":
            channels = v_heads * v_dim + 2 * k_heads * k_dim
            return self._convolution(phase, batch, seq_len, channels)
        if part == "whole":
            raise Unsupported("kernels that convolve as well are not called here: import tables that have them")
        if op == "mamba2":
            return self._mamba2(phase, batch, seq_len, k_heads, v_heads, k_dim, v_dim)
        if op == "kda":
            return self._kimi_delta(phase, batch, seq_len, k_heads, v_heads, k_dim, v_dim)
        return self._gated_delta(phase, batch, seq_len, k_heads, v_heads, k_dim, v_dim)

    def _convolution(self, phase, batch, seq_len, channels, width=4):
        try:
            import causal_conv1d
        except ImportError as error:
            raise Unsupported(f"causal_conv1d cannot be imported ({error})") from None
        torch = self.torch
        weights = self._random(channels, width)
        engine = f"causal_conv1d-{causal_conv1d.__version__}"
        if phase == "context":
            x = self._random(batch, channels, seq_len)
            wanted = torch.nn.functional.conv1d(x.float(), weights.float()[:, None], padding=width - 1, groups=channels)[..., :seq_len]
            got = causal_conv1d.causal_conv1d_fn(x, weights).float()
            if not (got - wanted).norm() < 0.02 * wanted.norm():
                raise Unsupported("the convolution differs from PyTorch's")
            return self.time_us(lambda: causal_conv1d.causal_conv1d_fn(x, weights, activation="silu")), engine
        x, state = self._random(batch, channels), self._random(batch, channels, width)
        return self.time_us(lambda: causal_conv1d.causal_conv1d_update(x, state, weights, activation="silu")), engine

    def _mamba2(self, phase, batch, seq_len, groups, heads, state_size, head_dim, chunk=256):
        try:
            import mamba_ssm
            from mamba_ssm.ops.triton.selective_state_update import selective_state_update
            from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined
        except ImportError as error:
            raise Unsupported(f"mamba_ssm cannot be imported ({error})") from None
        torch, engine = self.torch, f"mamba_ssm-{mamba_ssm.__version__}"
        decay = -torch.rand(heads, device=self.device)
        if phase == "context":
            x = self._random(batch, seq_len, heads, head_dim)
            step = torch.rand(batch, seq_len, heads, device=self.device)
            b, c = (self._random(batch, seq_len, groups, state_size) for _ in range(2))
            return self.time_us(lambda: mamba_chunk_scan_combined(x, step, decay, b, c, chunk, return_final_states=True)), engine
        state = torch.zeros(batch, heads, head_dim, state_size, device=self.device)
        x = self._random(batch, heads, head_dim)
        step = torch.rand(batch, heads, 1, device=self.device).expand(-1, -1, head_dim)
        wide = decay[:, None, None].expand(-1, head_dim, state_size)
        b, c = (self._random(batch, groups, state_size) for _ in range(2))
        return self.time_us(lambda: selective_state_update(state, x, step, wide, b, c, dt_softplus=True)), engine

    def _kimi_delta(self, phase, batch, seq_len, k_heads, v_heads, k_dim, v_dim):
        try:
            try:
                from vllm.model_executor.layers.fla.ops.kda import chunk_kda, fused_recurrent_kda

                engine = vllm_engine()
            except ImportError:
                import fla
                from fla.ops.kda import chunk_kda, fused_recurrent_kda

                engine = f"fla-{fla.__version__}"
        except ImportError as error:
            raise Unsupported(f"flash-linear-attention cannot be imported ({error})") from None
        torch = self.torch
        q, k = (self._random(batch, seq_len, k_heads, k_dim) for _ in range(2))
        v = self._random(batch, seq_len, v_heads, v_dim)
        decay = -torch.rand(batch, seq_len, k_heads, k_dim, device=self.device)  # of every channel
        beta = torch.rand(batch, seq_len, v_heads, device=self.device).to(torch.bfloat16)
        state = torch.zeros(batch, v_heads, k_dim, v_dim, device=self.device)
        run = chunk_kda if phase == "context" else fused_recurrent_kda
        arguments = dict(g=decay, beta=beta, initial_state=state, output_final_state=True, use_qk_l2norm_in_kernel=True)
        return self.time_us(lambda: run(q, k, v, **arguments)), engine

    def _gated_delta(self, phase, batch, seq_len, k_heads, v_heads, k_dim, v_dim):
        """By chunks for prompts, step by step for decodes."""
        try:
            try:
                from vllm.model_executor.layers.fla.ops import chunk_gated_delta_rule, fused_recurrent_gated_delta_rule

                engine = vllm_engine()
            except ImportError:
                import fla
                from fla.ops.gated_delta_rule import chunk_gated_delta_rule, fused_recurrent_gated_delta_rule

                engine = f"fla-{fla.__version__}"
        except ImportError as error:
            raise Unsupported(f"flash-linear-attention cannot be imported ({error})") from None
        torch = self.torch
        q, k = (self._random(batch, seq_len, k_heads, k_dim).repeat_interleave(v_heads // k_heads, 2) for _ in range(2))
        v = self._random(batch, seq_len, v_heads, v_dim)
        decay = -torch.rand(batch, seq_len, v_heads, device=self.device)
        beta = torch.rand(batch, seq_len, v_heads, device=self.device).to(torch.bfloat16)
        state = torch.zeros(batch, v_heads, k_dim, v_dim, device=self.device)
        run = chunk_gated_delta_rule if phase == "context" else fused_recurrent_gated_delta_rule
        arguments = dict(g=decay, beta=beta, initial_state=state, output_final_state=True, use_qk_l2norm_in_kernel=True)
        return self.time_us(lambda: run(q, k, v, **arguments)), engine

    def _context_attention(self, dtype, kv_dtype, batch, seq_len, kv_len, heads, kv_heads, head_dim, window):
        return self._attention(dtype, kv_dtype, batch, seq_len, kv_len, heads, kv_heads, head_dim, window)

    def _generation_attention(self, dtype, kv_dtype, batch, kv_len, heads, kv_heads, head_dim, window):
        return self._attention(dtype, kv_dtype, batch, 1, kv_len, heads, kv_heads, head_dim, window)

    def _attention(self, dtype, kv_dtype, batch, new_tokens, kv_len, heads, kv_heads, head_dim, window):
        if (dtype, kv_dtype) != ("bf16", "bf16"):
            raise Unsupported(f"attention in {dtype} over a {kv_dtype} cache is not measured here")
        if 1 < new_tokens < kv_len and not self.chunks_work:
            raise Unsupported(f"{self.attention.name} cannot compute a chunk of a longer prompt")
        if window and not self.windows_work:
            raise Unsupported(f"{self.attention.name} cannot compute a sliding window")
        q = self._random(batch, new_tokens, heads, head_dim)
        k, v = (self._random(batch, kv_len, kv_heads, head_dim) for _ in range(2))
        return self.time_us(self.attention.prepare(q, k, v, window)), self.attention.name

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

    def _agrees(self, new_tokens, window=0):
        try:
            self._check_attention(self.attention, new_tokens, window=window)
        except Exception:  # noqa: BLE001: as above
            return False
        return True

    def _check_attention(self, attention, new_tokens, kv_len=80, heads=8, kv_heads=2, head_dim=128, window=0):
        torch = self.torch
        q = self._random(2, new_tokens, heads, head_dim)
        k, v = (self._random(2, kv_len, kv_heads, head_dim) for _ in range(2))
        got = attention.prepare(q, k, v, window)()
        queries, keys, values = (x.float().transpose(1, 2) for x in (q, *(x.repeat_interleave(heads // kv_heads, 2) for x in (k, v))))
        scores = queries @ keys.transpose(2, 3) / math.sqrt(head_dim)
        # Causal from the end: the last new token sees everything.
        hidden = torch.ones(new_tokens, kv_len, device=self.device, dtype=torch.bool).triu(kv_len - new_tokens + 1)
        if window:
            hidden |= torch.ones_like(hidden).tril(kv_len - new_tokens - window)
        wanted = scores.masked_fill(hidden, -math.inf).softmax(-1) @ values
        difference = (got.reshape(q.shape).float().transpose(1, 2) - wanted).abs().max().item()
        if not difference < 0.05:
            raise RuntimeError(f"differs from the reference by {difference:.3g}")

    def collective(self, op, ranks, sizes):
        """Microseconds by message size of one collective over `ranks` GPUs."""
        if ranks > self.torch.cuda.device_count():
            raise Unsupported(f"needs {ranks} GPUs, this machine has {self.torch.cuda.device_count()}")
        import torch.multiprocessing as processes

        context = processes.get_context("spawn")
        results = context.SimpleQueue()
        processes.spawn(collective_rank, args=(op, ranks, sizes, free_port(), results), nprocs=ranks)
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

    def prepare(self, q, k, v, window=0):
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
        if window:
            arguments["window_size"] = [window - 1, 0]
        flat = q.reshape(batch * new_tokens, heads, head_dim)
        return lambda: self.run(flat, keys, values, **arguments)


class FlashAttention:
    """The flash-attn package over a contiguous cache."""

    def __init__(self, torch):
        import flash_attn

        self.run = flash_attn.flash_attn_with_kvcache
        self.name = f"flash-attn-{flash_attn.__version__}"
        self.torch = torch

    def prepare(self, q, k, v, window=0):
        lengths = self.torch.full((q.shape[0],), k.shape[1], dtype=self.torch.int32, device=q.device)
        size = (window - 1, 0) if window else (-1, -1)
        return lambda: self.run(q, k, v, cache_seqlens=lengths, causal=True, window_size=size)


class Sdpa:
    """PyTorch's own attention."""

    def __init__(self, torch):
        from torch.nn.attention.bias import causal_lower_right

        self.torch, self.causal_lower_right = torch, causal_lower_right
        self.name = f"torch-{torch.__version__.split('+')[0]}-sdpa"

    def prepare(self, q, k, v, window=0):
        if window:
            raise Unsupported("PyTorch's attention has no kernel for a sliding window")
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


def vllm_engine():
    import vllm

    return f"vllm-{vllm.__version__}"


def collective_call(op, distributed, message, ranks):
    """A call of one collective; `message` is the buffer that all ranks' parts make up together."""
    own = message[: max(1, message.numel() // ranks)].clone()
    if op == "allreduce":
        return lambda: distributed.all_reduce(message)
    if op == "all_gather":
        return lambda: distributed.all_gather_into_tensor(message[: own.numel() * ranks], own)
    if op == "reduce_scatter":
        return lambda: distributed.reduce_scatter_tensor(own, message[: own.numel() * ranks])
    received = message.clone()
    return lambda: distributed.all_to_all_single(received[: own.numel() * ranks], message[: own.numel() * ranks])


def collective_rank(rank, op, ranks, sizes, port, results):
    """One process of a measurement of a collective."""
    import torch
    import torch.distributed as distributed

    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.cuda.set_device(rank)
    distributed.init_process_group("nccl", rank=rank, world_size=ranks)
    latencies = {}
    for size in sizes:
        message = torch.zeros(max(1, size // 2), dtype=torch.bfloat16, device=rank)
        call = collective_call(op, distributed, message, ranks)
        for _ in range(WARM_UP):
            call()
        samples = []
        for _ in range(MIN_REPEATS):
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            call()  # brings the ranks together
            start.record()
            for _ in range(ALLREDUCE_BATCH):
                call()
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
        row.update(kind="nccl", mode="eager")
    if "repeats" in row:
        row.update(repeats=MIN_REPEATS)
    if gpu is None or table not in kernel_plan.PEAK_TABLES:
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
        if table in ("allreduce", "collective"):
            collect_collectives(table, shapes, bench, gpu, deadline, collection)
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


def collect_collectives(table, shapes, bench, gpu, deadline, collection):
    def kind(shape):
        return shape.get("op", "allreduce"), shape["ranks"]

    for op, ranks in sorted({kind(shape) for shape in shapes}):
        group = [shape for shape in shapes if kind(shape) == (op, ranks)]
        try:
            if time.monotonic() > deadline:
                raise Unsupported("time limit")
            if any(shape["dtype"] != "bf16" for shape in group):
                raise Unsupported("collectives are measured in bf16")
            latencies, engine = bench.collective(op, ranks, [shape["bytes"] for shape in group])
        except RuntimeError as reason:
            for shape in group:
                collection.skip(table, shape, reason)
        else:
            for shape in group:
                collection.rows[table].append(table_row(table, shape, latencies[shape["bytes"]], engine, gpu))


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
                "quantised_gemm": "activations quantised beforehand; their quantisation is not in the time",
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
    shapes.add_argument("--plan", metavar="FILE", help="shapes to measure, '-' for standard input (rooftune kernels plan --json)")
    shapes.add_argument("--print-plan", action="store_true", help="check the plan, print it and stop")
    parser.add_argument("--gpu", help="name of this GPU type in the tables, e.g. H100-SXM")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="a new folder for the tables")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="stop measuring after this time; the rest is listed")
    options = parser.parse_args(arguments)
    if not options.plan:
        parser.error("--plan is missing (write one with rooftune kernels plan --json)")
    if not options.print_plan and not (options.gpu and options.out):
        parser.error("measuring needs --gpu and --out (or print the shapes with --print-plan)")
    return options


def load_plan(options):
    text = sys.stdin.read() if options.plan == "-" else Path(options.plan).read_text(encoding="utf-8")
    return kernel_plan.parse_plan(text, options.plan)


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
            "or look at the shapes to measure with --print-plan.",
            file=sys.stderr,
        )
        return 2


if __name__ == "__main__":
    sys.exit(main())
