"""What strength, interval and region of a control have to do to the modulation."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import SIDE, controls, toy_adapter

from rsaug.conditions.stack import SLOTS
from rsaug.pipelines.adapter import Modulation
from rsaug.pipelines.guidance import Branch
from rsaug.pipelines.steering import ControlUse, Steering, check_uses

ROAD, SEG = SLOTS.index("road"), SLOTS.index("seg")
BOUND = (Branch.BOUND,)
STRENGTHS = st.floats(0, 2)


@pytest.fixture(scope="module")
def adapter() -> Any:
    return toy_adapter()


@torch.no_grad()
def modulation(
    adapter: Any, *slots: int, moment: float = 0.0, **uses: ControlUse
) -> list[torch.Tensor]:
    maps, present = controls(2, ROAD, SEG)
    for slot in {ROAD, SEG} - {*slots}:
        maps[:, 3 * slot : 3 * slot + 3] = 0
        present[:, slot] = 0
    return flat(Steering(adapter, maps, present, uses).at(moment, BOUND))


def flat(modulation: Modulation) -> list[torch.Tensor]:
    return [x for pair in modulation for x in pair]


def assert_equal(a: list[torch.Tensor], b: list[torch.Tensor]) -> None:
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_no_use_is_the_plain_model(adapter: Any) -> None:
    maps, present = controls(2, ROAD, SEG)
    with torch.no_grad():
        plain = flat(adapter.encode_controls(maps, present))
    assert_equal(modulation(adapter, ROAD, SEG), plain)
    assert_equal(modulation(adapter, ROAD, SEG, road=ControlUse(1.0)), plain)


def test_zero_strength_is_absence_to_the_bit(adapter: Any) -> None:
    assert_equal(
        modulation(adapter, ROAD, SEG, road=ControlUse(0.0)),
        modulation(adapter, SEG),
    )
    off = ControlUse(0.0)
    assert_equal(modulation(adapter, ROAD, SEG, road=off, seg=off), modulation(adapter))


@settings(max_examples=15, deadline=None)
@given(STRENGTHS, STRENGTHS)
def test_strengths_are_multilinear(road: float, seg: float) -> None:
    """The documented sum over subsets, written out for two controls."""
    adapter = toy_adapter()
    steered = modulation(adapter, ROAD, SEG, road=ControlUse(road), seg=ControlUse(seg))
    corners = zip(
        modulation(adapter),
        modulation(adapter, ROAD),
        modulation(adapter, SEG),
        modulation(adapter, ROAD, SEG),
        strict=True,
    )
    for value, (none, r, s, both) in zip(steered, corners, strict=True):
        expected = (1 - road) * (1 - seg) * none + road * (1 - seg) * r
        expected = expected + (1 - road) * seg * s + road * seg * both
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4)


def test_an_interval_is_presence_and_absence(adapter: Any) -> None:
    use = ControlUse(interval=(0.25, 0.5))
    given_, absent = modulation(adapter, ROAD, SEG), modulation(adapter, SEG)
    for moment, expected in ((0.0, absent), (0.25, given_), (0.49, given_), (0.5, absent)):
        assert_equal(modulation(adapter, ROAD, SEG, moment=moment, road=use), expected)


def test_a_region_is_presence_inside_and_absence_outside(adapter: Any) -> None:
    region = torch.zeros(1, SIDE, SIDE)
    region[:, :, SIDE // 2 :] = 1
    steered = modulation(adapter, ROAD, SEG, road=ControlUse(region=region))
    given_, absent = modulation(adapter, ROAD, SEG), modulation(adapter, SEG)
    for value, inside, outside in zip(steered, given_, absent, strict=True):
        half = value.shape[-1] // 2
        torch.testing.assert_close(value[..., half:], inside[..., half:])
        torch.testing.assert_close(value[..., :half], outside[..., :half])
        assert not torch.equal(inside, outside)


def test_a_region_of_ones_or_zeros_is_none(adapter: Any) -> None:
    ones = ControlUse(region=torch.ones(1, SIDE, SIDE))
    nothing = ControlUse(region=torch.zeros(1, SIDE, SIDE))
    pairs = [
        (modulation(adapter, ROAD, SEG, road=ones), modulation(adapter, ROAD, SEG)),
        (modulation(adapter, ROAD, SEG, road=nothing), modulation(adapter, SEG)),
    ]
    for steered, plain in pairs:
        for a, b in zip(steered, plain, strict=True):
            torch.testing.assert_close(a, b)


def test_regions_may_differ_by_sample(adapter: Any) -> None:
    region = torch.stack([torch.zeros(SIDE, SIDE), torch.ones(SIDE, SIDE)])
    steered = modulation(adapter, ROAD, SEG, road=ControlUse(region=region))
    given_, absent = modulation(adapter, ROAD, SEG), modulation(adapter, SEG)
    for value, there, gone in zip(steered, given_, absent, strict=True):
        torch.testing.assert_close(value[0], gone[0])
        torch.testing.assert_close(value[1], there[1])


def test_branches_follow_one_another(adapter: Any) -> None:
    maps, present = controls(2, ROAD, SEG)
    steering = Steering(adapter, maps, present, {})
    with torch.no_grad():
        batched = flat(steering.at(0.0, (Branch.FREE, Branch.CONTROLS, Branch.BOUND)))
    plain, absent = modulation(adapter, ROAD, SEG), modulation(adapter)
    for value, there, gone in zip(batched, plain, absent, strict=True):
        assert torch.equal(value, torch.cat([gone, there, there]))


def test_each_set_of_controls_is_encoded_once(adapter: Any) -> None:
    calls: list[int] = []
    handle = adapter.pyramid.register_forward_hook(lambda *_: calls.append(1))
    maps, present = controls(1, ROAD, SEG)
    uses = {"road": ControlUse(interval=(0.0, 0.5)), "seg": ControlUse(0.7)}
    steering = Steering(adapter, maps, present, uses)
    with torch.no_grad():
        for step in range(20):
            steering.at(step / 20, (Branch.FREE, Branch.BOUND))
    handle.remove()
    # Nothing; road, road and seg; seg.
    assert len(calls) == 4


@pytest.mark.parametrize(
    ("uses", "message"),
    [
        ({"rivers": ControlUse()}, "no control 'rivers'"),
        ({"depth": ControlUse(0.5)}, "depth is to be used"),
        ({"road": ControlUse(region=torch.ones(1, 8, 8))}, "region of road must be"),
        ({"road": ControlUse(region=torch.ones(3, SIDE, SIDE))}, "region of road must be"),
    ],
)
def test_uses_that_do_not_fit(uses: dict[str, ControlUse], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_uses(uses, *controls(2, ROAD, SEG))


@pytest.mark.parametrize(
    "arguments", [{"strength": -0.1}, {"strength": float("inf")}, {"interval": (0.7, 0.3)}]
)
def test_numbers_that_make_no_use(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"0 or more|interval of a control"):
        ControlUse(**arguments)
