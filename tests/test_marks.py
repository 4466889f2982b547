"""Marked runs: signed once, by who was asked for, and found out when something was altered."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from certificates import Papers, write_papers
from painter import Painter, contents, write_roads
from PIL import Image
from test_synthesis import make, options
from test_verification import resign

from rsaug.credentials import read_credentials
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.mark_verification import look_at_image
from rsaug.optional import MissingExtra
from rsaug.options import SynthOptions
from rsaug.progress import Progress
from rsaug.provenance import read_provenance
from rsaug.raster import read_rgb, write_cog
from rsaug.record import read_record
from rsaug.tiffroom import has_manifest
from rsaug.verification import verify
from rsaug.watermark import PERIOD, find, watermark_id


def names(out: Path) -> list[str]:
    return sorted(path.stem for path in (out / "items").iterdir())


def pixels(out: Path) -> dict[str, bytes]:
    return {path.name: read_rgb(path).tobytes() for path in sorted((out / "images").iterdir())}


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg", rows=1, cols=3)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    return write_papers(tmp_path / "papers")


def signed(roads: Path, out: Path, papers: Papers, **more: object) -> SynthOptions:
    return options(roads, out, sign=papers.chain, sign_key=papers.key, **more)


def test_a_watermark_is_in_pixels_tags_and_catalogue(roads: Path, tmp_path: Path) -> None:
    make(options(roads, tmp_path / "plain"))
    out = tmp_path / "out"
    make(options(roads, out, watermark="town", mosaic=True))
    for name in names(out):
        path = out / f"images/{name}.tif"
        tile = Tile.from_raster(path)
        trace = find(read_rgb(path), "town")
        assert trace.found
        assert trace.shift == (tile.row * 128 % PERIOD, tile.col * 128 % PERIOD)
        said = read_provenance(path)
        item = json.loads((out / f"items/{name}.json").read_text())
        assert said is not None
        assert said.watermark == item["properties"]["rsaug:watermark"] == watermark_id("town")
    mosaic = read_provenance(out / "mosaic.tif")
    assert mosaic is not None
    assert mosaic.watermark == watermark_id("town")
    assert find(read_rgb(out / "mosaic.tif"), "town").found
    assert contents(out / "masks") == contents(tmp_path / "plain/masks")
    assert pixels(out) != pixels(tmp_path / "plain")
    found = verify(out, 1, lambda asked: Painter())
    assert found.findings == ()
    assert found.notes == ("Watermarks found in the pixels: 3.",)


def test_another_watermark_makes_images_anew(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, watermark="town"))
    assert make(options(roads, out, watermark="town")).progress == Progress(total=3, kept=3)
    assert make(options(roads, out, watermark="city")).progress == Progress(total=3, made=3)
    assert make(options(roads, out)).progress == Progress(total=3, made=3)
    make(options(roads, tmp_path / "plain"))
    assert contents(out / "images") == contents(tmp_path / "plain/images")


def test_a_watermark_that_is_not_there_is_found(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, watermark="town"))
    one, other = names(out)[:2]
    path = out / f"images/{one}.tif"
    with rasterio.open(path) as src:
        rgb, tags, xmp = src.read(), src.tags(), src.tags(ns="xml:XMP")
    flat = np.full_like(rgb, 99)
    packet = "".join(f"{key}={value}" for key, value in xmp.items())
    write_cog(path, flat, Tile.from_raster(path), tags=tags, xmp=packet)
    resign(out, one, "image")
    item = json.loads((out / f"items/{other}.json").read_text())
    del item["properties"]["rsaug:watermark"]
    (out / f"items/{other}.json").write_text(json.dumps(item))
    problems = {finding.item: finding.problem for finding in verify(out).findings}
    assert problems[one] == "image: its watermark is not in the pixels"
    assert problems[other] == "its item does not name the watermark of the run"


def test_a_signed_run_is_that_of_an_unsigned_one_and_a_manifest(
    roads: Path, tmp_path: Path, papers: Papers
) -> None:
    make(options(roads, tmp_path / "plain", mosaic=True))
    out = tmp_path / "out"
    make(signed(roads, out, papers, mosaic=True))
    assert pixels(out) == pixels(tmp_path / "plain")
    assert contents(out / "masks") == contents(tmp_path / "plain/masks")
    for name in ("mosaic.tif", *(f"images/{name}.tif" for name in names(out))):
        found = read_credentials(out / name, papers.anchor)
        assert found is not None
        assert found.state == "trusted"
    with (out / "mosaic_mask.tif").open("rb") as file:
        assert not has_manifest(file)
    record = json.loads((out / "run.json").read_text())
    assert record["signing"]["subject"] == "CN=Town Hall,O=Helsinki"
    assert record["options"]["sign_key"] == "../papers/key.pem"
    assert "sign_key" not in record["inputs"]
    secret = Path(papers.key).read_text().splitlines()[1]
    assert not any(secret.encode() in content for content in contents(out).values())
    assert read_record(out / "run.json").options.folder.resolve() == out.resolve()


def test_what_is_signed_is_not_signed_again(roads: Path, tmp_path: Path, papers: Papers) -> None:
    out = tmp_path / "out"
    asked = signed(roads, out, papers, mosaic=True, variants=2)
    make(asked)
    before = contents(out)
    assert make(asked).progress == Progress(total=6, kept=6)
    assert contents(out) == before
    # Another certificate does not sign over the first one either.
    again = write_papers(tmp_path / "others", name="Somebody else")
    make(signed(roads, out, again, mosaic=True, variants=2))
    assert contents(out / "images") == {
        name.removeprefix("images/"): content
        for name, content in before.items()
        if name.startswith("images/")
    }


def test_images_that_are_there_are_signed_as_they_are(
    roads: Path, tmp_path: Path, papers: Papers
) -> None:
    out = tmp_path / "out"
    make(options(roads, out, mosaic=True))
    before = pixels(out)
    painter = Painter()
    make(signed(roads, out, papers, mosaic=True), painter)
    assert painter.painted == []
    assert pixels(out) == before
    assert read_credentials(out / "mosaic.tif") is not None
    found = verify(out, 1, lambda asked: Painter())
    assert found.findings == ()
    assert found.notes == (
        "Signatures that hold, by Town Hall, Helsinki, whom no given anchor vouches for: 3.",
    )


Deed = Callable[[Path], Any]


def repaint(path: Path) -> None:
    """A pixel of the image altered, all else kept: its blocks are not compressed to be seen."""
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dst:
        rgb = dst.read()
        rgb[0, 5, 5] ^= 1
        dst.write(rgb)


def unsign(path: Path) -> None:
    with rasterio.open(path) as src:
        rgb, tags, xmp = src.read(), src.tags(), src.tags(ns="xml:XMP")
    packet = "".join(f"{key}={value}" for key, value in xmp.items())
    write_cog(path, rgb, Tile.from_raster(path), tags=tags, xmp=packet)


def swap(path: Path) -> None:
    """Another signed image under this one's name."""
    other = next(each for each in sorted(path.parent.iterdir()) if each != path)
    shutil.copy(other, path)


