"""Marks from the command line: put in, checked, and told of a picture alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from certificates import write_papers
from painter import write_roads
from PIL import Image
from typer.testing import CliRunner, Result

from rsaug.cli import app
from rsaug.credentials import read_credentials
from rsaug.provenance import EDITED_SOURCE_TYPE, read_provenance
from rsaug.raster import read_rgb


def rsaug(*options: str) -> Result:
    return CliRunner().invoke(app, [*options])


@pytest.fixture
def papers(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options that sign, in a folder with ``town.gpkg``."""
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=1)
    papers = write_papers(Path("papers"))
    return ["--sign", papers.chain, "--sign-key", papers.key, "--model", str(model)]


def test_marked_images_are_verified(papers: list[str]) -> None:
    small = ["--gsd", "0.5", "--tile-size", "128", "--steps", "1"]
    made = rsaug("synth", "--roads", "town.gpkg", "--watermark", "town", *papers, *small)
    assert made.exit_code == 0, made.output
    verified = rsaug("verify", "town-synth", "--trust", "papers/anchor.pem", "--reproduce", "1")
    assert verified.exit_code == 0, verified.output
    assert "by Town Hall, Helsinki, vouched for by a given anchor: 1." in verified.stdout
    assert "Watermarks found in the pixels: 1." in verified.stdout

    (image,) = Path("town-synth/images").iterdir()
    told = rsaug("verify", str(image), "--watermark", "town", "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert (found["credentials"]["state"], found["watermark"]) == ("valid", True)
    Image.fromarray(read_rgb(image).transpose(1, 2, 0)).save("a.jpg", quality=90)
    assert rsaug("verify", "a.jpg", "--watermark", "town").exit_code == 0
    other = rsaug("verify", "a.jpg", "--watermark", "city")
    assert other.exit_code == 1
    assert "watermark  not found" in other.stdout
    # An editing command signs the same way, and says that there was a real image.
    edited = rsaug("restyle", str(image), "--out", "out", "--extractor", "hed=offline",
                   "--steps", "2", *papers)  # fmt: skip
    assert edited.exit_code == 0, edited.output
    result = Path("out/images") / image.name
    signed, said = read_credentials(result, "papers/anchor.pem"), read_provenance(result)
    assert signed is not None
    assert said is not None
    assert (signed.state, signed.said["source"]) == ("trusted", image.name)
    assert said.source_type == EDITED_SOURCE_TYPE
    assert json.loads(Path("out/run.json").read_text())["signing"]["issuer"].startswith("CN=Auth")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["verify", "town.gpkg", "--reproduce", "1"], "An image alone cannot be made again"),
        (["verify", ".", "--watermark", "town"], "leave --watermark out"),
        (["verify", "town.gpkg"], "cannot be read as a raster"),
        (["synth", "--roads", "town.gpkg", "--sign", "a.pem"], "give --sign and --sign-key"),
        (["synth", "--roads", "town.gpkg", "--watermark", ""], "A watermark needs a name"),
        (["restyle", "a.tif", "--out", "o", "--sign", "a.pem"], "give --sign and --sign-key"),
    ],
)
def test_what_cannot_be_is_refused(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_roads(Path("town.gpkg"), rows=1, cols=1)
    result = rsaug(*options)
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")
