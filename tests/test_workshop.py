"""Making images: what fails is put aside with the reason, and the rest goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from painter import Painter, contents, write_roads
from test_synthesis import make, options

from rsaug.errors import InputError, OutputError, RunError
from rsaug.folder import RunFolder
from rsaug.grid import Tile
from rsaug.quarantine import failures
from rsaug.requests import TileRequest, derive_field_seed, derive_seed
from rsaug.synthesis import make_plan, run


class Choosy(Painter):
    """Refuses some tiles.

    Args:
        refused: parts of their names.
        error: what it raises.
    """

    def __init__(self, *refused: str, error: Exception | None = None, batch_size: int = 1) -> None:
        super().__init__(batch_size)
        self.refused, self.error = refused, error or ValueError("no paint is left")

    def generate(self, requests: Sequence[TileRequest]) -> list[NDArray[np.uint8]]:
        """Images of the requests, unless one is refused."""
        if any(part in request.tile.name for request in requests for part in self.refused):
            raise self.error
        return super().generate(requests)


class Muralist(Painter):
    """Paints parts of one picture: a tile's noise is its field's, moved by the roads beside it."""

    def reach(self, tile: Tile) -> tuple[range, range] | None:
        """One tile to each side."""
        return range(tile.row - 1, tile.row + 2), range(tile.col - 1, tile.col + 2)

    def _paint(self, request: TileRequest) -> NDArray[np.uint8]:
        assert request.around is not None
        rows, cols = self.reach(request.tile) or (range(0), range(0))
        lit = sum(
            int(request.around.at(row, col).controls.slot("road").sum())
            for row in rows
            for col in cols
        )
        image = super()._paint(request)
        image[2] = lit % 251
        return image


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


@pytest.mark.parametrize("batch_size", [1, 5])
def test_a_bad_tile_is_put_aside_and_the_rest_is_made(
    roads: Path, tmp_path: Path, batch_size: int
) -> None:
    out = tmp_path / "out"
    tiles = make_plan(options(roads, out)).tiles
    bad = tiles[3].name
    report = make(options(roads, out, variants=2), Choosy(bad, batch_size=batch_size))
    assert (report.progress.made, report.progress.failed) == (22, 2)
    assert report.failed == {bad: "no paint is left", f"{bad}_v1": "no paint is left"}
    found = list(failures(RunFolder(out)))
    assert [failure.item for failure in found] == [bad, f"{bad}_v1"]
    assert "ValueError" in json.loads((out / f"quarantine/{bad}.json").read_text())["trace"]
    collection = json.loads((out / "collection.json").read_text())
    assert f"./items/{bad}.json" not in [link["href"] for link in collection["links"]]

    again = make(options(roads, out, variants=2))
    assert (again.progress.kept, again.progress.made) == (22, 2)
    assert not list((out / "quarantine").iterdir())
    make(options(roads, tmp_path / "whole", variants=2))
    for kind in ("images", "masks", "conditions"):
        assert contents(out / kind) == contents(tmp_path / "whole" / kind)


def test_a_run_that_makes_nothing_is_given_up(roads: Path, tmp_path: Path) -> None:
    painter = Choosy("r")
    with pytest.raises(RunError, match=r"[56] failed, the first one .* no paint is left"):
        make(options(roads, tmp_path / "out"), painter)
    with pytest.raises(RunError, match="2 failed"):
        make(options(roads, tmp_path / "few", limit=2), painter)


@pytest.mark.parametrize("error", [OutputError("disk full"), MemoryError("too large")])
def test_what_is_not_the_tiles_fault_ends_the_run(
    roads: Path, tmp_path: Path, error: Exception
) -> None:
    out = tmp_path / "out"
    bad = make_plan(options(roads, out)).tiles[3].name
    with pytest.raises(type(error)):
        make(options(roads, out), Choosy(bad, error=error))
    assert not (out / "quarantine").exists()
    assert len(contents(out / "images")) == 3


def test_an_error_without_words_is_called_by_its_name(roads: Path, tmp_path: Path) -> None:
    bad = make_plan(options(roads, tmp_path / "out")).tiles[0].name
    report = make(options(roads, tmp_path / "out"), Choosy(bad, error=ZeroDivisionError()))
    assert report.failed == {bad: "ZeroDivisionError"}


def test_a_note_that_cannot_be_read_is_told(roads: Path, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.quarantine.mkdir()
    folder.quarantined("r1_c1").write_text("{")
    assert [(f.item, "cannot be read" in f.reason) for f in failures(folder)] == [("r1_c1", True)]


def test_parts_of_a_field_share_its_seed_and_depend_on_what_is_around(
    roads: Path, tmp_path: Path
) -> None:
    asked = options(roads, tmp_path / "out", variants=2)
    plan = make_plan(asked)
    run(plan, Muralist())
    seeds = {
        path.stem: json.loads(path.read_text())["properties"]["rsaug:seed"]
        for path in (tmp_path / "out/items").iterdir()
    }
    for variant, ending in enumerate(("", "_v1")):
        expected = derive_field_seed(0, plan.tiles[0], variant)
        assert {seeds[f"{tile.name}{ending}"] for tile in plan.tiles} == {expected}
    assert derive_field_seed(0, plan.tiles[0], 0) != derive_seed(0, plan.tiles[0], 0)

    # Only what has the changed street within reach is made anew: the last two rows of three.
    moved = write_roads(tmp_path / "moved.gpkg", shift_m=10.0)
    muralist = Muralist()
    again = make(options(moved, tmp_path / "out", variants=2), muralist)
    assert (again.progress.kept, again.progress.made) == (8, 16)


def test_a_part_alone_is_that_of_the_whole(roads: Path, tmp_path: Path) -> None:
    make(options(roads, tmp_path / "whole"), Muralist())
    make(options(roads, tmp_path / "part", limit=1), Muralist(batch_size=4))
    ((name, content),) = contents(tmp_path / "part/images").items()
    assert contents(tmp_path / "whole/images")[name] == content


@pytest.mark.parametrize("room", ["images", "masks", "conditions"])
def test_a_file_that_was_cut_short_is_made_again(roads: Path, tmp_path: Path, room: str) -> None:
    """Also where its head, with all its tags, is there."""
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out, "**/*.tif")
    path = sorted((out / room).iterdir())[2]
    path.write_bytes(path.read_bytes()[:-1])
    report = make(options(roads, out))
    assert report.progress.made == (room == "images")
    assert contents(out, "**/*.tif") == before


HELD = """
import sys, time
from pathlib import Path
from rsaug.folder import RunFolder
with RunFolder(Path(sys.argv[1])).opened():
    print("held", flush=True)
    time.sleep(60)
"""


def test_two_runs_do_not_work_in_one_folder(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    other = subprocess.Popen([sys.executable, "-c", HELD, str(out)], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match="Another run is at work in"):
        make(options(roads, out))
    other.kill()
    other.wait()
    other.stdout.close()
    assert make(options(roads, out)).progress.kept == 12
