"""Training on synthetic tiles alone: what is held out, and what is said of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from painter import Painter, write_roads
from pyproj import CRS
from tilefolder import make_tile_folder

from rsaug.downstream.datamodules import SyntheticDataModule
from rsaug.downstream.datamodules.synthetic import hold_out
from rsaug.downstream.datasets import RoadChips
from rsaug.downstream.datasets.chips import PlainRoadTiles
from rsaug.downstream.datasets.contract import PixelGrid
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.downstream.leakage import overlaps
from rsaug.downstream.training_options import FOLDER
from rsaug.errors import InputError
from rsaug.options import SynthOptions
from rsaug.synthesis import make_plan, run

CELLS = st.tuples(st.integers(0, 6), st.integers(0, 6))


def town(folder: Path, name: str, rows: int = 5, cols: int = 1, **asked: Any) -> str:
    """A run of ``rows`` by ``cols`` tiles of 64 m, painted."""
    roads = str(write_roads(folder / f"{name}.gpkg", rows=rows, cols=cols))
    options = SynthOptions(roads=roads, gsd=1.0, tile_size=64, out=str(folder / name), **asked)
    run(make_plan(options), Painter())
    return str(folder / name)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ``town``, its ``north`` with more to the east of that, and real ``tiles`` elsewhere."""
    folder = tmp_path_factory.mktemp("made")
    town(folder, "town", variants=2)
    town(folder, "north", rows=2, cols=2, seed=1)
    make_tile_folder(folder / "tiles")
    return folder


def module(made: Path, **options: Any) -> SyntheticDataModule:
    """A data module that is set up to train on the town."""
    data = SyntheticDataModule(**{"synthetic": [str(made / "town")], "batch_size": 2, **options})
    data.setup("fit")
    return data


def cells(places: set[tuple[int, int]], times: int = 1) -> RoadChips:
    """Tiles of 10 m in cells of a grid, each ``times`` times; nothing of them is read."""
    tiles = [
        RoadTile(
            name=f"{row}_{col}_{k}",
            place=f"{row}_{col}",
            image=Path("none.tif"),
            shape=(10, 10),
            grid=PixelGrid(
                CRS(32635), Affine(1, 0, 384_000 + 10 * col, 0, -1, 6_672_000 - 10 * row), (10, 10)
            ),
        )
        for row, col in sorted(places)
        for k in range(times)
    ]
    return PlainRoadTiles(tiles).chips()


@given(places=st.sets(CELLS, min_size=2), times=st.integers(1, 2), share=st.floats(0.05, 0.95))
def test_a_straight_line_parts_what_is_held_out(
    places: set[tuple[int, int]], times: int, share: float
) -> None:
    chips = cells(places, times)
    train, val, end = hold_out(chips, share)
    assert sorted(train.names + val.names) == sorted(chips.names)
    assert len(train)
    assert len(val)
    assert not set(train.places) & set(val.places)
    assert not overlaps(train, {"val": val})
    axis = {"northern": 0, "eastern": 1}[end]
    ours, theirs = ([int(place.split("_")[axis]) for place in part.places] for part in (train, val))
    # Rows are counted from the north, columns from the west.
    assert max(theirs) < min(ours) if axis == 0 else max(ours) < min(theirs)


@pytest.mark.parametrize(
    ("rows", "cols", "held", "end"),
    [(10, 4, 8, "northern"), (3, 5, 3, "eastern"), (7, 7, 7, "eastern"), (1, 2, 1, "eastern")],
)
def test_a_fifth_is_held_out_as_near_as_whole_lines_come(
    rows: int, cols: int, held: int, end: str
) -> None:
    chips = cells({(row, col) for row in range(rows) for col in range(cols)})
    _, val, found = hold_out(chips, 0.2)
    assert (len(val), found) == (held, end)


def test_of_one_place_nothing_can_be_held_out() -> None:
    with pytest.raises(InputError, match="of one place"):
        hold_out(cells({(0, 0)}, times=3), 0.2)


