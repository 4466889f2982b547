"""Every kind of leak, planted, is found before anything is trained; so is a false protocol."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from benchdata import config, make_data, pool_of, squares

from rsaug.downstream.bench.items import Items, places_under, read_labelled, read_pool
from rsaug.downstream.bench.leaks import Leak, find_leaks, pixel_hashes
from rsaug.downstream.bench.plan import load_world
from rsaug.downstream.bench.protocols import (
    Pool,
    check_protocol,
    default_places,
    default_weights,
    generator_places,
    read_scores,
)
from rsaug.errors import InputError

REAL, HELD = squares([0, 2, 4], seed=1), squares([6, 8], seed=2)
MADE = squares([20, 22], seed=3)


def searched(
    real: Items = REAL,
    held: Items = HELD,
    pools: tuple[Pool, ...] = (),
    *,
    drop: bool = False,
) -> tuple[Items, Mapping[str, int]]:
    """The tiles left, and how many leaks each check found that did not end the search."""
    kept, checks = find_leaks(real, {"val": held}, pools, label_split="train", drop=drop)
    return kept, {f"{check.kind}: {check.of}": check.found for check in checks}


def test_without_a_leak_everything_is_kept_and_every_check_is_told() -> None:
    kept, found = searched(pools=(pool_of(MADE, REAL),))
    assert len(kept) == 3
    assert set(found.values()) == {0}
    assert {name.partition(":")[0] for name in found} == {"place", "ground", "pixels", "provenance"}
    assert "pixels: pool 'pool' and train" in found


def test_a_place_in_two_splits_is_a_leak() -> None:
    held = squares([6, 8], seed=2, places=["x", REAL.places[1]])
    with pytest.raises(Leak, match="a leak by place, train and val: 1 of 3 and 2 places"):
        searched(held=held)


def test_shared_ground_is_a_leak_or_is_dropped() -> None:
    held = squares([4.5, 8], seed=2)
    with pytest.raises(Leak, match=r"a leak by ground, train and val: 1 of 3 and 2 .*drop"):
        searched(held=held)
    kept, found = searched(held=held, drop=True)
    assert kept.names == REAL.names[:2]
    assert found["ground: train and val"] == 1


@pytest.mark.parametrize(("quarter", "mirror"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_same_pixels_are_a_leak_however_turned(quarter: int, mirror: bool) -> None:
    image = np.rot90(HELD.images[1], quarter, (1, 2))
    images = REAL.images.copy()
    images[2] = image[..., ::-1] if mirror else image
    what = "1 are the same and 0" if (quarter, mirror) == (0, False) else "0 are the same and 1"
    with pytest.raises(Leak, match=f"a leak by pixels, train and val: 1 of .*{what}"):
        searched(real=replace(REAL, images=images))


def test_tiles_of_one_colour_are_no_leak() -> None:
    white = np.full_like(REAL.images, 255)
    searched(real=replace(REAL, images=white), held=replace(HELD, images=white[:2]))


def test_a_real_tile_in_a_pool_is_a_leak() -> None:
    images = MADE.images.copy()
    images[0] = REAL.images[0, :, ::-1]
    with pytest.raises(Leak, match=r"pool 'pool' and train: 1 of .*the same but turned"):
        searched(pools=(pool_of(replace(MADE, images=images), REAL),))


@pytest.mark.parametrize(
    ("made", "facts", "message"),
    [
        (squares([6.5, 20], seed=3), {}, "by ground, pool 'pool' and val"),
        (squares([20], seed=3, places=[HELD.places[0]]), {}, "by place, layouts of pool 'pool'"),
        (MADE, {"generator_places": (HELD.places[0],)}, "by place, generator of pool 'pool'"),
    ],
)
def test_pools_of_what_is_measured_on_are_leaks(
    made: Items, facts: dict[str, Any], message: str
) -> None:
    with pytest.raises(Leak, match=message) as caught:
        searched(pools=(pool_of(made, REAL, **facts),))
    assert caught.value.checks[-1].found == 1


def test_eight_turns_have_eight_hashes() -> None:
    assert len(set(pixel_hashes(REAL.images[0]))) == 8
    assert len(list(pixel_hashes(REAL.images[0][:, :4]))) == 4


def test_protocols_are_what_they_say() -> None:
    def check(places: list[str], **facts: Any) -> None:
        check_protocol(pool_of(MADE, REAL, **facts), places, "a detector")

    check(["a", "b"], protocol="closed data", generator_places=("a",))
    check(["a", "b"], protocol="upper bound", generator_places=("a", "c"))
    check(["a"], protocol="shipped model", generator_places=("c",), weights=default_weights())
    for protocol, knows, weights, message in (
        ("closed data", ("a", "c"), "0", "trained on 1 places whose labels a detector does not"),
        ("upper bound", ("c",), "0", "trained on none of the places of a detector"),
        ("shipped model", ("c",), "0", "not made by the default model"),
        ("shipped model", ("a",), default_weights(), "that is an 'upper bound'"),
    ):
        with pytest.raises(InputError, match=message):
            check(["a", "b"], protocol=protocol, generator_places=knows, weights=weights)


def test_what_the_default_model_has_seen_cannot_be_kept_silent() -> None:
    assert len(default_places()) == 401
    assert generator_places("default") == default_places()
    silent = pool_of(MADE, REAL, weights=default_weights(), generator_places=("bishop_0",))
    with pytest.raises(InputError, match="400 places that are not declared"):
        searched(pools=(silent,))


def test_labels_come_with_layouts() -> None:
    real = squares([0, 2], seed=1, places=["a", "b"])
    made = squares([0.5, 2.5, 30], seed=3, places=["r0", "r1", "r2"])
    assert places_under(made, real) == [{"a"}, {"b"}, frozenset()]
    pool = pool_of(made, real)
    assert pool.usable(["a"]) == [0, 2]
    assert pool_of(made, real, protocol="upper bound").usable(["a"]) == [0, 1, 2]
    assert pool_of(made, real, kind="restyled", protocol="upper bound").usable(["a"]) == [0]
    with pytest.raises(InputError, match="Of the 3 tiles of the pool 'pool' none may be used"):
        pool_of(made, real, kind="restyled").usable(["c"])


def test_scores_choose(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text('{"r0": 0.9, "r1": 0.2}', encoding="utf-8")
    made = squares([20, 22], seed=3, places=["r0", "r1"])
    pool = replace(pool_of(made, REAL), scores=read_scores(path))
    assert pool.usable([], 0.5) == [0]
    with pytest.raises(InputError, match="none may be used"):
        pool.usable([], 0.95)
    with pytest.raises(InputError, match="have no item 'r1'"):
        replace(pool, scores={"r0": 1.0}).usable([], 0.5)
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="holds no scores"):
        read_scores(path)


def test_planted_files_are_found(tmp_path: Path) -> None:
    data = make_data(tmp_path)
    asked = config(data, tmp_path / "out")
    world = load_world(asked)
    assert sum(check.found for check in world.checks) == 0
    assert {check.kind for check in world.checks} == {"place", "ground", "pixels", "provenance"}
    assert len(read_labelled(asked.data)) == 4
    assert read_pool(asked.pools[0], None).synthetic
    made = next((data / "run" / "images").iterdir())
    # A synthetic tile among those to measure on is told by what is in its file.
    index = pd.read_csv(data / "tiles" / "index.csv")
    row = {"id": "z", "place": "z", "year": 2020, "split": "val", "digitized": True}
    pd.concat([index, pd.DataFrame([row])]).to_csv(data / "tiles" / "index.csv", index=False)
    shutil.copyfile(made, data / "tiles" / "rgb" / "z.tif")
    with pytest.raises(InputError, match="1 images of the split 'val' are marked as synthetic"):
        load_world(asked)
    pd.concat([index, pd.DataFrame([{**row, "split": "train"}])]).to_csv(
        data / "tiles" / "index.csv", index=False
    )
    with pytest.raises(Leak, match=r"by provenance, files of train: 1 of .*z\.tif for one"):
        load_world(asked)
