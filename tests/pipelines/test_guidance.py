"""What guidance has to do."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rsaug.pipelines.guidance import Branch, Guidance

F, K, B = Branch.FREE, Branch.CONTROLS, Branch.BOUND
SCALES = st.floats(0, 12)


def predictions(branches: dict[Branch, float]) -> list[torch.Tensor]:
    """A prediction a branch, the same for a branch wherever it occurs."""
    seeds = {F: 1, K: 2, B: 3}
    make = torch.Generator
    return [torch.randn(2, 4, 8, 8, generator=make().manual_seed(seeds[b])) for b in branches]


@given(SCALES, SCALES)
def test_the_documented_equation(text: float, controls: float) -> None:
    guidance = Guidance(text, controls)
    branches = guidance.branches(0.5)
    guided = guidance.combine(predictions(branches), branches)
    free, kept, bound = predictions({F: 0, K: 0, B: 0})
    expected = free + controls * (kept - free) + text * (bound - kept)
    torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-4)
    assert sum(branches.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "controls", "needed"),
    [
        (1, 1, [B]),
        (4, 4, [F, B]),
        (4, 1, [K, B]),
        (4, 2, [F, K, B]),
        (1, 0, [F, K, B]),
        (0, 0, [F]),
        (0, 1, [K]),
        (0, 2, [F, K]),
    ],
)
def test_only_what_counts_is_computed(text: float, controls: float, needed: list[Branch]) -> None:
    assert list(Guidance(text, controls).branches(0)) == needed


def test_outside_its_interval_there_is_none() -> None:
    guidance = Guidance(5, 5, interval=(0.2, 0.6))
    on = [len(guidance.branches(step / 10)) == 2 for step in range(10)]
    assert on == [False, False, True, True, True, True, False, False, False, False]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_rescaling_gives_back_the_deviation(share: float) -> None:
    guidance = Guidance(6, 6, rescale=share)
    branches = guidance.branches(0)
    parts = predictions(branches)
    guided = guidance.combine(parts, branches)
    plain = Guidance(6, 6).combine(parts, branches)
    for k in range(2):
        target = share * parts[1][k].std() + (1 - share) * plain[k].std()
        torch.testing.assert_close(guided[k].std(), target)


def test_rescaling_needs_the_bound_branch() -> None:
    branches = Guidance(0, 3, rescale=0.5).branches(0)
    assert branches[B] == 0
    parts = predictions(branches)
    assert Guidance(0, 3, rescale=0.5).combine(parts, branches).isfinite().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": -1.0}, "scale of text"),
        ({"controls": float("nan")}, "scale of controls"),
        ({"interval": (0.5, 0.2)}, "interval of guidance"),
        ({"interval": (0.0, 1.2)}, "interval of guidance"),
        ({"rescale": 1.5}, "share of 0 to 1"),
    ],
)
def test_numbers_that_make_no_guidance(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Guidance(**arguments)