def test_a_part_of_the_run_is_held_out(made: Path) -> None:
    data = module(made)
    assert data.validated_on == "synthetic"
    assert data.training is not None
    assert isinstance(data.val_dataset, RoadChips)
    (train,) = data.training.synthetic
    assert (len(train), len(data.val_dataset)) == (8, 2)
    known = {train[k]["image"].sum().item() for k in range(len(train))}
    drawn = [image.sum().item() for batch in data.train_dataloader() for image in batch["image"]]
    assert sorted(drawn) == sorted(known)
    assert "held out to validate on: 2 tiles at the northern end of town" in " ".join(data.notes)
    assert data.facts() == {
        "real": None,
        "synthetic": [{"run": "town", "train": 8, "val": 2}],
        "synthetic_share": 1.0,
        "notes": [
            "trained on synthetic tiles alone",
            "held out to validate on: 2 tiles at the northern end of town; 8 tiles left to "
            "train on",
            "validated on synthetic tiles: the scores say how well roads are found in such tiles, "
            "and nothing about real imagery",
        ],
    }
    assert len(module(made, val_share=0.6).val_dataset) == 6  # type: ignore[arg-type]
    data.setup("validate")


def test_what_one_run_holds_out_another_one_does_not_train_on(made: Path) -> None:
    both = [str(made / "town"), str(made / "north")]
    with pytest.warns(UserWarning, match="left out"):
        data = module(made, synthetic=both)
    assert data.training is not None
    # Of the second run the eastern half is held out, and of the rest a tile lies on held ground.
    assert data.facts()["synthetic"] == [
        {"run": "town", "train": 8, "val": 2},
        {"run": "north", "train": 1, "val": 2},
    ]
    held = {f"{k}": part for k, part in enumerate(data.val_dataset.datasets)}  # type: ignore[union-attr]
    assert not [overlaps(part, held) for part in data.training.synthetic if overlaps(part, held)]


def test_another_run_to_validate_on(made: Path, tmp_path: Path) -> None:
    val = [str(made / "north")]
    with pytest.raises(InputError, match=r"synthetic tiles: 2 training places .* split 'val'"):
        module(made, val=val)
    with pytest.warns(UserWarning, match="left out"):
        data = module(made, val=val, on_overlap="drop")
    assert data.facts()["synthetic"] == [{"run": "town", "train": 6}, {"run": "north", "val": 4}]
    with pytest.warns(UserWarning, match="left out"), pytest.raises(InputError, match="is left"):
        module(made, synthetic=val, val=val, on_overlap="drop")


def test_real_tiles_to_validate_on(made: Path) -> None:
    data = module(made, dataset=FOLDER, root=str(made / "tiles"))
    assert data.validated_on == "real"
    assert isinstance(data.val_dataset, RoadChips)
    assert not data.val_dataset.synthetic
    assert data.facts()["real"] == {"dataset": FOLDER, "folder": "tiles", "train": 0, "val": 4}
    assert data.facts()["synthetic"] == [{"run": "town", "train": 10}]
    assert data.train_sampler is not None
    assert data.train_sampler.plan(0).synthetic.all()
    data.setup("test")
    assert isinstance(data.test_dataset, RoadChips)
    assert not data.test_dataset.synthetic
    with pytest.raises(InputError, match="'synthetic' is a synthetic dataset"):
        module(made, dataset="synthetic", root=str(made / "north"))


def test_nothing_is_tested_on_synthetic_tiles(made: Path) -> None:
    data = module(made)
    for stage in ("test", "predict"):
        with pytest.raises(InputError, match=f"nothing for the stage '{stage}'"):
            data.setup(stage)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"synthetic": []}, "no run of rsaug synth to train on"),
        ({"val": ["north"], "dataset": "naip"}, "name either, not both"),
        ({"val_share": 1.0}, "val_share must lie between 0 and 1, not 1"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SyntheticDataModule(**{"synthetic": ["town"], **options})
    with pytest.raises(InputError, match="Nothing was trained on"):
        SyntheticDataModule(["town"]).facts()


def test_variants_can_be_chosen(made: Path) -> None:
    data = module(made, variants=[1])
    assert data.training is not None
    names = data.training.synthetic[0].names
    assert len(names) == 4
    assert np.unique(names).size == 4
