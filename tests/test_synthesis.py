"""The run: what it writes, that it goes on after any stop, and that it repeats itself."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio
from painter import Painter, contents, write_roads, write_wood
from rasterio.features import rasterize
from uncounted import uncounted

from rsaug.errors import InputError, OutputError
from rsaug.folder import RunFolder
from rsaug.grid import TileGrid, parse_crs
from rsaug.options import SynthOptions
from rsaug.progress import Progress, RunReport, in_words
from rsaug.record import read_record
from rsaug.requests import derive_seed
from rsaug.stackfile import read_stack
from rsaug.synthesis import make_plan, run

UTM = parse_crs(32635)


def options(roads: Path, out: Path, **more: object) -> SynthOptions:
    small = {"gsd": 0.5, "tile_size": 128, "crs": "EPSG:32635"} | more
    return dataclasses.replace(SynthOptions(str(roads), out=str(out)), **small)  # type: ignore[arg-type]


def make(asked: SynthOptions, painter: Painter | None = None) -> RunReport:
    return run(make_plan(asked), painter or Painter())


@pytest.fixture
def roads(tmp_path: Path) -> Path:
    return write_roads(tmp_path / "streets.gpkg")


def test_every_file_of_the_layout_is_written(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = make(options(roads, out, variants=2))
    tiles = sorted(path.stem for path in (out / "masks").iterdir())
    assert len(tiles) == 12
    expected = {"collection.json", "manifest.parquet", "model.json", "run.json"}
    for tile in tiles:
        expected |= {f"masks/{tile}.tif", f"conditions/{tile}.tif"}
        for item in (tile, f"{tile}_v1"):
            expected |= {f"images/{item}.tif", f"items/{item}.json"}
    assert set(contents(out)) == expected
    assert report.progress == Progress(total=24, made=24)
    assert (report.tiles, report.strangers) == (12, 0)


def test_masks_are_a_plain_burn_of_the_buffered_lines(roads: Path, tmp_path: Path) -> None:
    plan = make_plan(options(roads, tmp_path / "out"))
    run(plan, Painter())
    assert plan.scene.roads is not None
    surfaces = plan.scene.roads.at(plan.tiles[0]).surfaces.geometry
    for path in (tmp_path / "out/masks").iterdir():
        with (
            rasterio.open(path) as mask,
            rasterio.open(path.parents[1] / "images" / path.name) as rgb,
        ):
            expected = rasterize(surfaces, mask.shape, transform=mask.transform)
            np.testing.assert_array_equal(mask.read(1), expected)
            assert (mask.crs, mask.transform) == (rgb.crs, rgb.transform)
            assert (rgb.read()[:, expected == 1] == 128).all()


def test_control_maps_are_written_as_the_generator_saw_them(roads: Path, tmp_path: Path) -> None:
    wood = write_wood(tmp_path / "wood.gpkg")
    plan = make_plan(options(roads, tmp_path / "out", landcover=str(wood)))
    run(plan, Painter())
    for tile in plan.tiles:
        _, controls = plan.scene.controls(tile)
        with rasterio.open(tmp_path / f"out/conditions/{tile.name}.tif") as src:
            np.testing.assert_array_equal(src.read(), controls.maps)
            assert src.descriptions[9:12] == ("road_r", "road_g", "road_b")
            assert "given: road, seg;" in src.tags()["TIFFTAG_IMAGEDESCRIPTION"]


@pytest.mark.parametrize(("batch_size", "limit"), [(4, None), (5, None), (1, 1), (8, 3)])
def test_bytes_do_not_depend_on_batch_or_company(
    roads: Path, tmp_path: Path, batch_size: int, limit: int | None
) -> None:
    make(options(roads, tmp_path / "one", variants=2))
    make(options(roads, tmp_path / "other", variants=2, limit=limit), Painter(batch_size))
    one, other = (contents(tmp_path / name, "[icm]*/*.tif") for name in ("one", "other"))
    assert len(other) == 4 * (limit or 12)
    assert other == {name: one[name] for name in other}


def test_seeds_differ_by_what_they_are_for() -> None:
    grid = TileGrid(UTM, 2.0, 32)
    base = derive_seed(0, grid.tile(-3, 5), 0)
    others = [
        derive_seed(1, grid.tile(-3, 5), 0),
        derive_seed(0, grid.tile(-3, 5), 1),
        derive_seed(0, grid.tile(5, -3), 0),
        derive_seed(0, TileGrid(UTM, 1.0, 32).tile(-3, 5), 0),
        derive_seed(0, TileGrid(UTM, 2.0, 64).tile(-3, 5), 0),
        derive_seed(0, TileGrid(parse_crs(32636), 2.0, 32).tile(-3, 5), 0),
    ]
    assert len({base, *others}) == 7
    assert all(0 <= seed < 2**63 for seed in (base, *others))
    # Fixed for good: a new value would change every image of every recorded run.
    assert base == 3895350170321074527


def test_a_second_run_does_nothing(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out)
    painter = Painter()
    report = make(options(roads, out), painter)
    assert (painter.painted, report.progress) == ([], Progress(total=12, kept=12))
    assert contents(out) == before


def test_only_what_is_missing_is_made(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out)
    a, b, c, d, *_ = sorted(path.stem for path in (out / "masks").iterdir())
    for lost in (f"images/{a}.tif", f"masks/{b}.tif", f"items/{c}.json", f"conditions/{d}.tif"):
        (out / lost).unlink()
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("[imc]*s/*")}
    painter = Painter()
    report = make(options(roads, out), painter)
    # An image whose label or item is lost is whole; only the lost file comes back.
    assert painter.painted == [a]
    assert report.progress == Progress(total=12, kept=11, made=1)
    assert contents(out) == before
    touched = {
        path.relative_to(out).as_posix()
        for path, t in stamps.items()
        if path.stat().st_mtime_ns != t
    }
    assert touched == {f"items/{name}.json" for name in (a, b, d)}


def test_a_damaged_file_is_replaced(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out)
    first, second, third = sorted((out / "images").iterdir())[:3]
    first.write_bytes(first.read_bytes()[:50])
    (out / "items" / f"{second.stem}.json").write_text('{"properties": [')
    (out / "items" / f"{third.stem}.json").write_text('{"properties": 3}')
    assert make(options(roads, out)).progress.made == 1
    assert contents(out) == before


def test_a_changed_road_redoes_its_tiles_only(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out)
    write_roads(roads, shift_m=8.0)
    painter, notes = Painter(), list[str]()
    run(make_plan(options(roads, out)), painter, on_note=notes.append)
    south = {tile.name for tile in make_plan(options(roads, out)).tiles[-4:]}
    assert set(painter.painted) == south
    after = contents(out)
    changed = {name for name in before if before[name] != after[name]}
    assert changed - {"collection.json", "manifest.parquet", "run.json"} == {
        f"{room}/{name}.{'json' if room == 'items' else 'tif'}"
        for room in ("images", "masks", "conditions", "items")
        for name in south
    }
    assert notes == [
        "Changed since the recorded run: roads file; images that depend on it are made anew."
    ]
    make(options(roads, tmp_path / "fresh"))
    for name, content in contents(tmp_path / "fresh", "[icm]*/*.tif").items():
        assert after[name] == content


@pytest.mark.parametrize(
    ("change", "painter", "word"),
    [({"seed": 1}, Painter(), "seed"), ({}, Painter(grey=90), "weights")],
)
def test_another_seed_or_model_redoes_images_and_keeps_labels(
    roads: Path, tmp_path: Path, change: dict[str, object], painter: Painter, word: str
) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out)
    notes: list[str] = []
    run(make_plan(options(roads, out, **change)), painter, on_note=notes.append)
    after = contents(out)
    assert len(painter.painted) == 12
    assert all(
        (before[name] == after[name]) == ("images/" not in name)
        for name in contents(out, "*/*.tif")
    )
    assert f"recorded run: {word};" in notes[0]


def test_more_variants_keep_the_first(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    before = contents(out, "images/*")
    report = make(options(roads, out, variants=3))
    assert report.progress == Progress(total=36, kept=12, made=24)
    images = contents(out, "images/*")
    assert before.items() <= images.items()
    assert len(set(images.values())) == 36


def test_images_of_another_run_stay_and_are_counted(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, variants=2))
    report = make(options(roads, out, limit=5))
    assert (report.progress, report.strangers) == (Progress(total=5, kept=5), 19)
    links = json.loads((out / "collection.json").read_text())["links"]
    assert sum(link["rel"] == "item" for link in links) == 5


def test_many_tiles_need_to_be_asked_for(tmp_path: Path) -> None:
    roads = write_roads(tmp_path / "many.gpkg", rows=6, cols=100)
    out = tmp_path / "out"
    with pytest.raises(
        InputError, match=r"^600 tiles hold a road, .* 40 min 0 s .*--limit N.*--all"
    ):
        make(options(roads, out, variants=2))
    assert not out.exists()
    assert make(options(roads, out, limit=2)).tiles == 2


def test_a_recorded_run_gives_the_same_bytes(roads: Path, tmp_path: Path) -> None:
    wood = write_wood(tmp_path / "wood.gpkg")
    out, again = tmp_path / "out", tmp_path / "deep/down/again"
    asked = options(roads, out, landcover=str(wood), seed=7, variants=2, limit=4)
    make(dataclasses.replace(asked, crs=None))
    record = read_record(out / "run.json", {"out": str(again)})
    run(make_plan(record.options, record), Painter(batch_size=3))
    one, other = contents(out), contents(again)
    assert {name for name in one if one[name] != other[name]} == {"run.json"}
    assert read_record(again / "run.json", {"out": str(out)}) == read_record(
        out / "run.json", {"out": str(out)}
    )


def test_a_folder_of_something_else_is_refused(roads: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not empty and holds no run\.json"):
        make(options(roads, tmp_path))
    with pytest.raises(InputError, match="is a file"):
        make(options(roads, roads))


KILLED = """
import sys, time
from pathlib import Path
from painter import Painter
from rsaug.record import read_record
from rsaug.synthesis import make_plan, run

