"""The record of a run: written, read back, and checked where somebody else wrote it."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from rsaug.errors import InputError
from rsaug.options import SynthOptions, is_box
from rsaug.record import Record, file_sha256, read_record


def write(path: Path, **options: Any) -> Path:
    path.write_text(json.dumps({"options": options}))
    return path


def test_a_record_is_read_back_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    (project / "model").mkdir(parents=True)
    monkeypatch.chdir(project)
    options = SynthOptions(
        roads="town.gpkg|layername=roads",
        landcover=str(tmp_path / "wood.gpkg"),
        aoi="24.9,60.1,25.0,60.2",
        date=dt.date(2024, 6, 1),
        guidance=2.0,
        model="model",
        out="results/a",
    )
    record = Record(options, {"roads": "ab"}, {"model": "m"}, "2026-01-01T00:00:00Z", {"tiles": 3})
    (project / "results/a").mkdir(parents=True)
    path = project / "results/a/run.json"
    path.write_bytes(record.to_json())
    written = json.loads(path.read_text())
    assert written["tiles"] == 3
    assert written["options"]["roads"] == "../../town.gpkg|layername=roads"
    assert written["options"]["out"] == "."
    assert str(tmp_path) not in path.read_text()

    same = dataclasses.replace(record, results={})
    assert read_record("results/a/run.json") == same
    monkeypatch.chdir(tmp_path)
    seen = read_record("project/results/a/run.json").options
    assert (seen.roads, seen.model) == ("project/town.gpkg|layername=roads", "project/model")
    assert (seen.landcover, seen.aoi) == ("wood.gpkg", options.aoi)
    # Moved as a whole, it still fits together.
    project.rename(tmp_path / "moved")
    seen = read_record("moved/results/a/run.json").options
    assert (seen.roads, seen.out) == ("moved/town.gpkg|layername=roads", "moved/results/a")


def test_a_hand_written_file_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.json", roads="roads.geojson", gsd=1, date="2020-02-29")
    record = read_record(path, {"seed": 3})
    assert record.options.gsd == 1
    assert record.options.date == dt.date(2020, 2, 29)
    assert (record.options.seed, record.options.out) == (3, None)
    assert record.options.roads == str(tmp_path / "roads.geojson")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "names no road file"),
        ({"roads": "r", "speed": 1}, "'speed' that is not known"),
        ({"roads": 1}, "1 for the option 'roads', of a wrong type"),
        ({"roads": "r", "seed": 1.5}, "1.5 for the option 'seed'"),
        ({"roads": "r", "seed": True}, "True for the option 'seed'"),
        ({"roads": "r", "all": "yes"}, "'yes' for the option 'all'"),
        ({"roads": "r", "date": "June"}, "'June' for a date"),
        ({"roads": "r", "variants": 0}, "variants must be at least 1, not 0"),
        ({"roads": "r", "limit": 0}, "limit must be at least 1 tile, not 0"),
        ({"roads": "r", "limit": 5, "all": True}, "exclude each other"),
    ],
)
def test_what_cannot_be_a_run_is_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_record(write(tmp_path / "run.json", **options))


@pytest.mark.parametrize("content", ["", "[1]", '{"options": 3}', "{", '{"seed": 1}'])
def test_what_is_no_record_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"run\.json"):
        read_record(path)
    with pytest.raises(InputError, match="none"):
        read_record(tmp_path / "none")


@pytest.mark.parametrize(
    ("roads", "name"),
    [
        ("a/roads.geojson", "roads-synth"),
        ("a/x.osm.pbf", "x-synth"),
        ("t.gpkg|layername=r", "t-synth"),
    ],
)
def test_results_are_named_after_the_roads(roads: str, name: str) -> None:
    assert SynthOptions(roads).name == name
    assert SynthOptions(roads).folder == Path(name)
    assert SynthOptions(roads, out="there").folder == Path("there")


def test_differences_are_those_that_images_can_show() -> None:
    one = Record(SynthOptions("r", prompt=""), {"roads": "a"}, {"weights_sha256": "w"}, "t")
    alike = SynthOptions("elsewhere/r", limit=3, variants=2, device="cpu", out="there")
    assert one.differences(dataclasses.replace(one, options=alike, created="later")) == []
    other = Record(
        SynthOptions("r", seed=1, aoi="1,2,3,4"),
        {"roads": "b", "landcover": "c"},
        {"weights_sha256": "v"},
        "t",
    )
    expected = ["seed", "area of interest", "roads file", "weights", "landcover file"]
    assert one.differences(other) == expected


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("1,2,3,4", True),
        (" -1.5, 2e1 ,3,4", True),
        ("1,2,3", False),
        ("aoi.geojson", False),
    ],
)
def test_boxes_are_told_from_files(text: str, box: bool) -> None:
    assert is_box(text) is box


def test_the_digest_of_a_shapefile_covers_its_parts(tmp_path: Path) -> None:
    for suffix in ("shp", "dbf", "prj"):
        (tmp_path / f"a.{suffix}").write_text(suffix)
    before = file_sha256(tmp_path / "a.shp")
    assert before == file_sha256(tmp_path / "a.shp")
    (tmp_path / "a.dbf").write_text("changed")
    assert file_sha256(tmp_path / "a.shp") != before
    with pytest.raises(InputError, match="none"):
        file_sha256(tmp_path / "none")