@pytest.mark.parametrize(
    ("deed", "problem"),
    [
        (repaint, "image: its signature does not hold (assertion.dataHash.mismatch)"),
        (unsign, "image: is not signed, which the run was to be"),
        (swap, "image: what is signed and its item do not agree on what made it"),
    ],
)
def test_what_a_forger_did_is_found(
    roads: Path, tmp_path: Path, papers: Papers, deed: Deed, problem: str
) -> None:
    out = tmp_path / "out"
    make(signed(roads, out, papers))
    name = names(out)[1]
    deed(out / f"images/{name}.tif")
    resign(out, name, "image")
    assert (name, problem) in {(each.item, each.problem) for each in verify(out).findings}


def test_who_vouches_for_the_signer_is_told(roads: Path, tmp_path: Path, papers: Papers) -> None:
    out = tmp_path / "out"
    make(signed(roads, out, papers))
    trusted = verify(out, anchors=papers.anchor)
    assert trusted.findings == ()
    assert "by Town Hall, Helsinki, vouched for by a given anchor" in trusted.to_text()
    other = write_papers(tmp_path / "others")
    # A finding about the signer, so that no image is discarded for it.
    strange = verify(out, anchors=other.anchor, discard=True)
    (finding,) = strange.findings
    assert finding.item == "signatures"
    assert finding.problem.startswith("Town Hall, Helsinki signed 3 of the images, and no given")
    assert len(names(out)) == 3


def test_images_are_made_again_without_the_key(roads: Path, tmp_path: Path, papers: Papers) -> None:
    out = tmp_path / "out"
    make(signed(roads, out, papers, watermark="town"))
    Path(papers.key).unlink()
    found = verify(out, 3, lambda asked: Painter())
    assert (found.remade, found.findings) == (3, ())
    with pytest.raises(InputError, match=r"key\.pem cannot be read"):
        make(signed(roads, out, papers, watermark="town"))


def test_without_the_library_signatures_are_told_but_not_checked(
    roads: Path, tmp_path: Path, papers: Papers, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    make(signed(roads, out, papers))
    monkeypatch.setitem(sys.modules, "c2pa", None)
    found = verify(out)
    assert found.findings == ()
    (note,) = found.notes
    assert note == "Signatures not looked at, which takes pip install 'rsaug[c2pa]': 3."
    with pytest.raises(MissingExtra, match=r"pip install 'rsaug\[c2pa\]'"):
        look_at_image(out / f"images/{names(out)[0]}.tif")
    assert look_at_image(out / f"masks/{names(out)[0]}.tif").credentials is None
    with pytest.raises(MissingExtra):
        make(signed(roads, tmp_path / "new", papers))
    assert not (tmp_path / "new").exists()


def test_a_stray_image_is_told_by_its_marks(roads: Path, tmp_path: Path, papers: Papers) -> None:
    out = tmp_path / "out"
    make(signed(roads, out, papers, watermark="town"))
    path = out / f"images/{names(out)[0]}.tif"
    found = look_at_image(path, "town", papers.anchor)
    assert found.in_order
    assert found.synthetic
    assert "signature  holds, by Town Hall, Helsinki" in found.to_text()
    assert "watermark  found" in found.to_text()
    # A picture of it says nothing any more, but for its pixels.
    Image.fromarray(read_rgb(path).transpose(1, 2, 0)).save(tmp_path / "a.jpg", quality=75)
    picture = look_at_image(tmp_path / "a.jpg", "town")
    assert picture.in_order
    assert (picture.synthetic, picture.credentials, picture.watermark) == (False, None, True)
    other = look_at_image(tmp_path / "a.jpg", "city")
    assert not other.in_order
    assert "do not say that it is synthetic" in other.to_text()
    assert json.loads(json.dumps(other.to_dict()))["watermark"] is False
    repaint(path)
    altered = look_at_image(path)
    assert not altered.in_order
    assert "does not hold (assertion.dataHash.mismatch)" in altered.to_text()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sign": "a.pem"}, "give --sign and --sign-key"),
        ({"sign_key": "a.pem"}, "give --sign and --sign-key"),
        ({"timestamp_url": "http://t"}, "give --sign with --timestamp-url"),
        ({"watermark": " "}, "A watermark needs a name"),
    ],
)
def test_options_that_make_no_mark_are_refused(given: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SynthOptions("roads.gpkg", **given)  # type: ignore[arg-type]
