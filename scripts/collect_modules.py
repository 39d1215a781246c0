"""Modules of attention for collect_kernels.py: latent attention and sparse attention with an indexer, projections included.

What is timed is what vLLM's layers do with these kernels, put together here from the same parts: projections in PyTorch, latent
decodes by FlashMLA, prompts by FlashAttention, scores by DeepGEMM. Norms, rotary embedding and the write into the cache, some
microseconds each, are left out. Every attention core is compared with a product in float32 before it is timed.

None of this has run on a GPU yet: what a release of vLLM names otherwise ends as a skipped shape with its reason.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Dimensions:
    """Of one model's latent attention; `heads` are the row's."""

    hidden: int
    query_rank: int
    kv_rank: int
    nope: int
    rope: int
    value: int
    index_heads: int = 0
    index_dim: int = 128
    chosen: int = 2048

    @property
    def row(self):
        return self.kv_rank + self.rope


DEEPSEEK = Dimensions(hidden=7168, query_rank=1536, kv_rank=512, nope=128, rope=64, value=128, index_heads=64)
MODELS = {
    "DeepSeek-V3.2": DEEPSEEK,
    "GLM-5": Dimensions(hidden=6144, query_rank=2048, kv_rank=512, nope=192, rope=64, value=256, index_heads=32),
}
BLOCK = 64  # tokens of a block of FlashMLA's cache
LARGEST_DIFFERENCE = 0.05


def flash_mla():
    """vLLM's FlashMLA, wherever the release keeps it."""
    try:
        from vllm.v1.attention.ops import flashmla
    except ImportError:
        from vllm.attention.ops import flashmla
    return flashmla


class Projections:
    """The products of one layer, with random weights in 16 bits."""

    def __init__(self, bench, dimensions, heads):
        d = dimensions
        self.torch, self.dimensions, self.heads = bench.torch, d, heads
        scale = d.hidden**-0.5

        def weights(outputs, inputs):
            return bench._random(outputs, inputs) * scale

        self.q_a = weights(d.query_rank, d.hidden)
        self.q_b = weights(heads * (d.nope + d.rope), d.query_rank)
        self.kv_a = weights(d.row, d.hidden)
        self.kv_b = weights(heads * (d.nope + d.value), d.kv_rank)
        self.o = weights(d.hidden, heads * d.value)
        # Decodes work on the latent itself: the key's part goes to the query, the value's to the output.
        per_head = self.kv_b.view(heads, d.nope + d.value, d.kv_rank)
        self.key, self.value = per_head[:, : d.nope], per_head[:, d.nope :].transpose(1, 2).contiguous()
        if d.index_heads:
            self.index_q = weights(d.index_heads * d.index_dim, d.query_rank)
            self.index_k = weights(d.index_dim, d.hidden)
            self.index_weights = weights(d.index_heads, d.hidden)

    def linear(self, x, w):
        return self.torch.nn.functional.linear(x, w)

    def queries(self, x):
        """(compressed, per head)"""
        low = self.linear(x, self.q_a)
        return low, self.linear(low, self.q_b).view(-1, self.heads, self.dimensions.nope + self.dimensions.rope)

    def latent_queries(self, q):
        """Queries against the latent: tokens x heads x (rank + rope)."""
        d, torch = self.dimensions, self.torch
        nope = torch.bmm(q[..., : d.nope].transpose(0, 1), self.key).transpose(0, 1)
        return torch.cat([nope, q[..., d.nope :]], dim=-1)

    def output(self, latent):
        """Of tokens x heads x rank."""
        values = self.torch.bmm(latent.transpose(0, 1), self.value).transpose(0, 1)
        return self.linear(values.reshape(latent.shape[0], -1), self.o)


def check(torch, got, wanted):
    difference = ((got.float() - wanted.float()).norm() / wanted.float().norm()).item()
    if not difference < LARGEST_DIFFERENCE:
        raise RuntimeError(f"differs from the reference by {difference:.2g} of it")


def latent_reference(torch, q, cache, rank, scale):
    """q: sequences x heads x row; cache: sequences x tokens x row."""
    scores = torch.einsum("shr,str->sht", q.float(), cache.float()) * scale
    return torch.einsum("sht,str->shr", scores.softmax(-1), cache[..., :rank].float())


