"""Pictures of maps: what colours they have, and sheets that put them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rsaug.conditions.landcover import PALETTE, colourise
from rsaug.conditions.stack import STACK, ControlStack
from rsaug.errors import InputError
from rsaug.pictures import (
    Panel,
    Swatch,
    contact_sheet,
    distinct_colours,
    encode_png,
    legend_of,
    picture_of,
    stack_panels,
    write_png,
)

RAMP = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def test_binary_and_grey_are_their_numbers() -> None:
    np.testing.assert_array_equal(picture_of(RAMP, "grey")[..., 1], np.rint(RAMP * 255))
    three = np.stack([RAMP] * 3)
    np.testing.assert_array_equal(picture_of(three, "grey"), picture_of(RAMP, "grey"))
    mask = (RAMP > 0.5).astype(np.uint8)
    np.testing.assert_array_equal(picture_of(mask, "binary"), np.stack([mask * 255] * 3, -1))


def test_grey_between_limits() -> None:
    heights = np.array([[90.0, 100.0, 150.0, 200.0, 300.0]])
    assert picture_of(heights, "grey", limits=(100, 200))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    assert [s.name for s in legend_of("grey", limits=(100, 200))] == ["100 m", "200 m"]


def test_palette_is_the_same_from_numbers_and_from_bytes() -> None:
    classes = np.arange(7, dtype=np.uint8).reshape(1, 7)
    colours = colourise(classes)
    np.testing.assert_array_equal(picture_of(colours, "palette"), PALETTE[classes])
    whole = np.rint(colours * 255).astype(np.uint8)
    np.testing.assert_array_equal(picture_of(whole, "palette"), PALETTE[classes])
    np.testing.assert_array_equal(picture_of(classes, "classes", palette=PALETTE), PALETTE[classes])


def test_what_is_missing_has_a_colour_that_nothing_else_has() -> None:
    holes = np.ma.masked_greater(RAMP, 0.9)
    numbers = np.where(holes.mask, np.nan, RAMP)
    masked, unknown = picture_of(holes, "grey"), picture_of(numbers, "grey")
    np.testing.assert_array_equal(masked, unknown)
    colour = masked[-1, -1]
    assert len(set(colour.tolist())) == 3
    assert ((masked == colour).all(-1) == holes.mask).all()
    classes = np.ma.masked_equal(np.array([[0, 1]]), 1)
    np.testing.assert_array_equal(picture_of(classes, "classes")[0, 1], colour)


@given(st.floats(0, 360, allow_nan=False), st.integers(-3, 3))
def test_a_direction_and_its_opposite_look_alike(degrees: float, turns: int) -> None:
    angle = np.radians([[degrees, degrees + 180 * turns]])
    picture = picture_of(np.stack([np.cos(2 * angle), np.sin(2 * angle)]), "direction")
    assert np.abs(picture[0, 0].astype(int) - picture[0, 1]).max() <= 1
    assert picture.max() == 255


def test_no_direction_is_black_and_the_legend_is_right() -> None:
    angle = np.radians([[0, 45, 90, 135]])
    maps = np.stack([np.cos(2 * angle), np.sin(2 * angle)])
    colours = [list(swatch.colour) for swatch in legend_of("direction")]
    assert picture_of(maps, "direction")[0].tolist() == colours
    assert not picture_of(np.zeros((2, 3, 3)), "direction").any()


def test_distance_is_red_inside_and_blue_outside() -> None:
    distance = np.array([[-9.0, -3.0, -1.0, 0.0, 1.0, 3.0, 9.0]])
    picture = picture_of(distance, "distance", limits=(-3, 3)).astype(int)[0]
    red, blue = picture[:, 0], picture[:, 2]
    assert (red[:3] > blue[:3]).all()
    assert red[3] == blue[3]
    assert (red[4:] < blue[4:]).all()
    assert picture[0].tolist() == picture[1].tolist()
    assert picture[5].tolist() == picture[6].tolist()
    assert next(s.name for s in legend_of("distance", limits=(-3, 3))) == "inside (-3 m)"
    same = picture_of(np.zeros((2, 2)), "distance")
    assert len(np.unique(same)) == 1


def test_distinct_colours_are_distinct_and_stay() -> None:
    many = distinct_colours(24)
    assert len(np.unique(many, axis=0)) == 24
    np.testing.assert_array_equal(many[:5], distinct_colours(5))
    assert not many[0].any()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ((3, 4, 4), "binary"),
        ((4, 4), "palette"),
        ((3, 4, 4), "direction"),
        ((2, 4, 4), "grey"),
        ((4,), "grey"),
        ((0, 4), "grey"),
        ((4, 4), "oil painting"),
    ],
)
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...], kind: str) -> None:
    with pytest.raises(InputError, match="picture"):
        picture_of(np.zeros(shape), kind)  # type: ignore[arg-type]


def test_classes_beyond_the_palette_are_refused() -> None:
    with pytest.raises(InputError, match="palette has 7 colours"):
        picture_of(np.full((2, 2), 7), "classes", palette=PALETTE)


def _noise(rows: int, cols: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def _holds(sheet: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], part: object) -> bool:
    part = np.asarray(part)
    rows, cols = part.shape[:2]
    starts = np.argwhere((sheet[: 1 - rows or None, : 1 - cols or None] == part[0, 0]).all(-1))
    return any(np.array_equal(sheet[r : r + rows, c : c + cols], part) for r, c in starts)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.tuples(st.integers(2, 30), st.integers(2, 30)), min_size=1, max_size=7),
    st.integers(1, 9) | st.none(),
    st.integers(1, 3),
)
def test_every_picture_is_on_the_sheet_unchanged(
    sizes: list[tuple[int, int]], columns: int | None, scale: int
) -> None:
    pictures = [_noise(*size, seed) for seed, size in enumerate(sizes)]
    sheet = contact_sheet([(f"No. {k}", p) for k, p in enumerate(pictures)], columns, scale)
    for picture in pictures:
        assert _holds(sheet, picture.repeat(scale, 0).repeat(scale, 1))


def test_a_legend_and_a_long_title_take_room_below_and_above() -> None:
    legend = (Swatch("water", (0, 0, 255)), Swatch("forest", (0, 255, 0)))
    picture = np.full((60, 60, 3), 128, np.uint8)
    plain = contact_sheet([Panel("Short", picture)])
    full = contact_sheet([Panel("A title that is much wider than it", picture, legend)])
    assert full.shape[0] > plain.shape[0]
    assert full.shape[1] == plain.shape[1]
    for swatch in legend:
        assert (full == swatch.colour).all(-1).sum() > 50


def test_a_smaller_scale_averages() -> None:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[::2] = 200
    sheet = contact_sheet([("", picture)], scale=0.5)
    assert _holds(sheet, np.full((20, 20, 3), 100, np.uint8))


def test_sheets_that_cannot_be_made_are_refused() -> None:
    with pytest.raises(InputError, match="at least one picture"):
        contact_sheet([])
    with pytest.raises(InputError, match="uint8"):
        contact_sheet([("floats", np.zeros((4, 4, 3)))])  # type: ignore[list-item]
    with pytest.raises(InputError, match="scale of a picture"):
        contact_sheet([("none", _noise(4, 4))], scale=0)
    with pytest.raises(InputError, match="too large to open"):
        contact_sheet([("huge", _noise(64, 64))], scale=1000)


def test_a_png_comes_back_as_it_went(tmp_path: Path) -> None:
    picture = _noise(17, 23)
    write_png(tmp_path / "picture.png", picture)
    with Image.open(tmp_path / "picture.png") as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), picture)
    assert encode_png(picture) == encode_png(picture.copy())


def test_panels_of_a_stack_say_what_was_given() -> None:
    classes = np.zeros((8, 8), np.uint8)
    classes[:4] = 3
    stack = ControlStack.from_maps((8, 8), road=(classes > 0) * 1.0, seg=colourise(classes))
    panels = {slot.name: panel for slot, panel in zip(STACK, stack_panels(stack), strict=True)}
    assert [name for name, panel in panels.items() if "not given" not in panel.title] == [
        "road",
        "seg",
    ]
    assert [swatch.name for swatch in panels["seg"].legend] == ["background", "water"]
    np.testing.assert_array_equal(panels["seg"].picture, PALETTE[classes])
    assert set(np.unique(panels["road"].picture)) == {0, 255}
