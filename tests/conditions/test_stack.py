"""The control stack: order, flags, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from rsaug.conditions.stack import CHANNEL_NAMES, SLOTS, ControlStack, band_tags
from rsaug.errors import InputError

SHAPE = (4, 6)


def test_slots_are_in_the_order_of_crs_diff() -> None:
    assert SLOTS == ("mlsd", "hed", "sketch", "road", "depth", "seg")
    assert len(CHANNEL_NAMES) == 18
    assert CHANNEL_NAMES[9:12] == ("road_r", "road_g", "road_b")


def test_maps_go_to_their_channels_and_the_rest_is_absent() -> None:
    road = np.eye(*SHAPE, dtype=np.uint8)
    seg = np.random.default_rng(0).random((3, *SHAPE))
    stack = ControlStack.from_maps(SHAPE, seg=seg, road=road)
    assert stack.maps.shape == (18, *SHAPE)
    assert stack.maps.dtype == np.float32
    assert stack.present == (False, False, False, True, False, True)
    np.testing.assert_array_equal(stack.maps[9:12], np.stack([road] * 3))
    np.testing.assert_allclose(stack.slot("seg"), seg, rtol=1e-6)
    assert not stack.maps[:9].any()
    assert not stack.slot("depth").any()


def test_a_map_of_nothing_is_not_an_absent_map() -> None:
    empty = ControlStack.from_maps(SHAPE, road=np.zeros(SHAPE))
    absent = ControlStack.from_maps(SHAPE)
    np.testing.assert_array_equal(empty.maps, absent.maps)
    assert empty.present != absent.present


def test_slot_is_a_view() -> None:
    stack = ControlStack.from_maps(SHAPE)
    stack.slot("road")[:] = 1
    assert stack.maps[9:12].all()


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("roads", np.zeros(SHAPE), "No control is called 'roads'"),
        ("road", np.zeros((6, 4)), r"has the shape \(6, 4\); \(4, 6\) or \(3, 4, 6\)"),
        ("road", np.zeros((1, *SHAPE)), r"has the shape \(1, 4, 6\)"),
        ("road", np.full(SHAPE, 255), "ranges from 255 to 255"),
        ("road", np.full(SHAPE, -0.1), "scale it to"),
        ("road", np.full(SHAPE, np.nan), "ranges from nan"),
    ],
)
def test_what_is_no_control_is_refused(name: str, values: np.ndarray, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        ControlStack.from_maps(SHAPE, **{name: values})


def test_unknown_slot_is_refused() -> None:
    with pytest.raises(InputError, match="No control is called 'rood'"):
        ControlStack.from_maps(SHAPE).slot("rood")


@pytest.mark.parametrize(
    ("maps", "present", "reason"),
    [
        (np.zeros((17, *SHAPE)), (False,) * 6, r"has the shape \(18, rows, cols\), not \(17,"),
        (np.zeros((18, 4)), (False,) * 6, "has the shape"),
        (np.zeros((18, *SHAPE)), (True,) * 5, "5 flags for 6 controls"),
        (np.ones((18, *SHAPE)), (True,) * 5 + (False,), "'seg' is marked as not given"),
        (np.full((18, *SHAPE), np.nan), (True,) * 6, "'mlsd' ranges from nan"),
    ],
)
def test_what_is_no_stack_is_refused(
    maps: np.ndarray, present: tuple[bool, ...], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        ControlStack(maps.astype(np.float32), present)


def test_every_band_says_what_it_holds() -> None:
    tags = band_tags((True, False, True, False, True, False))
    assert [tag["CONTROL"] for tag in tags] == [slot for slot in SLOTS for _ in range(3)]
    assert [tag["GIVEN"] for tag in tags[::3]] == ["YES", "NO"] * 3
    assert tags[9]["RANGE"] == "0 or 1"
    assert "surface of a road" in tags[9]["MEANING"]


def test_a_part_of_the_controls_is_a_stack_of_its_own() -> None:
    stack = ControlStack.from_maps(SHAPE, road=np.ones(SHAPE), depth=np.full(SHAPE, 0.5))
    part = stack.only(("road", "seg"))
    assert part.given == ("road",)
    assert part.slot("road").all()
    assert not part.slot("depth").any()
    assert stack.given == ("road", "depth")
    assert stack.only(SLOTS) is stack
