"""Targets: configurations, records and catalogues, which are JSON, TOML, YAML or plain text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from fuzz.mutations import Sample
from fuzz.targets import BYTES, DOCUMENT, TEXT, Run, Target, sample_of
from rsaug.errors import RsaugError


def _either(*readers: Callable[[Path], object]) -> Run:
    """All readers after one another, whatever the ones before said."""

    def run(place: Path) -> None:
        for reader in readers:
            try:
                reader(place)
            except RsaugError:
                continue

    return run


def _shipped(package: str, start: str, suffix: str) -> list[Sample]:
    folder = resources.files(package)
    paths = [path for path in folder.iterdir() if path.name.startswith(start)]
    return [{f"given{suffix}": p.read_bytes()} for p in paths if p.name.endswith(suffix)]


def _road_rules(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.road_rules import read_rules

    own = b"""
[defaults]
width_m = 4.0
[columns]
width = [{ column = "W", unit = "ft" }, "width"]
[[rule]]
name = "tracks"
where = { tracktype = ["grade4", 5], surface = true }
width_m = 2.5
"""
    seeds = [*_shipped("rsaug.rules", "roads", ".toml"), {"given.toml": own}]
    return seeds, lambda place: read_rules(place / "given.toml")


def _classes(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.classes import read_class_set, read_raster_table

    seeds = [
        *_shipped("rsaug.rules", "classes-", ".toml"),
        *_shipped("rsaug.rules", "raster-", ".toml"),
    ]
    name = "given.toml"
    return seeds, _either(
        lambda place: read_class_set(place / name), lambda place: read_raster_table(place / name)
    )


def _mix(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.pipelines.train.mix import read_mix

    def run(place: Path) -> None:
        mix = read_mix(place / "given.toml")
        assert set(mix.draw_slots(np.random.default_rng(0))) <= set(mix.slots)

    return _shipped("rsaug.pipelines.train.mixes", "", ".toml"), run


def _bench(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.downstream.bench.config import read_config

    def run(place: Path) -> None:
        config = read_config(place / "given.yaml", {"data.root": "elsewhere"})
        (place / "again.yaml").write_text(config.to_yaml(), encoding="utf-8")
        assert read_config(place / "again.yaml") == config

    return _shipped("rsaug.downstream.bench.configs", "", ".yaml"), run


def _record(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.options import SynthOptions
    from rsaug.record import Record, read_record

    (folder / "roads.geojson").write_text("{}")
    options = SynthOptions(
        roads=str(folder / "roads.geojson"),
        landcover="osm",
        aoi="24.94,60.166,24.948,60.17",
        controls="road,seg",
        seed=3,
        out=str(folder),
    )
    facts = {"model": "default", "weights_sha256": "0" * 64, "versions": {"torch": "2.11.0"}}
    record = Record(options, {"roads": "1" * 64}, facts, "2026-01-01T00:00:00Z", {"tiles": 3})

    def run(place: Path) -> None:
        read = read_record(place / "run.json")
        read.differences(record)
        read.options.files()
        read.options.uses()
        read.to_json()

    (folder / "roads.geojson").unlink()
    return [{"run.json": record.to_json()}], run


def _catalogue(folder: Path) -> tuple[Sequence[Sample], Run]:
    from painter import write_roads

    from rsaug.folder import RunFolder
    from rsaug.options import SynthOptions
    from rsaug.status import read_status
    from rsaug.synthesis import make_plan
    from rsaug.synthesis import run as make
    from rsaug.verification import verify

    roads = write_roads(folder / "streets.gpkg", rows=1, cols=1)
    from painter import Painter

    asked = SynthOptions(
        roads=str(roads), controls="road", gsd=0.5, tile_size=128, out=str(folder / "run")
    )
    make(make_plan(asked), Painter())
    note = {"item": "a", "reason": "b", "time": "2026-01-01T00:00:00Z"}
    (folder / "run" / "quarantine").mkdir()
    (folder / "run" / "quarantine" / "a.json").write_text(json.dumps(note))
    sample = sample_of(folder / "run")
    (item,) = (name for name in sample if name.startswith("items/"))
    key = str(json.loads(sample[item])["properties"]["rsaug:key"])

    def run(place: Path) -> None:
        run_folder, name = RunFolder(place), Path(item).stem
        run_folder.holds(name, key)
        run_folder.is_whole(name)
        reader(place)

    reader = _either(
        lambda place: read_status(place, 0.0).to_text(),
        lambda place: verify(place).to_text(),
    )
    # Its rasters are the concern of another target, and are small here.
    return [sample], run


def _manifest(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.downstream.datasets.synthetic import SyntheticRoads
    from rsaug.downstream.evaluation.tiles import read_run

    seeds, _ = _catalogue(folder)
    readers = _either(read_run, lambda place: SyntheticRoads(place))
    return seeds, readers


def _detector(folder: Path) -> tuple[Sequence[Sample], Run]:
    from dataclasses import asdict

    from rsaug.downstream import detector, segmenter
    from rsaug.pipelines.extractors import landcover

    config = {"format": detector.FORMAT, **asdict(detector.DetectorConfig(gsd_m=0.6)), "scores": {}}
    other = {**asdict(segmenter.SegmenterConfig())}
    cover = {**asdict(landcover.LandcoverConfig()), "facts": {"iou": 0.5}}
    samples = [{"config.json": json.dumps(one).encode()} for one in (config, other, cover)]

    def is_one(place: Path) -> None:
        detector.is_detector(place)

    return samples, _either(
        is_one,
        detector._read,
        lambda place: segmenter._read_config(place / "config.json"),
        lambda place: landcover._read_config(place / "config.json"),
    )


def _scores(folder: Path) -> tuple[Sequence[Sample], Run]:
    from rsaug.downstream.bench.protocols import read_scores
    from rsaug.downstream.evaluation.matching import read_settings

    seeds = [{"scores.json": json.dumps({"r1_c2": 0.5, "r1_c2_v1": 1}).encode()}]
    (record,), _ = _record(folder)
    return [*seeds, record], _either(
        lambda place: read_scores(place / "scores.json"), read_settings
    )


def _option(place: Path) -> str:
    return (place / "option.txt").read_bytes().decode("utf-8", "surrogateescape")


def _texts(folder: Path) -> tuple[Sequence[Sample], Run]:
    """Options of the command line that are a small language of their own."""
    from rsaug.aoi import _box
    from rsaug.conditions.depth import read_height_range
    from rsaug.options import is_box, is_network, split_name

    def box(place: Path) -> None:
        if is_box(_option(place)) and not is_network(_option(place)):
            _box(_option(place))

    readers = _either(
        box,
        lambda place: split_name(_option(place)),
        lambda place: read_height_range(_option(place)),
    )
    options = ("24.94,60.166,24.948,60.17", "179.9,-17,-179.9,-16", "0,120", "-1e3,5",
               "town.gpkg|layername=roads", "seg=area.geojson@0.5")  # fmt: skip
    return [{"option.txt": text.encode()} for text in options], readers


def _crs(folder: Path) -> tuple[Sequence[Sample], Run]:
    from pyproj import CRS

    from rsaug.grid import parse_crs

    names = ("EPSG:32635", "32635", "auto", CRS.from_epsg(32635).to_wkt(), "+proj=utm +zone=35")
    return [{"option.txt": name.encode()} for name in names], lambda place: parse_crs(
        _option(place)
    )


TARGETS = (
    Target("options", "boxes, ranges and names on the command line", _texts, TEXT),
    Target("crs", "names of a CRS", _crs, TEXT),
    Target("road-rules", "TOML with rules for roads", _road_rules, TEXT),
    Target("classes", "TOML with land-cover classes", _classes, TEXT),
    Target("mix", "TOML with a mix of conditions", _mix, TEXT),
    Target("bench", "YAML of the benchmark", _bench, TEXT),
    Target("record", "run.json as a configuration", _record, DOCUMENT),
    Target("scores", "scores.json, and run.json as settings", _scores, DOCUMENT),
    Target("detector", "config.json of detectors and extractors", _detector, DOCUMENT),
    Target("catalogue", "a run's items, collection, model and notes", _catalogue, BYTES),
    Target("manifest", "a run as a data set", _manifest, BYTES),
)
