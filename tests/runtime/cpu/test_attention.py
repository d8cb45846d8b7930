"""The ways of attention: all give the numbers of the formula written down."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from memvit.models import attend as attention
from memvit.models.attend import MASK_VALUE, Positions, attend, matmul_chunked, sdpa_augmented, sdpa_chunked_bias
from memvit.models.position import PositionColumns, one_hot_columns
from memvit.runtime.cpu.onednn import can_pack

GRID = (2, 3, 4)
KEY_GRID = (2, 3, 2)
DIM = 24
Way = Callable[[Tensor, Tensor, Tensor, Positions, float], Tensor]


def call(cls: int, past: int, *, heads: int = 2, batch: int = 3) -> tuple[Tensor, Tensor, Tensor, Positions]:
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
    unreadable = None
    if past:
        unreadable = torch.zeros(batch, keys)
        unreadable[0, : 4 + cls] = MASK_VALUE
    return (
        tokens(queries),
        tokens(keys),
        tokens(keys),
        Positions(products, PositionColumns((), (), one_hot), unreadable),
    )


def by_hand(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float) -> Tensor:
    """softmax(q·k · scale + the bias) · v + q, in float64, the cls token without bias and without residual."""
    q, k, v = q.double(), k.double(), v.double()
    cls = q.shape[2] - positions.queries
    bias = torch.zeros(*q.shape[:3], k.shape[2], dtype=torch.float64)
    bias[:, :, cls:] = torch.cat(positions.products, dim=3).double() @ positions.columns.one_hot.double().t()
    logits = q @ k.transpose(2, 3) * scale + bias
    if positions.unreadable is not None:
        logits += positions.unreadable[:, None, None].double()
    attended = logits.softmax(3) @ v
    attended[:, :, cls:] += q[:, :, cls:]
    return attended.transpose(1, 2).flatten(2)


def as_widened(q: Tensor, k: Tensor, v: Tensor, positions: Positions, scale: float) -> Tensor:
    """`sdpa_augmented` wants products divided by the scale."""
    divided = [product / scale for product in positions.products]
    return sdpa_augmented(q, k, v, Positions(divided, positions.columns, positions.unreadable), scale)


@pytest.fixture(params=["whole", "in small parts"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of one head and few queries, or all at once."""
    if request.param == "in small parts":
        monkeypatch.setattr(attention, "BIAS_VALUES", 64)
        monkeypatch.setattr(attention, "LOGIT_VALUES", 64)
        monkeypatch.setattr(attention, "QUERY_BLOCK", 4)
        monkeypatch.setattr(attention, "EVERY", 3)


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("way", [as_widened, sdpa_chunked_bias, matmul_chunked])
@pytest.mark.parametrize(("cls", "past"), [(0, 0), (1, 0), (0, 2), (1, 2)])
@torch.inference_mode()
def test_every_way_is_the_formula(way: Way, cls: int, past: int) -> None:
    arguments = call(cls, past)
    torch.testing.assert_close(
        way(*arguments, DIM**-0.5).double(), by_hand(*arguments, DIM**-0.5), atol=1e-5, rtol=1e-5
    )


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="this processor has no bfloat16 products")
@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize(("cls", "past"), [(0, 0), (1, 2)])
@torch.inference_mode()
def test_products_in_bfloat16_are_near_and_large_logits_do_not_hurt(cls: int, past: int) -> None:
    q, k, v, positions = call(cls, past)
    exact = by_hand(q, k, v, positions, DIM**-0.5)
    error = (matmul_chunked(q, k, v, positions, DIM**-0.5, halves=True).double() - exact).abs()
    assert error.mean() < 0.01 and error.max() < 0.1
    # One more for all keys changes no weight, but rounds every logit to whole numbers if nothing is subtracted.
    lifted = Positions([positions.products[0] + 200, *positions.products[1:]], positions.columns, positions.unreadable)
    error = (
        matmul_chunked(q, k, v, lifted, DIM**-0.5, halves=True).double() - by_hand(q, k, v, lifted, DIM**-0.5)
    ).abs()
    assert error.mean() < 0.05, error.mean()


def test_the_way_is_chosen_by_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def record(name: str) -> Callable[..., Tensor]:
        def way(q: Tensor, *_: object, halves: bool = False) -> Tensor:
            taken.append(f"{name} in halves" if halves else name)
            return q

        return way

    for name in ("widened", "biased", "multiplied"):
        monkeypatch.setattr(attention, name, record(name))
    arguments = call(1, 0)
    attend(*arguments, 1.0)
    with torch.inference_mode():
        attend(*arguments, 1.0)
        monkeypatch.setattr(attention, "LONG", 1)
        attend(*arguments, 1.0)
        attend(*arguments, 1.0, bf16_matmul=True)
    long = ["multiplied", "multiplied in halves" if can_pack(torch.bfloat16) else "multiplied"]
    assert taken == ["widened", "biased", *(long if can_pack() else ["biased"] * 2)]
