"""Verification: a run as it was written is in order, and what was done to it is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from painter import Painter, contents, write_roads
from test_synthesis import make, options

from rsaug.errors import InputError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.raster import write_cog
from rsaug.stac_extensions import file_fields
from rsaug.verification import verify


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 6 tiles with 2 images each, beside its roads."""
    folder = tmp_path_factory.mktemp("run")
    roads = write_roads(folder / "streets.gpkg", rows=2, cols=3)
    make(options(roads, folder / "out", variants=2))
    return folder


@pytest.fixture
def out(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "copy")
    return tmp_path / "copy/out"


def names(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / "items").iterdir())


def told(out: Path) -> list[tuple[str, str]]:
    return [(finding.item, finding.problem) for finding in verify(out).findings]


def resign(out: Path, name: str, what: str) -> None:
    """Make an item agree with a file that was altered, as a careful forger would."""
    item = json.loads((out / f"items/{name}.json").read_text())
    asset = item["assets"][what]
    asset.update(file_fields(out / "items" / asset["href"]))
    (out / f"items/{name}.json").write_text(json.dumps(item))


def test_a_run_as_written_is_in_order(out: Path) -> None:
    found = verify(out)
    assert (found.images, found.findings) == (12, ())
    assert found.to_text() == f"{out}: 12 images looked at; all as it should be"


def test_images_can_be_made_again(out: Path) -> None:
    found = verify(out, 5, lambda asked: Painter())
    assert (found.remade, found.findings) == (5, ())
    other = verify(out, 2, lambda asked: Painter(grey=130))
    assert len(other.findings) == 2
    assert "differs when it is made again" in other.findings[0].problem
    assert "by 2 at most" in other.findings[0].problem
    write_roads(out.parent / "streets.gpkg", rows=2, cols=3, shift_m=4)
    changed = verify(out, 12, lambda asked: Painter())
    assert ("run.json", "other files now: roads") in {(f.item, f.problem) for f in changed.findings}


def test_what_was_altered_can_be_removed_and_is_made_again(out: Path) -> None:
    before = contents(out, "**/*.tif")
    altered, remarked = names(out)[0], names(out)[2]
    flip(out, altered)
    path = out / f"masks/{remarked}.tif"
    path.write_bytes(path.read_bytes()[::-1])
    found = verify(out, discard=True)
    assert {finding.item for finding in found.findings} >= {altered, remarked}
    assert "rsaug synth --config" in found.notes[-1]
    assert not {altered, remarked} & {*names(out)}
    painter = Painter()
    make(options(out.parent / "streets.gpkg", out, variants=2), painter)
    assert contents(out, "**/*.tif") == before
    assert len(painter.painted) == len({finding.item for finding in found.findings})
    assert verify(out).findings == ()


Deed = Callable[[Path, str], Any]


def flip(out: Path, name: str) -> None:
    path = out / f"images/{name}.tif"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))


def strip(out: Path, name: str) -> None:
    """An image without a word on what it is, and an item that agrees."""
    path = out / f"images/{name}.tif"
    with rasterio.open(path) as src:
        pixels = src.read()
    write_cog(path, pixels, Tile.from_raster(path))
    resign(out, name, "image")


def relabel(out: Path, name: str) -> None:
    """A mask with a road that is not there, its tags kept."""
    path = out / f"masks/{name}.tif"
    with rasterio.open(path) as src:
        mask, tags = src.read(), src.tags()
    mask[0, :5] = 1 - mask[0, :5]
    write_cog(path, mask, Tile.from_raster(path), tags=tags)
    resign(out, name, "mask")
    resign(out, f"{name}_v1", "mask")


def grey(out: Path, name: str) -> None:
    path = out / f"masks/{name}.tif"
    with rasterio.open(path) as src:
        mask, tags = src.read(), src.tags()
    write_cog(path, np.full_like(mask, 7), Tile.from_raster(path), tags=tags)
    resign(out, name, "mask")


def swap(out: Path, name: str) -> None:
    """The image of another tile in the place of this one's."""
    other = next(n for n in names(out) if not n.startswith(name))
    shutil.copy(out / f"images/{other}.tif", out / f"images/{name}.tif")
    resign(out, name, "image")


def claim(out: Path, name: str) -> None:
    item = json.loads((out / f"items/{name}.json").read_text())
    item["properties"]["rsaug:synthetic"] = False
    (out / f"items/{name}.json").write_text(json.dumps(item))


def hold_out(out: Path, name: str) -> None:
    item = json.loads((out / f"items/{name}.json").read_text())
    item["properties"]["ml-aoi:split"] = "validate"
    (out / f"items/{name}.json").write_text(json.dumps(item))


def miscount(out: Path, name: str) -> None:
    item = json.loads((out / f"items/{name}.json").read_text())
    item["properties"]["label:overviews"][0]["counts"][1]["count"] += 1
    (out / f"items/{name}.json").write_text(json.dumps(item))


def lead_out(out: Path, name: str) -> None:
    item = json.loads((out / f"items/{name}.json").read_text())
    item["assets"]["image"]["href"] = "../../streets.gpkg"
    (out / f"items/{name}.json").write_text(json.dumps(item))


def say_nothing(out: Path, name: str) -> None:
    """Text in the place of an item's properties."""
    item = json.loads((out / f"items/{name}.json").read_text())
    (out / f"items/{name}.json").write_text(json.dumps({**item, "properties": "none"}))


@pytest.mark.parametrize(
    ("deed", "problem"),
    [
        (flip, "image: was altered"),
        (lambda out, name: (out / f"masks/{name}.tif").unlink(), "mask: is missing"),
        (lambda out, name: (out / f"items/{name}.json").write_text("{"), "item cannot be read"),
        (strip, "image: does not say that it is synthetic"),
        (strip, "image: its XMP packet does not say"),
        (relabel, "mask: is not the road map that the image was made from"),
        (grey, "mask: has values besides 0 and 1"),
        (swap, "image: its tags and its item do not agree"),
        (swap, "image and mask do not lie on the same pixels"),
        (claim, "item does not say that the image is synthetic"),
        (hold_out, "puts a synthetic image into 'validate'"),
        (miscount, "mask: has other numbers of pixels than its item says"),
        (lead_out, "which lies outside of the run"),
        (say_nothing, "item cannot be read"),
    ],
)
def test_what_was_done_to_an_image_is_found(out: Path, deed: Deed, problem: str) -> None:
    name = names(out)[2]
    deed(out, name)
    assert any(item == name and problem in said for item, said in told(out))


def test_what_was_done_to_the_run_is_found(out: Path) -> None:
    name = names(out)[0]
    shutil.copy(out / f"items/{name}.json", out / "items/stranger.json")
    (out / "manifest.parquet").write_bytes(b"PAR1")
    found = dict(told(out))
    assert found["collection.json"] == "does not list stranger"
    assert found["manifest.parquet"] == "cannot be read"


def test_other_weights_are_found(out: Path) -> None:
    record = json.loads((out / "run.json").read_text())
    record["generator"]["weights_sha256"] = "0" * 64
    (out / "run.json").write_text(json.dumps(record))
    assert any("other weights" in problem for _, problem in told(out))


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run that came to its end"):
        verify(tmp_path)
    assert RunFolder(tmp_path).collection == tmp_path / "collection.json"
