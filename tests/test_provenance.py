"""What a file says of its origin, read back by us and by others."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rasterio.io import MemoryFile

from rsaug.conditions.stack import ControlStack
from rsaug.errors import InputError
from rsaug.grid import Tile, TileGrid, parse_crs
from rsaug.provenance import (
    DIGITAL_SOURCE_TYPE,
    EDITED_SOURCE_TYPE,
    Provenance,
    controls_key,
    image_key,
    label_tags,
    read_key,
    read_provenance,
)
from rsaug.raster import encode_cog, write_cog

GRID = TileGrid(parse_crs(32635), 0.5, 128)
TILE = GRID.tile(-3, 5)
NOTE = Provenance("k" * 64, "default", "a" * 64, seed=2**63 - 1, variant=2, prompt='a "wet" <town>')
TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def write(path: Path, tags: dict[str, str], tile: Tile = TILE) -> Path:
    write_cog(path, np.zeros((3, 128, 128), np.uint8), tile, tags=tags)
    return path


@pytest.mark.parametrize("prompt", ["", "dense suburb", 'a "wet" <town> & so = on'])
def test_provenance_is_read_back_from_the_file(tmp_path: Path, prompt: str) -> None:
    note = dataclasses.replace(NOTE, prompt=prompt)
    assert read_provenance(write(tmp_path / "a.tif", note.tags())) == note


def test_an_edited_image_says_of_what(tmp_path: Path) -> None:
    note = dataclasses.replace(NOTE, source="town & field.tif")
    tags = note.tags()
    assert read_provenance(write(tmp_path / "a.tif", tags)) == note
    assert tags["RSAUG_DIGITAL_SOURCE_TYPE"] == note.source_type == EDITED_SOURCE_TYPE
    assert f'"{EDITED_SOURCE_TYPE}"' in note.xmp()
    assert NOTE.source_type == DIGITAL_SOURCE_TYPE
    assert "Real image" in tags["TIFFTAG_IMAGEDESCRIPTION"]
    assert "Real image" not in NOTE.tags()["TIFFTAG_IMAGEDESCRIPTION"]


def test_a_file_of_somebody_else_says_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", {"TIFFTAG_SOFTWARE": "a camera"})
    assert read_provenance(path) is None
    assert read_key(path) is None


def test_labels_have_a_key_and_are_not_synthetic(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", label_tags("Road mask", "abc"))
    assert read_provenance(path) is None
    assert read_key(path) == "abc"


def test_tags_that_were_tampered_with_are_no_provenance() -> None:
    assert Provenance.from_tags(NOTE.tags() | {"RSAUG_SEED": "many"}) is None
    assert Provenance.from_tags({"RSAUG_SYNTHETIC": "YES"}) is None


def test_what_is_no_raster_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"no tiff")
    with pytest.raises(InputError, match="cannot be read as a raster"):
        read_provenance(tmp_path / "a.tif")
    assert read_key(tmp_path / "a.tif") is None
    assert read_key(tmp_path / "none.tif") is None


def in_xml(character: str) -> bool:
    return character in "\t\n\r" or (character >= " " and character not in "\ufffe\uffff")


@given(model=TEXT, prompt=TEXT)
def test_xmp_is_well_formed_and_says_what_iptc_asks_for(model: str, prompt: str) -> None:
    note = dataclasses.replace(NOTE, model=model, prompt=prompt)
    packet = note.xmp()
    description = ET.fromstring(packet.split("?>", 1)[1])[0][0]
    iptc = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
    assert description.get(f"{iptc}DigitalSourceType") == DIGITAL_SOURCE_TYPE
    for name, text in (("AISystemUsed", model), ("AIPromptInformation", prompt)):
        # What XML cannot write is left out, everything else comes through.
        assert (description.get(f"{iptc}{name}") or "") == "".join(c for c in text if in_xml(c))
    assert packet.endswith('<?xpacket end="w"?>')


@given(prompt=TEXT)
def test_xmp_is_embedded_as_it_is(prompt: str) -> None:
    packet = dataclasses.replace(NOTE, prompt=prompt).xmp()
    image = np.zeros((3, *TILE.shape), dtype=np.uint8)
    content = encode_cog(image, TILE, tags=NOTE.tags(), xmp=packet)
    assert packet.encode() in content
    with MemoryFile(content) as memory, memory.open() as src:
        assert src.tags(ns="xml:XMP")["xml:XMP"] == packet
        assert src.tags()["RSAUG_SYNTHETIC"] == "YES"


def stack(**slots: float) -> ControlStack:
    return ControlStack.from_maps(
        (128, 128), **{name: np.full((128, 128), value) for name, value in slots.items()}
    )


def test_controls_key_follows_place_and_maps() -> None:
    same = controls_key(TILE, stack(road=1.0))
    assert same == controls_key(GRID.tile(-3, 5), stack(road=1.0))
    others = [
        controls_key(GRID.tile(-3, 6), stack(road=1.0)),
        controls_key(TILE, stack(road=0.5)),
        # Without content, but given: not the same as absent.
        controls_key(TILE, stack(road=1.0, seg=0.0)),
        controls_key(TILE, stack(seg=1.0)),
        controls_key(TileGrid(parse_crs(32636), 0.5, 128).tile(-3, 5), stack(road=1.0)),
    ]
    assert len({same, *others}) == 6


def test_keys_are_those_of_runs_that_are_there_already() -> None:
    """Another key for the same image would have every run made again."""
    controls = stack(road=1.0, seg=0.5)
    a, b, c, d, e, f, *_ = TILE.transform
    place = [TILE.crs.to_wkt(), [a, b, c, d, e, f], [128, 128], controls.present]
    maps = controls.slot("road").tobytes() + controls.slot("seg").tobytes()
    digest = hashlib.sha256(json.dumps(place).encode() + maps)
    assert controls_key(TILE, controls) == digest.hexdigest()
    text = '["c", 1, {"steps": 20}]'
    assert image_key("c", 1, {"steps": 20}) == hashlib.sha256(text.encode()).hexdigest()
    assert image_key("c", 1, {"steps": 20}, {}) == hashlib.sha256(text.encode()).hexdigest()


def test_image_key_follows_the_regions() -> None:
    one, other = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    found = [None, {"a": one}, {"b": one}, {"a": other}, {"a": one, "b": one}]
    assert len({image_key("c", 1, {"steps": 20}, regions) for regions in found}) == 5


def test_image_key_follows_the_generator_but_not_where_it_ran() -> None:
    said: dict[str, object] = {"weights_sha256": "a", "steps": 20, "device": "cpu", "versions": {}}
    key = image_key("c", 1, said)
    assert key == image_key("c", 1, said | {"device": "cuda", "versions": {"torch": "9"}})
    assert key == image_key("c", 1, dict(reversed(said.items())))
    assert (
        len(
            {
                key,
                image_key("c", 1, said | {"steps": 21}),
                image_key("c", 2, said),
                image_key("d", 1, said),
            }
        )
        == 4
    )
