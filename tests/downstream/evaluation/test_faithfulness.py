"""Land cover and edges seen in tiles against those given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from runfolder import painted_run

from rsaug.conditions.image_edges import soft_edges
from rsaug.conditions.landcover import CLASSES, colourise
from rsaug.downstream.evaluation.faithfulness import (
    agreement_scores,
    class_agreement,
    decode_classes,
    edge_score,
    judge_controls,
)
from rsaug.downstream.evaluation.tiles import read_run
from rsaug.errors import InputError

CLASS_MAPS = arrays(np.uint8, (5, 6), elements=st.integers(0, len(CLASSES) - 1))


@given(CLASS_MAPS)
def test_colours_are_read_back_as_classes(classes: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_classes(colourise(classes)), classes)


def test_a_colour_of_no_class_is_refused() -> None:
    with pytest.raises(InputError, match="no LoveDA classes"):
        decode_classes(np.full((3, 2, 2), 0.123, dtype=np.float32))


@given(CLASS_MAPS, CLASS_MAPS)
def test_agreement_is_counted_pixel_by_pixel(
    seen: NDArray[np.uint8], told: NDArray[np.uint8]
) -> None:
    table = class_agreement([seen, seen], [told, told])
    expected = np.zeros_like(table)
    for a, b in zip(seen.ravel(), told.ravel(), strict=True):
        if b != CLASSES.index("background"):
            expected[b, a] += 2
    np.testing.assert_array_equal(table, expected)
    share, mean = agreement_scores(table)
    if table.sum():
        assert 0 <= share <= 1
        assert 0 <= mean <= 1
        assert agreement_scores(class_agreement([told], [told])) == (1, 1)


def test_nothing_given_is_no_score() -> None:
    blank = np.zeros((3, 3), dtype=np.uint8)
    assert np.isnan(agreement_scores(class_agreement([blank], [blank]))).all()


def test_edges_that_are_the_maps_score_one_and_others_do_not() -> None:
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (3, 3, 6, 6), dtype=np.uint8)
    images = np.kron(blocks, np.ones((1, 1, 11, 11), dtype=np.uint8))
    maps = [soft_edges(np.moveaxis(image, 0, -1)) for image in images]
    score = edge_score([*images], maps, ["a", "b", "c"])
    assert score.correlation == pytest.approx(1)
    assert score.best_f == 1
    assert score.by_chance < 0.9
    assert score.best_f_by_chance < score.best_f
    # Variants of one place are no chance.
    assert np.isnan(edge_score([*images], maps, ["a", "a", "a"]).by_chance)


def test_a_run_is_judged_by_the_controls_it_was_given(tmp_path: Path) -> None:
    folder = painted_run(tmp_path, variants=1)
    tiles = read_run(folder)

    def all_road(rgb: NDArray[np.uint8], gsd_m: float | None) -> NDArray[np.uint8]:
        return np.full(rgb.shape[1:], CLASSES.index("road"), dtype=np.uint8)

    section = judge_controls(folder, tiles, None, None, all_road)
    assert section is not None
    values = {(row.measure, row.of): row.value for row in section.rows}
    assert values["road seen as given", "synthetic"] == 1
    assert values["forest seen as given", "synthetic"] == 0
    own = values["correlation of edges", "synthetic"]
    assert own > values["correlation of edges", "synthetic, another place's map"]
    assert len(section.missing) == 1