record = read_record(sys.argv[1], {"out": sys.argv[2]})
pause = lambda: (time.sleep(0.1), print("painting", flush=True))
run(make_plan(record.options, record), Painter(batch_size=2, before_each=pause))
"""


@pytest.mark.parametrize("batches", [1, 3])
def test_a_killed_run_is_whole_and_goes_on(roads: Path, tmp_path: Path, batches: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    make(options(roads, whole))
    command = [sys.executable, "-c", KILLED, str(whole / "run.json"), str(killed)]
    process = subprocess.Popen(
        command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(batches + 1):
        assert process.stdout.readline() == "painting\n"
    # Images are written while the next are painted; on a busy machine some time later.
    while not list(killed.glob("items/*.json")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()

    reference = contents(whole)
    left = contents(killed)
    half = {name for name in left if name.endswith(".part")}
    assert len(left) - len(half) < len(reference)
    assert all(left[name] == reference[name] for name in left if name not in half | {"run.json"})
    record = read_record(killed / "run.json")
    report = run(make_plan(record.options), Painter())
    assert 0 < report.progress.made < 12
    after = contents(killed)
    assert after.keys() == reference.keys()
    assert {name for name in after if after[name] != reference[name]} <= {"run.json"}


def test_parts_of_a_killed_writer_are_removed(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out))
    part = out / "images/.r1_c1.tif.77-abcd.part"
    part.write_bytes(b"half")
    make(options(roads, out))
    assert not part.exists()


FULL = """
import resource, sys
from painter import Painter
from rsaug.errors import OutputError
from rsaug.record import read_record
from rsaug.synthesis import make_plan, run

