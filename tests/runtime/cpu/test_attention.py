"""Every way to compute attention gives the numbers of the formula written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from memvit.models import attention as network_attention
from memvit.models.attention import MASK_VALUE, PositionBias, RelativeAttention, attention
from memvit.models.position import PositionRule, PositionTables, one_hot_columns
from memvit.runtime.cpu import attention as cpu_attention
from memvit.runtime.cpu.attention import ChunkedAttention, matmul_chunked
from memvit.runtime.cpu.onednn import can_pack, linear_with_given_bias

GRID = (2, 3, 4)
KEY_GRID = (2, 3, 2)
DIM = 24
Way = Callable[[Tensor, Tensor, Tensor, PositionBias, float], Tensor]


def arguments_of(cls: int, past: int, *, heads: int = 2, batch: int = 3) -> tuple[Tensor, Tensor, Tensor, PositionBias]:
    """Queries, keys and values as views of tokens, with positions of three axes and `past` clips of memory."""
    generator = torch.Generator().manual_seed(cls + 2 * past)

    def tokens(count: int) -> Tensor:
        made = torch.randn(batch, count, heads * DIM, generator=generator)
        return made.unflatten(2, (heads, DIM)).transpose(1, 2)

    one_hot = one_hot_columns((0, 1, 2), KEY_GRID, ((1, 2, 2), past) if past else None, cls, torch.zeros(()))
    keys, queries = one_hot.shape[0], 24 + cls
    # Axes as wide as their columns: what stands in the tables does not matter here, only the products do.
    widths = [1 * past + 2, 2 * bool(past) + 3, 2 * bool(past) + 2]
    products = [torch.randn(batch, heads, 24, width, generator=generator) for width in widths]
    key_mask = None
    if past:
        key_mask = torch.zeros(batch, keys)
        key_mask[0, : 4 + cls] = MASK_VALUE
    return tokens(queries), tokens(keys), tokens(keys), PositionBias(products, one_hot, key_mask)


def by_hand(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float) -> Tensor:
    """softmax(q·k · scale + the bias) · v + q, in float64, the cls token without bias and without residual."""
    q, k, v = q.double(), k.double(), v.double()
    cls = q.shape[2] - bias.num_queries
    added = torch.zeros(*q.shape[:3], k.shape[2], dtype=torch.float64)
    added[:, :, cls:] = torch.cat(bias.products, dim=3).double() @ bias.one_hot.double().t()
    logits = q @ k.transpose(2, 3) * scale + added
    if bias.key_mask is not None:
        logits += bias.key_mask[:, None, None].double()
    attended = logits.softmax(3) @ v
    attended[:, :, cls:] += q[:, :, cls:]
    return attended.transpose(1, 2).flatten(2)


def of_networks(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float) -> Tensor:
    """`attention` wants products divided by the scale."""
    divided = [product / scale for product in bias.products]
    return attention(q, k, v, replace(bias, products=divided), scale)


def sdpa_chunked_bias(q: Tensor, k: Tensor, v: Tensor, bias: PositionBias, scale: float) -> Tensor:
    """With the multiplication by one-hot columns that `ChunkedAttention` keeps."""
    return cpu_attention.sdpa_chunked_bias(q, k, v, bias, scale, linear_with_given_bias(bias.one_hot))


@pytest.fixture(params=["whole", "in small chunks"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one head and few queries, or all at once."""
    if request.param == "in small chunks":
        monkeypatch.setattr(cpu_attention, "BIAS_VALUES", 64)
        monkeypatch.setattr(cpu_attention, "LOGIT_VALUES", 64)
        monkeypatch.setattr(cpu_attention, "QUERY_BLOCK", 4)
        monkeypatch.setattr(cpu_attention, "SAMPLED_KEYS", 3)


@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize("way", [of_networks, sdpa_chunked_bias, matmul_chunked])
@pytest.mark.parametrize(("cls", "past"), [(0, 0), (1, 0), (0, 2), (1, 2)])
@torch.inference_mode()
def test_every_way_computes_the_formula(way: Way, cls: int, past: int) -> None:
    arguments = arguments_of(cls, past)
    torch.testing.assert_close(
        way(*arguments, DIM**-0.5).double(), by_hand(*arguments, DIM**-0.5), atol=1e-5, rtol=1e-5
    )


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no bfloat16 products")
@pytest.mark.usefixtures("chunks")
@pytest.mark.parametrize(("cls", "past"), [(0, 0), (1, 2)])
@torch.inference_mode()
def test_products_in_bfloat16_are_near_also_where_logits_are_large(cls: int, past: int) -> None:
    q, k, v, bias = arguments_of(cls, past)
    exact = by_hand(q, k, v, bias, DIM**-0.5)
    error = (matmul_chunked(q, k, v, bias, DIM**-0.5, bf16=True).double() - exact).abs()
    assert error.mean() < 0.01 and error.max() < 0.1
    # One more for all keys changes no weight, but rounds every logit to whole numbers if nothing is subtracted.
    lifted = replace(bias, products=[bias.products[0] + 200, *bias.products[1:]])
    error = (matmul_chunked(q, k, v, lifted, DIM**-0.5, bf16=True).double() - by_hand(q, k, v, lifted, DIM**-0.5)).abs()
    assert error.mean() < 0.05, error.mean()


def test_networks_and_cpu_runners_choose_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network has one way, whatever the gradient mode; on a CPU the number of queries and keys decides."""
    taken: list[str] = []

    def record(name: str) -> Callable[..., Tensor]:
        def way(q: Tensor, *_: object, bf16: bool = False) -> Tensor:
            taken.append(f"{name} in bfloat16" if bf16 else name)
            return q

        return way

    monkeypatch.setattr(network_attention, "attention", record("attention"))
    for name in ("sdpa_chunked_bias", "matmul_chunked"):
        monkeypatch.setattr(cpu_attention, name, record(name))
    of_network = RelativeAttention(2, DIM, PositionRule(cls_token=True, clamped=False, memory_stride=1))
    tables = PositionTables(*(torch.zeros(2 * size - 1, DIM) for size in (3, 4, 2)))
    tokens = torch.zeros(1, 25, 2 * DIM), torch.zeros(1, 13, 2 * DIM), torch.zeros(1, 13, 2 * DIM)

    def call(module: RelativeAttention) -> None:
        module(*tokens, (GRID, KEY_GRID), tables, None)

    call(of_network)
    with torch.inference_mode():
        call(of_network)
        call(ChunkedAttention(of_network, bf16_matmul=False))
        monkeypatch.setattr(cpu_attention, "LONG", 1)
        call(ChunkedAttention(of_network, bf16_matmul=False))
        call(ChunkedAttention(of_network, bf16_matmul=True))
    long = ["matmul_chunked", "matmul_chunked in bfloat16" if can_pack(torch.bfloat16) else "matmul_chunked"]
    expected = ["attention"] * 2 + ["sdpa_chunked_bias", *(long if can_pack() else ["sdpa_chunked_bias"] * 2)]
    assert taken == expected
