"""What settings changed, from runs that differ in known ways."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from runfolder import placed_run, random_masks, tiles_with
from tilefolder import make_tile_folder
from toy import toy_pipeline

pytest.importorskip("kornia", reason="needs the extra `eval`")

from rsaug.downstream.consistency import Segmenter
from rsaug.downstream.evaluation.appearance import BY, MEASURES, appearance
from rsaug.downstream.evaluation.autoencoder import Autoencoder
from rsaug.downstream.evaluation.changes import Instruments, judge_changes
from rsaug.downstream.evaluation.report import Row, Section
from rsaug.downstream.evaluation.tiles import read_run
from rsaug.downstream.metrics import confusion_counts, iou
from rsaug.raster import write_cog

MASKS = random_masks(6)
NAMES = [f"p{k}" for k in range(6)]


class BrightIsRoad:
    """A detector that takes every bright pixel for road."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """1 where the red band is bright."""
        return (images[:, 0] > 127).astype(np.uint8)


class AllIsRoad:
    """A detector that takes every pixel for road."""

    def predict(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """1 everywhere."""
        return np.ones_like(images[:, 0])


def make_run(
    folder: Path, seen: NDArray[np.uint8], images: NDArray[np.uint8] | None = None
) -> Path:
    """A run whose roads are bright where they are ``seen``, or of these images."""
    tiles = tiles_with(MASKS, seen, NAMES)
    return placed_run(folder, tiles.tiles, MASKS, tiles.images if images is None else images)


def judged(ours: Path, theirs: Path, autoencoder: Autoencoder | None = None) -> Section:
    detectors: dict[str, Segmenter] = {"bright": BrightIsRoad(), "all": AllIsRoad()}
    tools = Instruments(detectors, None, None, autoencoder, slack_m=1.0)
    return judge_changes(ours, read_run(ours), theirs, tools)


def by_name(section: Section) -> dict[tuple[str, str, str], Row]:
    return {(row.measure, row.of, row.by): row for row in section.rows}


def test_the_same_images_show_no_change(tmp_path: Path) -> None:
    section = judged(make_run(tmp_path / "a", MASKS), make_run(tmp_path / "b", MASKS))
    changes = [row for row in section.rows if row.of.startswith("difference")]
    assert len(changes) == len(MEASURES) + 2 * 2 + 1
    assert all((row.value, row.low, row.high) == (0, 0, 0) for row in changes)
    assert all(row.n for row in section.rows)
    assert "do not differ in any setting" in section.says[1]
    assert "bright: the IoU of the roads changes by +0.0 points" in section.says[3]
    assert section.says[-1].endswith("less than 5: the roads stay.")
    assert len(section.figures) == 6
    assert "which needs --lpips or --features" in section.missing[0]


def test_a_change_of_colour_and_of_roads_is_measured(tmp_path: Path) -> None:
    shifted = np.roll(MASKS, 2, axis=2)
    ours, theirs = make_run(tmp_path / "a", shifted), make_run(tmp_path / "b", MASKS)
    section = judged(ours, theirs)
    rows = by_name(section)
    looks = [appearance(read_run(folder).images) for folder in (ours, theirs)]
    for k, measure in enumerate(MEASURES):
        expected = (looks[0] - looks[1])[:, k].mean()
        assert rows[measure, "difference", BY].value == pytest.approx(expected)
    points = 100 * (float(iou(confusion_counts(shifted, MASKS).sum(axis=0))) - 1)
    row = rows["road IoU", "difference in points", "bright"]
    assert row.value == pytest.approx(points)
    assert row.low <= row.value <= row.high < -5
    assert rows["road IoU", "difference in points", "all"].value == 0
    mean = rows["road IoU", "difference in points", "mean of 2 detectors"]
    assert mean.value == pytest.approx(points / 2)
    assert mean.low == pytest.approx(row.low / 2)
    assert f"{points:+.1f} points" in section.says[-3]
    assert "less than 5 are aimed at" in section.says[-3]


def test_the_two_sides_are_turned_by_turning_the_question(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", np.roll(MASKS, 1, axis=2)), make_run(tmp_path / "b", MASKS)
    there, back = by_name(judged(a, b)), by_name(judged(b, a))
    for key, row in there.items():
        if key[1].startswith("difference"):
            other = back[key]
            np.testing.assert_allclose((row.value, row.low), (-other.value, -other.high), atol=1e-9)


def test_images_that_come_nearer_to_their_style_are_nearer(tmp_path: Path) -> None:
    look = np.random.default_rng(1).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    like = make_run(tmp_path / "a", MASKS, np.repeat(look[None], 6, axis=0))
    unlike = make_run(tmp_path / "b", MASKS)
    write_cog(tmp_path / "look.tif", look, read_run(like).tiles[0])
    record = {"options": {"style": "../look.tif", "seed": 0}}
    (like / "run.json").write_text(json.dumps(record))
    section = judged(like, unlike, Autoencoder(toy_pipeline(), "0" * 64))
    rows = {(row.measure, row.of): row for row in section.rows if row.measure.endswith("to style")}
    assert len(rows) == 9
    for (measure, of), row in rows.items():
        if of == "this run":
            assert row.value == pytest.approx(0, abs=1e-4)
        elif of == "difference":
            assert row.value == pytest.approx(-rows[measure, "the baseline"].value, abs=1e-4)
            assert row.value < 0
    assert "style: 'look.tif' against none" in section.says[1]
    needs = judged(like, unlike).missing
    assert any("which need the model (--model)" in sentence for sentence in needs)


def test_years_of_real_places_stand_beside(tmp_path: Path) -> None:
    ours, theirs = make_run(tmp_path / "a", MASKS), make_run(tmp_path / "b", MASKS)
    tools = Instruments({}, None, None, None, slack_m=1.0)
    tiles = make_tile_folder(tmp_path / "tiles")
    section = judge_changes(ours, read_run(ours), theirs, tools, tiles)
    assert ("colour distance", "real, 2020 to 2018", BY) in by_name(section)
    assert any("needs a road detector" in sentence for sentence in section.missing)
