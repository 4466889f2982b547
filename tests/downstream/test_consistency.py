"""Consistency on arrays whose numbers can be worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tilefolder import make_tile_folder

from rsaug.downstream.consistency import ConsistencyResult, compare, evaluate, synthesise
from rsaug.downstream.metrics import road_scores
from rsaug.downstream.roadtiles import RoadTiles, read_road_tiles
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.requests import TileRequest


class BrightIsRoad:
    """A segmenter that takes every bright pixel for road."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """1 where the red band is bright."""
        return (images[:, 0] > 127).astype(np.uint8)


class Painter:
    """A generator that paints the road control white, over noise drawn from the seed."""

    def __init__(self, batch_size: int = 4) -> None:
        self.batch_size = batch_size
        self.seen: list[TileRequest] = []

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """One image a request."""
        assert len(requests) <= self.batch_size
        self.seen += requests
        return [self._paint(request) for request in requests]

    @staticmethod
    def _paint(request: TileRequest) -> NDArray[np.uint8]:
        road = request.controls.slot("road") > 0
        noise = np.random.default_rng(request.seed).integers(0, 100, road.shape, dtype=np.uint8)
        return np.where(road, np.uint8(255), noise)

    def describe(self) -> dict[str, object]:
        """What it is."""
        return {"model": "painter"}

    def sees(self, control: str) -> bool:
        """Whether it follows a control."""
        return True

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """It can follow everything."""
        return []

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """Its images depend on their own tiles alone."""
        return None

    def seconds_per_tile(self, tile_size: int) -> float:
        """Nothing to speak of."""
        return 0.0


def strips(*roads: tuple[int, int]) -> NDArray[np.uint8]:
    """Masks (n, 1, 10), each with road in pixels [start, stop)."""
    masks = np.zeros((len(roads), 1, 10), dtype=np.uint8)
    for mask, (start, stop) in zip(masks, roads, strict=True):
        mask[0, start:stop] = 1
    return masks


def as_images(masks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images on which `BrightIsRoad` finds just these masks."""
    return np.repeat(masks[:, None] * np.uint8(255), 3, axis=1)


def result(
    found: NDArray[np.uint8], labels: NDArray[np.uint8], places: list[str]
) -> ConsistencyResult:
    """The result where ``found`` is what the segmenter finds."""
    return evaluate(BrightIsRoad(), as_images(found), labels, places)


LABELS = strips((0, 4), (0, 4))


def test_scores_of_hand_made_tiles() -> None:
    # 3 of 4 road pixels and 1 beside; all 4 and 4 beside: 7 hits, 5 false, 1 missed.
    got = result(strips((1, 5), (0, 8)), LABELS, ["y", "x"])
    assert got.scores.iou == 7 / 13
    assert got.scores.precision == 7 / 12
    assert got.scores.recall == 7 / 8
    assert got.scores.f1 == 14 / 20
    assert (got.tiles, got.places) == (2, ("x", "y"))
    assert got.counts.tolist() == [[4, 4, 0, 2], [3, 1, 1, 5]]
    # A sample of places holds x twice (4/8), y twice (3/5), or both.
    assert got.interval == (4 / 8, 3 / 5)


def test_the_ratio_of_hand_made_tiles() -> None:
    real = result(strips((0, 2), (0, 4)), LABELS, ["x", "y"])
    synthetic = result(strips((0, 4), (0, 3)), LABELS, ["x", "y"])
    comparison = compare(real, synthetic)
    assert comparison.ratio == (7 / 8) / (6 / 8)
    # x twice: 1 over 1/2. y twice: 3/4 over 1. The same places are drawn on both sides.
    assert comparison.interval == (3 / 4, 2.0)


def test_one_place_has_no_spread() -> None:
    real = result(strips((0, 2)), LABELS[:1], ["x"])
    assert real.interval == (0.5, 0.5)
    assert compare(real, real).interval == (1.0, 1.0)


