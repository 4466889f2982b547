"""Nothing synthetic and no ground of training in what is measured on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from runfolder import painted_run

from rsaug.downstream.leakage import is_synthetic, overlap, overlaps, refuse_synthetic
from rsaug.errors import InputError
from rsaug.raster import write_cog


@dataclass
class Tiles:
    """Squares in a row, each a place of its own unless said otherwise."""

    lefts: list[float]
    side: float = 1.0
    synthetic: bool = False
    placed: bool = True
    prefix: str = "p"
    places: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Name the places."""
        self.places = self.places or [f"{self.prefix}{left:g}" for left in self.lefts]

    @property
    def names(self) -> list[str]:
        """Name of each."""
        return self.places

    def footprints(self) -> NDArray[np.object_]:
        """The squares."""
        if not self.placed:
            return np.full(len(self.lefts), None, dtype=object)
        return np.array([shapely.box(x, 0, x + self.side, 1) for x in self.lefts], dtype=object)


def test_whole_places_are_concerned() -> None:
    train = Tiles([0, 1, 2, 7], places=["a", "b", "a", "c"])
    found = overlap(train, "val", Tiles([2.5, 9]))
    assert found.items.tolist() == [0, 2]
    assert found.places == ("a",)
    assert str(found) == "1 training places (2 tiles) lie on ground of the split 'val': a"


def test_shared_edges_are_no_shared_ground() -> None:
    assert not len(overlap(Tiles([0, 3]), "val", Tiles([1, 2 + 1e-9])).items)


def test_splits_are_named() -> None:
    held = {"val": Tiles([8]), "test": Tiles([0.5, 1.5], prefix="q")}
    (found,) = overlaps(Tiles([0, 1, 4]), held)
    assert (found.split, found.places) == ("test", ("p0", "p1"))


def test_tiles_without_a_place_go_by_its_name() -> None:
    train, held = Tiles([0, 1], placed=False), Tiles([1, 2], placed=False)
    assert overlap(train, "val", held).places == ("p1",)
    run = Tiles([0, 1], synthetic=True)
    assert not len(overlap(run, "val", held).items)
    assert not len(overlap(train, "val", Tiles([3], placed=False)).items)


def test_synthetic_datasets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'val' is made of synthetic tiles"):
        refuse_synthetic("val", Tiles([0], synthetic=True), [])
    refuse_synthetic("val", Tiles([0]), [])


def test_images_say_that_they_are_synthetic(tmp_path: Path) -> None:
    run = painted_run(tmp_path, variants=1)
    made = sorted((run / "images").iterdir())[0]
    moved = tmp_path / "holiday.tif"
    moved.write_bytes(made.read_bytes())
    plain = tmp_path / "plain.tif"
    write_cog(plain, np.zeros((3, 128, 128), np.uint8), None)
    assert is_synthetic(moved)
    assert not is_synthetic(plain)
    assert not is_synthetic(sorted((run / "masks").iterdir())[0])
    refuse_synthetic("test", Tiles([0]), [plain])
    with pytest.raises(InputError, match=r"1 images of the split 'test' .*holiday\.tif for one"):
        refuse_synthetic("test", Tiles([0]), [plain, moved])


def test_a_mark_for_other_programs_is_enough(tmp_path: Path) -> None:
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/'
        'trainedAlgorithmicMedia" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"/></rdf:RDF></x:xmpmeta>'
    )
    path = tmp_path / "other.tif"
    write_cog(path, np.zeros((3, 128, 128), np.uint8), None, xmp=xmp)
    assert is_synthetic(path)
