"""How far a run is, as its folder says; and what a plan will take."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from painter import Painter, write_roads, write_wood
from test_synthesis import make, options
from test_workshop import Choosy

from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.conditions.road_channels import CHANNELS
from rsaug.errors import InputError
from rsaug.estimate import estimate
from rsaug.options import ConditionsOptions
from rsaug.status import read_status
from rsaug.synthesis import make_plan


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


def test_a_run_that_is_complete(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, variants=2))
    found = read_status(out, time.time())
    assert (found.images, found.complete, found.missing) == (24, 24, 0)
    assert not found.broken
    assert not found.failed
    on_disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert found.bytes == on_disk
    assert found.model == "painter"
    assert found.seconds_per_image is not None
    assert found.idle_seconds is not None
    assert 0 <= found.idle_seconds < 600
    assert found.to_text().startswith(f"{out}: 24 of 24 images are complete\n")
    json.dumps(found.to_dict())


def test_what_is_missing_broken_and_failed_is_told(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    tiles = make_plan(options(roads, out)).tiles
    make(options(roads, out), Choosy(tiles[2].name))
    (out / f"items/{tiles[4].name}.json").unlink()
    image = out / f"images/{tiles[5].name}.tif"
    image.write_bytes(image.read_bytes()[:-1])
    found = read_status(out, time.time() + 7200)
    assert (found.images, found.complete, found.missing) == (12, 9, 3)
    assert found.broken == (tiles[5].name,)
    text = found.to_text()
    assert "9 of 12 images are complete, 3 are missing" in text
    assert "the last image was written 2 h" in text
    assert f"failed: {tiles[2].name}: no paint is left" in text


def test_control_maps_without_images_are_told_of(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ConditionsOptions(
        roads=str(write_roads(tmp_path / "streets.gpkg")),
        landcover=str(write_wood(tmp_path / "wood.gpkg")),
        channels=",".join(channel.name for channel in CHANNELS),
        labels="buildings-roads",
        gsd=0.5,
        tile_size=128,
        out=str(out),
    )
    write_conditions(make_conditions_plan(asked))
    found = read_status(out, time.time())
    assert (found.command, found.model) == ("conditions", None)
    assert (found.images, found.complete, found.missing) == (12, 12, 0)
    assert found.bytes == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    (first, *_) = sorted((out / "items").iterdir())
    first.unlink()
    text = read_status(out, time.time() + 7200).to_text()
    assert text.startswith(f"{out}: 11 of 12 tiles are complete, 1 are missing\nrsaug conditions, ")
    assert "the last tile was written 2 h" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no run.json"),
        ("{", "no record"),
        ("[3]", "no record"),
        ('{"images": 3}', "no record of rsaug synth or conditions: it has no 'created'"),
        ('{"created": "today"}', "it has no 'tiles'"),
        ('{"created": "today", "tiles": [3]}', "no record of rsaug synth or conditions: "),
        ('{"created": "today", "images": 1, "generator": []}', "no record of rsaug synth or"),
        ('{"command": "restyle", "images": []}', "a run of rsaug restyle, .*; rsaug report /"),
    ],
)
def test_another_folder_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_status(tmp_path, 0.0)


def test_an_estimate_counts_what_is_there(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    before = estimate(make_plan(options(roads, out, variants=2)), Painter())
    assert (before.tiles, before.images, before.present) == (12, 24, 0)
    assert before.seconds == 48.0
    assert before.area_km2 == pytest.approx(12 * 0.064**2)
    assert not out.exists()
    make(options(roads, out, variants=2, limit=3))
    after = estimate(make_plan(options(roads, out, variants=2)), Painter())
    assert (after.present, after.seconds) == (6, 36.0)
    whole = make(options(roads, out, variants=2))
    assert whole.progress.made == 18
    rooms = ("images", "masks", "conditions")
    size = sum(path.stat().st_size for room in rooms for path in (out / room).iterdir())
    assert 0.7 * size < before.bytes < 1.5 * size
    assert 0.9 < after.bytes / (size * 18 / 24) < 1.1
    done = estimate(make_plan(options(roads, out, variants=2)), Painter())
    assert (done.seconds, done.bytes) == (0.0, 0)
