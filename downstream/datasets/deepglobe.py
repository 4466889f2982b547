"""DeepGlobe road extraction (Demir et al. 2018, DeepGlobe 2018: A Challenge to Parse the Earth)."""

from __future__ import annotations

from pathlib import Path

from rsaug.downstream.datasets.chips import PlainRoadTiles
from rsaug.downstream.datasets.contract import SPLITS, DataNotFound, Transform
from rsaug.downstream.datasets.massachusetts import image_shape
from rsaug.downstream.datasets.tiles import RoadTile
from rsaug.downstream.mixing import lot
from rsaug.errors import InputError

_SAT, _MASK = "_sat.jpg", "_mask.png"
_HOW = (
    "DeepGlobeRoads reads <root>/train/<id>_sat.jpg with <id>_mask.png beside it, as the DeepGlobe "
    "road extraction challenge and its copy on Kaggle have it; the folders valid and test of those "
    "have no masks and are not read."
)


def split_of(name: str, val: float, test: float, seed: int) -> str:
    """The split that a tile or a place of a name is in, drawn by lot, the same on every machine."""
    number = lot(name, seed)
    if number < test:
        return "test"
    return "val" if number < test + val else "train"


def check_shares(split: str, val: float, test: float) -> None:
    """Refuse a split that is none, or shares that leave nothing to train on.

    Raises:
        InputError: then.
    """
    if split not in SPLITS:
        raise InputError(f"There is no split {split!r}; there are {', '.join(SPLITS)}.")
    if not (val >= 0 and test >= 0 and val + test < 1):
        raise InputError(f"The shares val={val} and test={test} leave nothing to train on.")


class DeepGlobeRoads(PlainRoadTiles):
    """Satellite tiles of 1024 x 1024 px at 0.5 m in Thailand, Indonesia and India, with road masks.

    Only the challenge's training tiles have masks, so all three splits are of them, by lot of the
    tile's number. The tiles have no georeferencing, so tiles side by side may be in two splits.

    Args:
        root: Folder with ``train`` in it.
        split: ``train``, ``val`` or ``test``.
        val: Share of the tiles to validate on.
        test: Share of the tiles to test on.
        seed: Of the lot.
        transforms: What each sample goes through.

    Raises:
        DataNotFound: if there is no such folder, or an image has no mask.
        InputError: if there is no such split, or an image is broken.
    """

    def __init__(
        self,
        root: Path | str = "deepglobe-roads",
        split: str = "train",
        val: float = 0.1,
        test: float = 0.1,
        seed: int = 0,
        transforms: Transform | None = None,
    ) -> None:
        self.root = root
        self.split = split
        check_shares(split, val, test)
        names = _names(Path(root) / "train")
        chosen = [name for name in names if split_of(name, val, test, seed) == split]
        if not chosen:
            raise DataNotFound(
                f"None of the {len(names)} tiles in {root} fell into the split {split!r}; fetch "
                "the rest, or give another share or seed."
            )
        super().__init__([_tile(Path(root) / "train", name) for name in chosen], transforms)


def _names(folder: Path) -> list[str]:
    """Names of the tiles, each of which has a mask."""
    if not folder.is_dir():
        raise DataNotFound(f"{folder} is no folder. {_HOW}")
    files = {path.name for path in folder.iterdir()}
    names = sorted(name.removesuffix(_SAT) for name in files if name.endswith(_SAT))
    if not names:
        raise DataNotFound(f"{folder} holds no *{_SAT}. {_HOW}")
    without = [name for name in names if name + _MASK not in files]
    if without:
        raise DataNotFound(
            f"{len(without)} of {len(names)} images in {folder} have no mask, {without[0]}{_SAT} "
            "for one; fetch the rest, or remove those images."
        )
    return names


def _tile(folder: Path, name: str) -> RoadTile:
    image = folder / f"{name}{_SAT}"
    return RoadTile(name, name, image, image_shape(image), mask=folder / f"{name}{_MASK}")