def limit():
    if len(painter.painted) == 2:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

painter = Painter(before_each=limit)
record = read_record(sys.argv[1], {"out": sys.argv[2]})
try:
    run(make_plan(record.options, record), painter)
except OutputError as error:
    print(error)
"""


def test_a_full_disk_ends_the_run_and_spoils_nothing(roads: Path, tmp_path: Path) -> None:
    whole, full = tmp_path / "whole", tmp_path / "full"
    make(options(roads, whole))
    done = subprocess.run(
        [sys.executable, "-c", FULL, whole / "run.json", full],
        cwd=Path(__file__).parent,
        env=uncounted(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "could not be written" in done.stdout
    left, reference = contents(full), contents(whole)
    assert "collection.json" not in left
    assert not [name for name in left if name.endswith(".part")]
    assert all(left[name] == reference[name] for name in left if name != "run.json")
    assert make(read_record(full / "run.json").options).progress.made in (10, 11)


def test_an_error_of_the_writer_reaches_the_caller(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def sabotage() -> None:
        if (out / "images").exists():
            (out / "images").rename(tmp_path / "elsewhere")

    with pytest.raises(OutputError, match="images"):
        make(options(roads, out), Painter(before_each=sabotage))


def test_progress_counts_up_to_the_total(roads: Path, tmp_path: Path) -> None:
    seen: list[Progress] = []
    run(make_plan(options(roads, tmp_path / "out")), Painter(batch_size=5), on_progress=seen.append)
    assert [now.done for now in seen] == [*range(13)]
    assert {now.total for now in seen} == {12}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0.4 s"),
        (59.4, "59 s"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (200_000, "2 days 7 h"),
    ],
)
def test_durations_are_readable(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_folder_knows_what_it_holds(roads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(options(roads, out, limit=1))
    folder = RunFolder(out)
    name = next((out / "items").iterdir()).stem
    key = json.loads((out / f"items/{name}.json").read_text())["properties"]["rsaug:key"]
    assert folder.holds(name, key)
    assert not folder.holds(name, "another")
    assert not folder.holds("nothing", key)


class Narrow(Painter):
    """A painter that follows some controls only."""

    def __init__(self, *known: str) -> None:
        super().__init__()
        self.known = known

    def sees(self, control: str) -> bool:
        """Whether it follows a control."""
        return control in self.known


def test_only_what_the_generator_sees_is_given_and_recorded(roads: Path, tmp_path: Path) -> None:
    asked = options(roads, tmp_path / "out", controls="road,hed", limit=1)
    make(asked, Narrow("road"))
    (item,) = (tmp_path / "out/items").iterdir()
    assert json.loads(item.read_text())["properties"]["rsaug:controls"] == ["road"]
    assert read_stack(tmp_path / f"out/conditions/{item.stem}.tif").given == ("road",)
    assert json.loads((tmp_path / "out/run.json").read_text())["controls"] == ["road"]


def test_images_that_follow_no_roads_are_not_made(roads: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trained on none that draws roads"):
        make(options(roads, tmp_path / "out", controls="road,hed"), Narrow("hed"))
    with pytest.raises(
        InputError, match="Of the controls mlsd, hed none draws roads, so the road mask"
    ):
        make(options(roads, tmp_path / "out", controls="hed,mlsd"))
    assert not (tmp_path / "out").exists()


def test_roads_have_to_be_drawn_by_what_the_generator_sees(roads: Path, tmp_path: Path) -> None:
    wood = str(write_wood(tmp_path / "wood.gpkg"))
    plan = make_plan(options(roads, tmp_path / "out", landcover=wood, control_strength="road=0"))
    with pytest.raises(InputError, match="nothing draws roads"):
        run(plan, Narrow("road"))


class Guided(Painter):
    """A painter that says how much it is guided by the controls."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def describe(self) -> dict[str, object]:
        """What decides an image besides its request."""
        return {**super().describe(), "control_guidance": self.scale}


def test_guidance_that_follows_no_roads_makes_no_label(roads: Path, tmp_path: Path) -> None:
    plan = make_plan(options(roads, tmp_path / "out", limit=1))
    with pytest.raises(InputError, match="are not followed"):
        run(plan, Guided(0.0))
    assert not (tmp_path / "out").exists()
    notes: list[str] = []
    run(plan, Guided(0.5), on_note=notes.append)
    assert any("need not have every road" in note for note in notes)


def test_other_controls_than_those_of_the_record_are_told(roads: Path, tmp_path: Path) -> None:
    def notes_with(controls: str | None) -> str:
        notes: list[str] = []
        asked = options(roads, tmp_path / "out", controls=controls, limit=1)
        run(make_plan(asked), Painter(), on_note=notes.append)
        return " ".join(notes)

    assert "Changed" not in notes_with(None)
    assert "Changed" not in notes_with("road")
    assert "Changed since the recorded run: controls;" in notes_with("road,hed")
