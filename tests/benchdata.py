"""The road benchmark at toy size: real tiles, a run of synthetic ones, a configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from runfolder import painted_run
from tilefolder import make_tile_folder

from rsaug.downstream.bench.config import BenchConfig, PoolConfig
from rsaug.downstream.bench.items import Items
from rsaug.downstream.bench.protocols import Pool
from rsaug.downstream.bench.strict import read_as

MODEL = {"architecture": "linknet", "encoder": "tu-lcnet_035"}
PLAIN = Path(__file__).parents[1] / "docs" / "images" / "conditions-helsinki.png"


def make_data(folder: Path) -> Path:
    """A folder with ``tiles``, of which two places are to train on, and a run ``run``."""
    make_tile_folder(folder / "tiles")
    painted_run(folder, variants=1)
    return folder


def asked(folder: Path, out: Path, /, **changes: Any) -> dict[str, Any]:
    """A configuration over that folder, as YAML has it."""
    return {
        "data": {
            "dataset": "rsaug.downstream.roadfolder:RoadFolder",
            "root": str(folder / "tiles"),
        },
        "label_places": [1, "all"],
        "seeds": [0, 1],
        "models": [MODEL],
        "training": {"steps": 3, "batch_size": 2, "warmup": 1},
        "evaluation": {"metrics": ["iou", "relaxed_f1"], "resamples": 100},
        "baseline": "strong",
        "arms": [
            {"name": "strong", "kind": "real"},
            {"name": "synthetic", "kind": "synthetic"},
            {"name": "mixed", "kind": "mixed"},
        ],
        "pools": [
            {
                "name": "painted",
                "runs": [str(folder / "run")],
                "protocol": "closed data",
                "generator_places": [],
            }
        ],
        "out": str(out),
        **changes,
    }


def config(folder: Path, out: Path, **changes: Any) -> BenchConfig:
    """The same as a configuration."""
    return read_as(BenchConfig, asked(folder, out, **changes))


def squares(
    lefts: list[float], *, seed: int = 0, places: list[str] | None = None, side: int = 8
) -> Items:
    """Tiles of noise in a row, each on a degree of its own; a file that is there has to do."""
    images = np.random.default_rng(seed).integers(0, 256, (len(lefts), 3, side, side), np.uint8)
    names = places or [f"p{seed}-{left:g}" for left in lefts]
    outlines: NDArray[np.object_] = np.array(
        [shapely.box(left, 0, left + 1, 1) for left in lefts], dtype=object
    )
    return Items(
        images=images,
        masks=np.zeros((len(lefts), side, side), np.uint8),
        names=tuple(names),
        tiles=tuple(names),
        places=tuple(names),
        outlines=outlines,
        files=(PLAIN,) * len(lefts),
        synthetic=False,
    )


def pool_of(items: Items, real: Items, **facts: Any) -> Pool:
    """A pool of some tiles; facts as `PoolConfig` has them, and ``weights``."""
    from rsaug.downstream.bench.items import places_under

    weights = facts.pop("weights", "0" * 64)
    told = {"protocol": "closed data", "generator_places": (), **facts}
    made = PoolConfig(name="pool", runs=("run",), **told)
    items = replace(items, synthetic=True)
    places = frozenset(told["generator_places"])
    return Pool(made, items, places_under(items, real), places, (weights,))
