"""Two runs, image by image, and what their records say of their settings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from runfolder import painted_run, placed_run, random_masks, tiles_with

from rsaug.downstream.evaluation.matching import difference, match, read_settings, read_style
from rsaug.downstream.evaluation.tiles import read_run
from rsaug.errors import InputError
from rsaug.record import file_sha256


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ``run``, one with other ``grey`` roads, and one of other ``noise``."""
    folder = tmp_path_factory.mktemp("runs")
    painted_run(folder)
    painted_run(folder, name="grey", grey=90)
    painted_run(folder, name="noise", seed=1)
    return folder


def placed(folder: Path, masks: NDArray[np.uint8], seen: NDArray[np.uint8]) -> Path:
    """A run without seeds, its tiles beside each other."""
    tiles = tiles_with(masks, seen, [f"p{k}" for k in range(len(masks))])
    return placed_run(folder, tiles.tiles, masks, tiles.images)


def test_images_of_one_tile_and_variant_are_paired(runs: Path) -> None:
    own = read_run(runs / "run")
    matched = match(runs / "run", own, runs / "grey")
    assert matched.ours.names.tolist() == matched.theirs.names.tolist() == own.names.tolist()
    assert (matched.unmatched, matched.seeds_known) == (0, True)
    # The same seeds: only the roads are of another grey.
    off_road = np.repeat(own.masks[:, None] == 0, 3, axis=1)
    same = matched.ours.images == matched.theirs.images
    np.testing.assert_array_equal(same, off_road)


def test_what_has_no_counterpart_is_counted(runs: Path, tmp_path: Path) -> None:
    masks = random_masks(3)
    ours, theirs = (
        placed(tmp_path / "a", masks, masks),
        placed(tmp_path / "b", masks[:2], masks[:2]),
    )
    matched = match(ours, read_run(ours), theirs)
    assert (len(matched.ours), matched.unmatched, matched.seeds_known) == (2, 1, False)
    with pytest.raises(InputError, match="holds none of the 3 images"):
        match(ours, read_run(ours), runs / "run")


def test_runs_that_differ_in_more_than_settings_are_refused(runs: Path, tmp_path: Path) -> None:
    own = read_run(runs / "run")
    with pytest.raises(InputError, match=r"other noise .* \(seeds \d+ and \d+\)"):
        match(runs / "run", own, runs / "noise")
    with pytest.raises(InputError, match="is the run itself"):
        match(runs / "run", own, runs / "." / "run")
    masks = random_masks(2)
    ours = placed(tmp_path / "a", masks, masks)
    others = placed(tmp_path / "b", 1 - masks, masks)
    with pytest.raises(InputError, match="road masks of t0 differ"):
        match(ours, read_run(ours), others)
    elsewhere = tiles_with(masks, masks, ["p0", "p1"])
    moved = placed_run(tmp_path / "c", elsewhere.tiles[::-1], masks, elsewhere.images)
    with pytest.raises(InputError, match="t0 lies elsewhere"):
        match(ours, read_run(ours), moved)


def test_settings_are_those_of_the_record(runs: Path) -> None:
    ours, theirs = (read_settings(runs / name) for name in ("run", "grey"))
    assert ours["controls"] == ["mlsd", "hed", "road", "seg"] or "road" in ours["controls"]
    assert ours["landcover"].startswith("wood.gpkg (")
    assert {"device", "versions", "model"}.isdisjoint(ours)
    assert difference(ours, ours) == []
    said = difference(ours, theirs)
    assert "grey: 128 against 90" in said
    assert difference({"prompt": "a"}, {"date": "2020-07-01"}) == [
        "prompt: 'a' against none",
        "date: none against '2020-07-01'",
    ]


def test_a_run_without_a_record_has_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == {}
    assert read_style(tmp_path) is None
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read as the record"):
        read_settings(tmp_path)
    (tmp_path / "run.json").write_text('{"options": [], "generator": 3}')
    assert read_settings(tmp_path) == {}


def test_a_style_image_is_the_one_that_was_given(runs: Path, tmp_path: Path) -> None:
    image = next((runs / "run" / "images").glob("*.tif"))
    style = tmp_path / "look.tif"
    shutil.copy(image, style)
    run = tmp_path / "run"
    run.mkdir()
    record = {"options": {"style": "../look.tif"}, "inputs": {"style": file_sha256(style)}}
    (run / "run.json").write_text(json.dumps(record))
    found = read_style(run)
    assert found is not None
    assert found.samefile(style)
    style.write_bytes(style.read_bytes() + b" ")
    with pytest.raises(InputError, match="is not the style image"):
        read_style(run)
    style.unlink()
    with pytest.raises(InputError, match="is no longer at"):
        read_style(run)
