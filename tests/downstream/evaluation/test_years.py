"""How far years of the same real places lie apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tilefolder import make_tile_folder

pytest.importorskip("kornia", reason="needs the extra `eval`")

from rsaug.downstream.evaluation.appearance import MEASURES, appearance
from rsaug.downstream.evaluation.years import year_rows
from rsaug.errors import InputError
from rsaug.raster import read_rgb


@pytest.fixture
def tiles(tmp_path: Path) -> Path:
    return make_tile_folder(tmp_path / "tiles")


def looks_of(tiles: Path, name: str) -> np.ndarray:
    looks: np.ndarray = appearance(read_rgb(tiles / "rgb" / f"{name}.tif")[None])[0]
    return looks


def test_years_are_compared_over_the_places_that_have_both(tiles: Path) -> None:
    apart = np.array(
        [looks_of(tiles, f"{place}_2020") - looks_of(tiles, f"{place}_2018") for place in "cd"]
    )
    rows = {row.measure: row for row in year_rows(tiles)}
    assert [*rows] == [*MEASURES, "colour distance"]
    for k, measure in enumerate(MEASURES):
        assert rows[measure].of == "real, 2020 - 2018"
        assert rows[measure].value == pytest.approx(apart[:, k].mean())
        assert rows[measure].n == "2 places in both years"
    distance = np.linalg.norm(apart[:, :3], axis=1).mean()
    assert rows["colour distance"].value == pytest.approx(distance)


def test_a_place_in_one_year_says_nothing(tiles: Path) -> None:
    index = pd.read_csv(tiles / "index.csv")
    index[index["id"] != "d_2018"].to_csv(tiles / "index.csv", index=False)
    assert year_rows(tiles) == []
    index.drop(columns="year").to_csv(tiles / "index.csv", index=False)
    assert year_rows(tiles) == []


def test_of_three_years_each_pair_is_compared(tiles: Path) -> None:
    index = pd.read_csv(tiles / "index.csv")
    more = index[index["year"] == 2018].assign(year=2016)
    pd.concat([index, more]).to_csv(tiles / "index.csv", index=False)
    rows = {(row.of, row.measure): row.value for row in year_rows(tiles)}
    steps = [rows[f"real, {years}", MEASURES[0]] for years in ("2018 - 2016", "2020 - 2018")]
    assert steps[0] == 0
    assert rows["real, 2020 - 2016", MEASURES[0]] == pytest.approx(steps[1])


def test_the_test_split_takes_no_part(tiles: Path) -> None:
    with pytest.raises(InputError, match="'test' takes no part"):
        year_rows(tiles, "test")