@given(st.integers(0, 2**32), st.integers(1, 4))
def test_the_order_of_tiles_and_equal_variants_change_nothing(seed: int, variants: int) -> None:
    rng = np.random.default_rng(seed)
    found, labels = rng.integers(0, 2, (2, 6, 4, 4), dtype=np.uint8)
    places = list("aabbcd")
    real = result(found, labels, places)
    order = rng.permutation(np.repeat(np.arange(6), variants))
    shuffled = result(found[order], labels[order], [places[k] for k in order])
    assert shuffled.scores == real.scores
    assert shuffled.interval == real.interval
    assert compare(real, shuffled).interval == (1.0, 1.0)


def test_other_places_or_masks_are_refused() -> None:
    real = result(LABELS, LABELS, ["x", "y"])
    with pytest.raises(InputError, match=r"2 are on one side only.*'y'"):
        compare(real, result(LABELS, LABELS, ["x", "z"]))
    other = strips((0, 4), (0, 5))
    with pytest.raises(InputError, match="masks of 'y' differ"):
        compare(real, result(other, other, ["x", "y"]))


def test_a_segmenter_that_finds_nothing_cannot_judge() -> None:
    blind = result(0 * LABELS, LABELS, ["x", "y"])
    with pytest.raises(InputError, match="train it longer"):
        compare(blind, result(LABELS, LABELS, ["x", "y"]))


@pytest.mark.parametrize("places", [["x"], ["x", "y", "z"]])
def test_as_many_places_as_tiles_are_needed(places: list[str]) -> None:
    with pytest.raises(InputError, match=rf"2 images, 2 masks and {len(places)} places"):
        result(LABELS, LABELS, places)


def test_no_tiles_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        result(LABELS[:0], LABELS[:0], [])


def test_the_report_holds_both_sides_and_is_strict_json() -> None:
    # y has no road at all: its own IoU is undefined.
    labels = strips((0, 4), (0, 0))
    comparison = compare(
        result(strips((0, 2), (0, 0)), labels, ["x", "y"]), result(labels, labels, ["x", "y"])
    )
    report = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert report["ratio"] == 2.0
    assert report["real"]["iou"] == 0.5
    assert report["synthetic"]["iou"] == 1.0
    assert report["real"]["places"] == 2
    assert report["iou_by_place"]["y"] == {"real": None, "synthetic": None}


@pytest.mark.parametrize(
    ("found", "verdict"),
    [((0, 2), "Below 0.9"), ((0, 3), "Between 0.9 and 1.1"), ((0, 4), "Above 1.1")],
)
def test_the_text_says_what_the_ratio_means(found: tuple[int, int], verdict: str) -> None:
    labels = LABELS[:1]
    real = result(strips((0, 3)), labels, ["x"])
    text = compare(real, result(strips(found), labels, ["x"])).to_text()
    assert verdict in text
    assert "real        0.750  0.750 to 0.750" in text


@pytest.fixture(scope="module")
def val(tmp_path_factory: pytest.TempPathFactory) -> RoadTiles:
    """The val tiles of the small folder."""
    folder = make_tile_folder(tmp_path_factory.mktemp("made") / "tiles")
    return read_road_tiles(folder, "val", image_year_only=True)


def test_synthetic_tiles_are_made_from_the_road_masks_alone(val: RoadTiles) -> None:
    painter = Painter()
    made = synthesise(painter, val, variants=3)
    assert [request.variant for request in painter.seen] == [0, 1, 2, 0, 1, 2]
    assert all(sum(request.controls.present) == 1 for request in painter.seen)
    assert painter.seen[3].tile == val.tiles[1]
    assert made.places.tolist() == ["c", "c", "c", "d", "d", "d"]
    assert made.split == "val"
    found = BrightIsRoad().predict(made.images)
    np.testing.assert_array_equal(made.masks, np.repeat(val.masks, 3, axis=0))
    assert road_scores(found, made.masks).iou == 1.0


def test_each_tile_has_a_seed_of_its_own_whatever_the_batch(val: RoadTiles) -> None:
    one, four, other = Painter(1), Painter(4), Painter(4)
    singly = synthesise(one, val, variants=3)
    np.testing.assert_array_equal(singly.images, synthesise(four, val, variants=3).images)
    synthesise(other, val, variants=3, seed=1)
    assert len({request.seed for request in [*four.seen, *other.seen]}) == 12
