"""Endless fields: the same pixels whatever is made beside them, and windows that meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from toy import SIDE, toy_pipeline

from rsaug.errors import InputError
from rsaug.pipelines.guidance import Guidance
from rsaug.pipelines.layout import Box, Layout, ground_noise
from rsaug.pipelines.seamless import SeamlessField, SeamlessOptions, WindowConditions
from rsaug.pipelines.settings import SCHEDULERS
from rsaug.pipelines.steering import ControlUse

SHORT = SeamlessOptions(seed=3, steps=4, guidance=Guidance(1.5, 1.5), overlap=16, halo=16, phases=2)


def roads(box: Box) -> WindowConditions:
    """A road of 12 pixels every 50 rows of the ground, going east."""
    rows = torch.arange(box.top, box.bottom)
    controls = torch.zeros(18, *box.shape)
    controls[9:12] = (rows % 50 < 12).float()[:, None]
    return WindowConditions(controls, torch.tensor([0.0, 0, 0, 1, 0, 0]), prompt="road")


def field(scheduler: str = "dpm++", **changes: Any) -> SeamlessField:
    pipe = toy_pipeline()
    pipe.scheduler = SCHEDULERS[scheduler].from_config(pipe.scheduler.config)
    options = SeamlessOptions(**{**vars(SHORT), **changes})
    return SeamlessField(pipe, roads, options)


boxes = st.tuples(
    st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 80), st.integers(1, 80)
).map(lambda b: Box(b[0], b[1], b[0] + b[2], b[1] + b[3]))


@given(boxes, boxes)
@settings(deadline=None)
def test_the_ground_keeps_its_noise(one: Box, other: Box) -> None:
    whole = Box(-90, -90, 170, 170)
    noise = ground_noise(5, 1, whole, 3)
    for box in (one, other):
        assert torch.equal(ground_noise(5, 1, box, 3), noise[(..., *box.within(whole))])


def test_the_noise_is_standard_normal_and_differs_by_seed_and_phase() -> None:
    box = Box(-64, 0, 64, 128)
    a, b, c = (ground_noise(seed, phase, box, 4) for seed, phase in ((0, 0), (0, 1), (1, 0)))
    for noise in (a, b, c):
        assert abs(noise.mean().item()) < 0.02
        assert abs(noise.std().item() - 1) < 0.02
    for one, other in ((a, b), (a, c), (b, c)):
        assert abs((one * other).mean().item()) < 0.02


@given(st.integers(1, 12), st.integers(0, 6), st.integers(-9, 9), boxes)
@settings(deadline=None)
def test_windows_cover_and_weigh_one(window: int, overlap: int, start: int, box: Box) -> None:
    layout = Layout(window, min(overlap, window // 2), start)
    total = torch.zeros(box.shape)
    for row, col in layout.over(box):
        place = layout.box(row, col)
        part = place.common(box)
        assert min(part.shape) > 0
        total[part.within(box)] += layout.weights()[part.within(place)]
    torch.testing.assert_close(total, torch.ones(box.shape))


@pytest.mark.parametrize(
    ("scheduler", "phases"), [("dpm++", 1), ("dpm++", 4), *((name, 2) for name in SCHEDULERS)]
)
def test_a_part_is_the_same_alone(scheduler: str, phases: int) -> None:
    whole = field(scheduler, phases=phases).latents(Box(-8, 0, 8, 24))
    for top, left in ((0, 16), (-3, 5)):
        alone = Box(top, left, top + 8, left + 7)
        made = field(scheduler, phases=phases).latents(alone)
        assert torch.equal(made, whole[(..., *alone.within(Box(-8, 0, 8, 24)))])
    assert whole.std() > 0.1


def test_tiles_are_the_same_in_any_order_and_with_any_memory() -> None:
    places = [Box(top, left, top + SIDE, left + SIDE) for top in (-SIDE, 0) for left in (0, SIDE)]

    def made(order: list[Box], **changes: Any) -> dict[Box, Tensor]:
        one = field(**changes)
        return {box: one.image(box) for box in order}

    first, again = made(places), made(places[::-1], kept=1)
    assert first.keys() == again.keys()
    assert all(torch.equal(first[box], again[box]) for box in places)
    other = made(places[:1], seed=4)
    assert not torch.allclose(first[places[0]], other[places[0]], atol=0.05)


def test_one_window_of_one_phase_is_the_pipeline() -> None:
    one = field(phases=1, overlap=0, halo=0)
    box = Box(SIDE, -SIDE, 2 * SIDE, 0)
    asked = roads(box)
    expected = toy_pipeline()
    expected.scheduler = SCHEDULERS["dpm++"].from_config(expected.scheduler.config)
    images = expected(
        asked.controls[None],
        asked.present[None],
        prompt="road",
        num_inference_steps=4,
        guidance_scale=1.5,
        latents=ground_noise(3, 0, Box(8, -8, 16, 0), 4)[None],
        output_type="pt",
    ).images
    torch.testing.assert_close(one.image(box) / 2 + 0.5, images[0], rtol=1e-4, atol=1e-4)


def motley(box: Box) -> WindowConditions:
    """Of every third window something else is said: a text, a strength, a region, no road."""
    plain = roads(box)
    kind = (box.left // 48) % 4
    if kind == 0:
        return replace(plain, prompt="field")
    if kind == 1:
        half = torch.ones(1, *box.shape)
        half[..., : box.shape[1] // 2] = box.top % 7 / 7
        return replace(plain, uses={"road": ControlUse(region=half)})
    if kind == 2:
        return replace(plain, controls=plain.controls * 0, present=torch.zeros(6))
    return plain


def test_windows_in_batches_are_the_same_windows() -> None:
    area = [Box(0, left, SIDE, left + SIDE) for left in range(0, 4 * SIDE, SIDE)]
    single, batched = (
        SeamlessField(toy_pipeline(), motley, replace(SHORT, batch=batch)) for batch in (1, 3)
    )
    for one, other in zip(single.images(area), batched.images(area), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert batched.evaluated == single.evaluated


def test_a_window_does_not_depend_on_its_company() -> None:
    """Every forward has the same shape, so even the last bit is that of the window alone."""
    area = [Box(0, left, SIDE, left + SIDE) for left in range(0, 4 * SIDE, SIDE)]
    together, alone = (
        SeamlessField(toy_pipeline(), motley, replace(SHORT, batch=4)) for _ in range(2)
    )
    (last,) = alone.images(area[2:3])
    assert torch.equal(together.images(area)[2], last)


def test_memory_holds_no_more_windows_than_asked_for() -> None:
    one = field(kept=5)
    for left in range(0, 6 * SIDE, SIDE):
        one.image(Box(0, left, SIDE, left + SIDE))
    assert len(one._windows) == 5
    assert one.evaluated > 20


def test_neighbours_agree_where_their_halos_overlap() -> None:
    wide = field(halo=64)
    left, right = wide.image(Box(0, 0, SIDE, SIDE)), wide.image(Box(0, SIDE, SIDE, 2 * SIDE))
    both = wide.image(Box(0, 0, SIDE, 2 * SIDE))
    torch.testing.assert_close(torch.cat([left, right], -1), both, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 40}, "multiple of 16"),
        ({"overlap": 12}, "overlap must be a multiple"),
        ({"overlap": 40}, "can overlap by 32"),
        ({"halo": -8}, "halo must be"),
        ({"phases": 5}, "1 to 4 phases"),
        ({"phases": 0}, "1 to 4 phases"),
        ({"kept": 0}, "At least one window must be remembered"),
        ({"batch": 0}, "At least one window must be denoised"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        field(**changes)


def test_edges_between_cells_are_refused() -> None:
    with pytest.raises(InputError, match="multiples of 8"):
        field().image(Box(0, 0, 60, 64))