class LatentDecode:
    """FlashMLA over a paged cache of latents, one query a sequence."""

    def __init__(self, bench, dimensions, heads, batch, kv_len):
        torch, d, mla = bench.torch, dimensions, flash_mla()
        self.torch, self.d, self.mla = torch, d, mla
        self.scale = (d.nope + d.rope) ** -0.5
        blocks = -(-kv_len // BLOCK)
        self.cache = bench._random(batch * blocks, BLOCK, 1, d.row)
        self.table = torch.randperm(batch * blocks, device=bench.device).view(batch, blocks).to(torch.int32)
        self.lengths = torch.full((batch,), kv_len, dtype=torch.int32, device=bench.device)
        self.plan = mla.get_mla_metadata(self.lengths, heads, 1)

    def __call__(self, q):
        out, _ = self.mla.flash_mla_with_kvcache(
            q.unsqueeze(1), self.cache, self.table, self.lengths, self.d.kv_rank, *self.plan, softmax_scale=self.scale, causal=True
        )
        return out.squeeze(1)

    def contiguous(self, tokens):
        """What the table points at, for a reference."""
        return self.cache[self.table.long()].view(len(self.table), -1, self.d.row)[:, :tokens]


def latent_decode(bench, dimensions, heads, batch, kv_len):
    """A call of one layer's decode step."""
    torch = bench.torch
    small = LatentDecode(bench, dimensions, heads, 2, 100)
    q = bench._random(2, heads, dimensions.row)
    check(torch, small(q), latent_reference(torch, q, small.contiguous(100), dimensions.kv_rank, small.scale))
    layer, attend, x = Projections(bench, dimensions, heads), LatentDecode(bench, dimensions, heads, batch, kv_len), bench._random(batch, dimensions.hidden)

    def call():
        _, q = layer.queries(x)
        layer.linear(x, layer.kv_a)
        return layer.output(attend(layer.latent_queries(q)))

    return call


def latent_prompt(bench, dimensions, heads, batch, tokens):
    """A call of one layer's prefill: keys and values of all heads, expanded from the latent; values padded to the keys' width."""
    torch, d = bench.torch, dimensions
    layer, x = Projections(bench, d, heads), bench._random(batch * tokens, d.hidden)
    width = d.nope + d.rope

    def call():
        _, q = layer.queries(x)
        latent = layer.linear(x, layer.kv_a)
        expanded = layer.linear(latent[:, : d.kv_rank].contiguous(), layer.kv_b).view(-1, heads, d.nope + d.value)
        rope = latent[:, None, d.kv_rank :].expand(-1, heads, -1)
        k = torch.cat([expanded[..., : d.nope], rope], dim=-1)
        v = torch.nn.functional.pad(expanded[..., d.nope :], (0, width - d.value))
        out = bench.attention.prepare(*(t.view(batch, tokens, heads, width) for t in (q, k, v)), 0)()
        return layer.linear(out.reshape(batch * tokens, heads, width)[..., : d.value].reshape(batch * tokens, -1), layer.o)

    return call


def sparse_decode(bench, dimensions, heads, batch, kv_len):
    """A call of one layer's decode step with its indexer: scores of the whole context, the best of it, attention to that."""
    from vllm.utils import deep_gemm

    torch, d, mla = bench.torch, dimensions, flash_mla()
    layer, x = Projections(bench, d, heads), bench._random(batch, d.hidden)
    scale = (d.nope + d.rope) ** -0.5
    chosen = min(d.chosen, kv_len)
    cache = bench._random(batch * kv_len, 1, d.row)
    index_keys = bench._random(batch * kv_len, d.index_dim)
    most = torch.finfo(torch.float8_e4m3fn).max
    key_scales = index_keys.float().abs().amax(-1).clamp(min=1e-6) / most
    keys = ((index_keys.float() / key_scales[:, None]).to(torch.float8_e4m3fn), key_scales)
    starts = torch.arange(batch, device=bench.device, dtype=torch.int32) * kv_len
    ends = starts + kv_len

    def attend(q, indices):
        return mla.flash_mla_sparse_fwd(q, cache, indices.to(torch.int32).unsqueeze(1), scale)[0]

    # The core: what is chosen, and nothing else, is attended to.
    q = bench._random(batch, heads, d.row)
    some = starts[:, None] + torch.stack([torch.randperm(kv_len, device=bench.device)[:chosen] for _ in range(batch)])
    check(torch, attend(q, some), latent_reference(torch, q, cache[some.long(), 0], d.kv_rank, scale))

    def call():
        low, q = layer.queries(x)
        layer.linear(x, layer.kv_a)
        layer.linear(x, layer.index_k)
        index_q = layer.linear(low, layer.index_q).view(batch, d.index_heads, d.index_dim)
        weights = layer.linear(x, layer.index_weights).float()
        scores = deep_gemm.fp8_mqa_logits(index_q.to(torch.float8_e4m3fn), keys, weights, starts, ends)
        best = scores.topk(chosen, dim=-1).indices
        return layer.output(attend(layer.latent_queries(q), best))

    return call
