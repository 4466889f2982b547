"""The benchmark runs, and both sides see the same roads; nothing is timed here."""

from __future__ import annotations

from pathlib import Path

import pytest
from runfolder import painted_run

# What rasterio and torchgeo do is given up by newer libraries of theirs.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def test_both_sides_see_the_same_roads() -> None:
    for peer in ("torchgeo", "rusterize"):
        pytest.importorskip(peer)
    from benchmarks.road_datasets import measure_vectors

    layer = measure_vectors(features=800, queries=2, rounds=1)
    assert layer["features"] == 800
    assert layer["road_share"] > 0.01
    assert layer["pixels_unlike"] == 0
    assert all(taken > 0 for spread in layer["ms_a_query"].values() for taken in spread)


def test_both_sides_read_the_same_tiles(tmp_path: Path) -> None:
    pytest.importorskip("torchgeo")
    from benchmarks.road_datasets import measure_chips

    chips = measure_chips(painted_run(tmp_path, variants=1), most=100, rounds=1)
    assert chips["tiles"] == 4
    assert len(chips["samples_a_second"]) == 4
    assert all(rate > 0 for rates in chips["samples_a_second"].values() for rate in rates)
    assert chips["image_values_that_torchgeo_changed"] < 0.02
