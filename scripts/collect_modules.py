"""Modules of latent attention for collect_kernels.py, projections included.

What is timed is what vLLM's layers do with these kernels, put together here from the same parts: projections in PyTorch, latent
decodes by FlashMLA, prompts by the collector's own attention. Norms, rotary embedding and the write into the cache, some
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

    @property
    def row(self):
        return self.kv_rank + self.rope


DEEPSEEK = Dimensions(hidden=7168, query_rank=1536, kv_rank=512, nope=128, rope=64, value=128)
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

    def linear(self, x, w):
        return self.torch.nn.functional.linear(x, w)

    def queries(self, x):
        """Per head."""
        return self.linear(self.linear(x, self.q_a), self.q_b).view(-1, self.heads, self.dimensions.nope + self.dimensions.rope)

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
        q = layer.queries(x)
        layer.linear(x, layer.kv_a)
        return layer.output(attend(layer.latent_queries(q)))

    return call


def latent_prompt(bench, dimensions, heads, batch, tokens):
    """A call of one layer's prefill: keys and values of all heads, expanded from the latent; values padded to the keys' width."""
    torch, d = bench.torch, dimensions
    layer, x = Projections(bench, d, heads), bench._random(batch * tokens, d.hidden)
    width = d.nope + d.rope
    bench._check_attention(bench.attention, 80, heads=heads, kv_heads=heads, head_dim=width)
    # Laying out a cache is no part of the step: attention runs over one that stands ready.
    attend = bench.attention.prepare(*(bench._random(batch, tokens, heads, width) for _ in range(3)), 0)

    def call():
        layer.queries(x)
        latent = layer.linear(x, layer.kv_a)
        expanded = layer.linear(latent[:, : d.kv_rank].contiguous(), layer.kv_b).view(-1, heads, d.nope + d.value)
        rope = latent[:, None, d.kv_rank :].expand(-1, heads, -1)
        torch.cat([expanded[..., : d.nope], rope], dim=-1)
        torch.nn.functional.pad(expanded[..., d.nope :], (0, width - d.value))
        out = attend()
        return layer.linear(out.reshape(batch * tokens, heads, width)[..., : d.value].reshape(batch * tokens, -1), layer.o)

    return call
