"""Datasets by name, ours and those of other packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsaug.downstream.datasets import NAIPRoads, RoadVectors, dataset_class, datasets
from rsaug.errors import InputError


def test_ours_are_known_by_name() -> None:
    assert {"naip", "massachusetts", "deepglobe", "spacenet", "synthetic"} <= set(datasets())
    assert dataset_class("naip") is NAIPRoads
    for name in ("vectors", "rsaug.downstream.datasets:RoadVectors"):
        assert dataset_class(name) is RoadVectors
    assert dataset_class("rsaug.downstream.datasets.RoadVectors") is RoadVectors


def test_another_package_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "othertiles.py").write_text("class Tiles:\n    pass\n", encoding="utf-8")
    information = tmp_path / "othertiles-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Name: othertiles\nVersion: 1\n", encoding="utf-8")
    points = "[rsaug.datasets]\nother = othertiles:Tiles\nnaip = othertiles:Tiles\n"
    (information / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert datasets()["other"] == "othertiles:Tiles"
    assert dataset_class("other").__name__ == "Tiles"
    assert dataset_class("naip") is NAIPRoads


@pytest.mark.parametrize("name", ["nothing", "no.such.module:Tiles", "rsaug.errors:Nothing"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="there are deepglobe, massachusetts, naip"):
        dataset_class(name)


def test_a_function_is_no_dataset() -> None:
    with pytest.raises(InputError, match="is no class"):
        dataset_class("rsaug.downstream.datasets:datasets")
