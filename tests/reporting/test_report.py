"""Reports of runs: whole, failed, empty, at work, edited; and of folders that a stranger made."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
from numpy.typing import NDArray
from pages import Page, assert_stands_alone
from painter import CRS, NORTH, WEST, Painter, write_roads, write_wood
from shapely.geometry import LineString

from rsaug.conditioning import make_conditions_plan, write_conditions
from rsaug.edit_plan import plan_edits
from rsaug.editing import Picture, run_edits
from rsaug.edits import EditOptions, Inpaint
from rsaug.errors import InputError
from rsaug.grid import Tile
from rsaug.options import ConditionsOptions, SynthOptions
from rsaug.raster import write_cog
from rsaug.reporting.charts import Cell, histogram, tile_map
from rsaug.reporting.looks import look_at, spread
from rsaug.reporting.report import make_report
from rsaug.reporting.roads import RoadsInTiles
from rsaug.reporting.run import read_run
from rsaug.storage import place
from rsaug.synthesis import make_plan, run

EVIL = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{}"


class Noise(Painter):
    """Images of nothing but noise, which no format makes small; some of them cannot be made."""

    fails_at = -1

    def _paint(self, request: Any) -> NDArray[np.uint8]:
        if len(self.painted) == self.fails_at:
            self.painted.append("")
            raise ValueError(EVIL)
        self.painted.append(request.tile.name)
        rng = np.random.default_rng(request.seed)
        return rng.integers(0, 255, (3, *request.tile.shape), np.uint8)


def options(folder: Path, **more: Any) -> SynthOptions:
    """A run over six tiles, with a footway that is no road."""
    roads = write_roads(folder / "streets.gpkg", rows=2, cols=3)
    path = LineString([(WEST, NORTH - 5), (WEST + 90, NORTH - 5)])
    frame = gpd.read_file(roads)
    frame.loc[len(frame)] = {"highway": "footway", "width": None, "geometry": path}
    frame.to_file(roads, layer="roads")
    wood = write_wood(folder / "wood.gpkg")
    asked = {"gsd": 0.5, "tile_size": 128, "out": str(folder / "run"), **more}
    return SynthOptions(roads=str(roads), landcover=str(wood), **asked)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run."""
    folder = tmp_path_factory.mktemp("whole")
    run(make_plan(options(folder, variants=2, prompt="a & b")), Painter())
    return folder / "run"


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that can be altered; its layers lie where they lay."""
    for layer in whole.parent.glob("*.gpkg"):
        shutil.copy2(layer, tmp_path)
    return shutil.copytree(whole, tmp_path / "run")


def told(folder: Path, **more: Any) -> dict[str, Any]:
    """The numbers of a report, which are strict JSON."""

    def refuse(name: str) -> float:
        raise AssertionError(f"{name} is no JSON")

    found: dict[str, Any] = json.loads(make_report(folder, **more).to_json(), parse_constant=refuse)
    return found


def test_a_whole_run_is_told_whole(whole: Path) -> None:
    found = told(whole)
    items = [json.loads(path.read_text()) for path in (whole / "items").iterdir()]
    assert (found["images"], found["complete"], found["missing"], found["tiles"]) == (12, 12, 0, 6)
    assert found["broken"] == found["unreadable"] == []
    assert found["area_km2"] == pytest.approx(6 * 0.064**2)
    shares = {
        item["properties"]["rsaug:tile"]: item["properties"]["rsaug:road_fraction"]
        for item in items
    }
    assert found["road_share"]["mean"] == pytest.approx(np.mean(list(shares.values())), abs=1e-4)
    assert found["seeds"] == {"run": 0, "images": 12, "different": 12}
    assert found["inputs"][0] == {
        "option": "roads",
        "name": "streets.gpkg",
        "sha256": json.loads((whole / "run.json").read_text())["inputs"]["roads"],
        "used": 2,
        "left_out": 1,
    }
    assert found["left_out"]["roads"] == {"not a road (highway=footway)": 1}
    assert found["landcover"]["tiles"] == 6
    assert sum(v for k, v in found["landcover"].items() if k != "tiles") == pytest.approx(1)
    assert found["marks"]["images"] == 12
    assert found["marks"]["tags that say it is synthetic"] == 12
    assert found["marks"]["IPTC digital source type in XMP"] == 12
    assert found["marks"]["C2PA signature"] == 0
    assert found["versions"] == {"rsaug": "0"}


def test_the_page_needs_nothing_besides(whole: Path) -> None:
    page = assert_stands_alone(make_report(whole).to_html())
    # Of each image: itself, with its roads, and two maps.
    assert len(page.all("img")) == 12 * 4
    assert all(image["alt"] for image in page.all("img"))
    assert len([r for r in page.all("rect") if (r.get("class") or "").startswith("t")]) == 6
    for said in ("All 12.", "a & b", "not a road (highway=footway)", "--config run/run.json"):
        assert said in page.text
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= targets
    assert make_report(whole).to_html().count("<img") == 12 * 4


def test_fewer_images_are_shown_where_fewer_are_asked_for(whole: Path) -> None:
    page = Page.of(make_report(whole, 3).to_html())
    assert len(page.all("img")) == 3 * 4
    assert "3 of 12, spread evenly." in page.text
    assert not Page.of(make_report(whole, 0).to_html()).all("img")
    with pytest.raises(InputError, match="0 to 200 images, not 201"):
        make_report(whole, 201)


def test_roads_are_measured_inside_the_tiles(whole: Path) -> None:
    # Each street begins 5 m inside its first tile and ends 5 m before the end of its last.
    km = 2 * (3 * 64 - 10) / 1000
    found = make_report(whole).facts.roads
    assert isinstance(found, RoadsInTiles)
    assert found.km == pytest.approx(km, abs=1e-3)
    assert found.km_by_class == {"minor": found.km}
    assert found.km_by_width == {"8 to 10 m": found.km}


def test_a_layer_that_is_another_now_is_not_measured(copied: Path) -> None:
    write_roads(copied.parent / "streets.gpkg", rows=1, cols=1)
    assert "is not the one the run was made from" in told(copied)["roads_in_tiles"]
    (copied.parent / "streets.gpkg").unlink()
    assert "is not where the record says" in told(copied)["roads_in_tiles"]
    page = Page.of(make_report(copied).to_html())
    assert "Roads of the whole layer, not of the tiles alone." in page.text


def test_a_run_at_work_says_what_is_missing(copied: Path) -> None:
    for item in sorted((copied / "items").iterdir())[:5]:
        item.unlink()
    tile = json.loads(next((copied / "items").iterdir()).read_text())["properties"]["rsaug:tile"]
    (copied / f"masks/{tile}.tif").write_bytes(b"cut")
    (copied / "collection.json").unlink()
    found = told(copied)
    assert found["complete"] + len(found["broken"]) == 7
    assert found["missing"] == 12 - found["complete"]
    page = assert_stands_alone(make_report(copied).to_html())
    assert "The run is not complete" in page.text
    assert "cannot be shown whole" in page.text


def test_a_run_that_has_made_nothing_yet(tmp_path: Path) -> None:
    plan = make_plan(options(tmp_path))

    class Stopped(BaseException):
        pass

    def stop() -> None:
        raise Stopped

    with pytest.raises(Stopped):
        run(plan, Painter(before_each=stop))
    found = told(tmp_path / "run")
    assert (found["images"], found["complete"], found["missing"]) == (6, 0, 6)
    assert found["road_share"] == {}
    assert found["pace"] is None
    page = assert_stands_alone(make_report(tmp_path / "run").to_html())
    assert "0 of 6" in page.text
    assert not page.all("img")


def test_what_could_not_be_made_is_told_with_its_reason(tmp_path: Path) -> None:
    painter = Noise()
    painter.fails_at = 1
    run(make_plan(options(tmp_path)), painter)
    found = told(tmp_path / "run")
    assert list(found["failed"]) == [EVIL]
    assert len(found["failed"][EVIL]) == found["missing"] == 1
    page = assert_stands_alone(make_report(tmp_path / "run").to_html())
    assert EVIL in page.text
    assert [rect for rect in page.all("rect") if rect.get("class") == "failed"]


def altered(value: Any) -> Any:
    """JSON with every text in it replaced by what an attacker would write."""
    if isinstance(value, dict):
        return {key: altered(entry) for key, entry in value.items()} | {EVIL: 1}
    if isinstance(value, list):
        return [altered(entry) for entry in value]
    return EVIL if isinstance(value, str) else value


def test_nothing_in_a_strangers_folder_becomes_markup(copied: Path) -> None:
    record = json.loads((copied / "run.json").read_text())
    wrong = altered(record)
    wrong["attribution"] = [EVIL]
    (copied / "run.json").write_text(json.dumps(wrong))
    for path in (copied / "items").iterdir():
        item = json.loads(path.read_text())
        item["properties"] = altered(item["properties"])
        path.write_text(json.dumps(item))
    evil = {"title": EVIL, "numbers": [{"measure": EVIL, "of": EVIL, "value": 1.0, "by": EVIL}]}
    (copied / "evaluation").mkdir()
    (copied / "evaluation/report.json").write_text(json.dumps({EVIL: evil}))
    (copied / "quarantine").mkdir()
    note = {"item": EVIL, "reason": EVIL, "time": EVIL}
    (copied / "quarantine/x.json").write_text(json.dumps(note))
    folder = copied.rename(copied.with_name("<b onclick=x>&amp;'run"))
    page = assert_stands_alone(make_report(folder).to_html())
    assert "alert(1)" in page.text
    assert "<b onclick=x>&amp;'run" in page.text
    assert json.loads(make_report(folder).to_json())["run"] == folder.name


def test_files_outside_of_the_run_are_not_read(copied: Path) -> None:
    secret = write_cog_of(copied.parent / "secret.tif")
    (first, second, third, *_) = sorted((copied / "items").iterdir())
    item = json.loads(first.read_text())
    item["assets"]["image"]["href"] = "../../secret.tif"
    first.write_text(json.dumps(item))
    item = json.loads(second.read_text())
    item["assets"]["image"]["href"] = secret.as_posix()
    second.write_text(json.dumps(item))
    image = copied / "images" / f"{third.stem}.tif"
    image.unlink()
    image.symlink_to(secret)
    pieces = {piece.name: piece for piece in read_run(copied).pieces}
    for path in (first, second, third):
        assert "image" not in pieces[path.stem].files
        assert "image" not in [title for title, _, _ in look_at(pieces[path.stem]).panels]


def write_cog_of(path: Path) -> Path:
    write_cog(path, np.full((3, 32, 32), 200, np.uint8), None)
    return path


def test_items_of_any_shape_are_read_or_counted(copied: Path) -> None:
    names = sorted(path.stem for path in (copied / "items").iterdir())

    def rewrite(name: str, change: Callable[[dict[str, Any]], object]) -> None:
        path = copied / f"items/{name}.json"
        item = json.loads(path.read_text())
        change(item)
        path.write_text(json.dumps(item))

    (copied / f"items/{names[0]}.json").write_text("[" * 100_000)
    (copied / f"items/{names[1]}.json").write_bytes(b"\xff\xfe{")
    rewrite(names[2], lambda item: item.update(properties=[]))
    rewrite(names[3], lambda item: item["properties"].update({"rsaug:road_fraction": float("nan")}))
    rewrite(names[4], lambda item: item["properties"].update({"proj:bbox": [1, 2, "x", None]}))
    rewrite(names[5], lambda item: item["properties"].update({"rsaug:road_fraction": 1e308}))
    found = told(copied)
    assert found["unreadable"] == names[:3]
    assert found["road_share"]["most"] <= 1
    assert "3 items cannot be read" in assert_stands_alone(make_report(copied).to_html()).text


def test_a_thousand_noisy_images_fit_on_a_small_page(tmp_path: Path) -> None:
    run(make_plan(options(tmp_path, tile_size=256)), Noise())
    items = sorted((tmp_path / "run/items").iterdir())
    for number in range(1000 - len(items)):
        item = json.loads(items[number % len(items)].read_text())
        left, bottom, right, top = item["properties"]["proj:bbox"]
        along = 128.0 * (number // len(items) + 4)
        item["properties"]["proj:bbox"] = [left + along, bottom, right + along, top]
        item["properties"]["rsaug:tile"] = f"r000000_c{number:06d}"
        (tmp_path / f"run/items/c{number:06d}.json").write_text(json.dumps(item))
    content = make_report(tmp_path / "run", 100).to_html()
    assert len(content.encode()) < 5_000_000
    page = assert_stands_alone(content)
    shown = re.search(r"(\d+) of 1,000, spread evenly", page.text)
    assert shown is not None
    assert 10 <= int(shown[1]) < 100
    assert "1,000 tiles" in page.text


def test_scores_of_others_are_shown(copied: Path) -> None:
    (copied / "quality").mkdir()
    said = {
        "images": 12,
        "kept": 9,
        "detectors": ["fpn"],
        "rules": {"keep": 0.8},
        "values": {"consistency": [0.1, 0.2, 0.3, 0.4, 0.5], "odd": [1]},
    }
    (copied / "quality/report.json").write_text(json.dumps(said))
    names = sorted(path.stem for path in (copied / "items").iterdir())
    rows = "\n".join(f"{name},{k / 12:.3f},1" for k, name in enumerate(names))
    (copied / "quality/images.csv").write_text(f"id,score,weight\n{rows}\n")
    (copied / "evaluation").mkdir()
    number = {"measure": "IoU", "of": "run", "value": 0.51, "low": 0.4, "high": 0.6, "n": "12"}
    section = {"title": "Roads", "numbers": [number, {"measure": "gap", "value": None}]}
    report = {"software": "rsaug", "roads": section, "broken": {"numbers": "none"}}
    (copied / "evaluation/report.json").write_text(json.dumps(report))
    page = assert_stands_alone(make_report(copied).to_html())
    for text in ("keeps 9 of 12 images", "fpn", "0.300", "0.4 to 0.6", "0.51"):
        assert text in page.text
    found = told(copied)
    assert len(found["filter"]["scores"]) == 12
    assert [row["measure"] for row in found["evaluation"]] == ["IoU", "gap"]
    (copied / "quality/images.csv").write_text("a\n1\n")
    (copied / "evaluation/report.json").write_text("{")
    found = told(copied)
    assert found["filter"]["scores"] == {}
    assert found["evaluation"] is None


def test_a_run_without_a_model(tmp_path: Path) -> None:
    roads, wood = (
        write_roads(tmp_path / "town.gpkg", rows=1, cols=2),
        write_wood(tmp_path / "w.gpkg"),
    )
    asked = ConditionsOptions(
        roads=str(roads),
        landcover=str(wood),
        labels="loveda",
        gsd=0.5,
        tile_size=64,
        out=str(tmp_path / "maps"),
    )
    write_conditions(make_conditions_plan(asked))
    found = told(tmp_path / "maps")
    assert found["command"] == "conditions"
    assert found["missing"] == 0
    page = assert_stands_alone(make_report(tmp_path / "maps").to_html())
    assert "no model was used" in page.text
    assert "rsaug conditions --config maps/run.json" in page.text
    assert {"labels", "road mask", "land cover"} <= {
        (image["alt"] or "").partition(" of ")[0] for image in page.all("img")
    }


class Dimmer:
    """An editor that makes images darker."""

    def edit(self, picture: Picture) -> NDArray[np.uint8]:
        """The result, uint8 (3, rows, cols)."""
        return picture.rgb // 2

    def describe(self) -> dict[str, object]:
        """What decides a result besides the picture."""
        return {"model": "dimmer", "weights_sha256": "0" * 64}

    def sees(self, control: str) -> bool:
        """Whether it follows a control."""
        return True

    def notes(self, gsd_m: float, controls: Sequence[str] = ()) -> list[str]:
        """What it cannot follow."""
        return []


def test_a_run_of_edits(tmp_path: Path, whole: Path) -> None:
    image = sorted((whole / "images").iterdir())[0]
    hole = gpd.GeoSeries([Tile.from_raster(image).polygon.centroid.buffer(8)], crs=CRS)
    hole.to_file(tmp_path / "hole.gpkg")
    asked = EditOptions(
        edit=Inpaint(),
        images=(image,),
        out=tmp_path / "filled",
        mask=str(tmp_path / "hole.gpkg"),
        roads=str(whole.parent / "streets.gpkg"),
    )
    run_edits(plan_edits(asked, ()), Dimmer())
    found = told(tmp_path / "filled")
    assert (found["command"], found["images"], found["complete"]) == ("inpaint", 1, 1)
    page = assert_stands_alone(make_report(tmp_path / "filled").to_html())
    shown = [(entry["alt"] or "").partition(" of ")[0] for entry in page.all("img")]
    assert shown == ["image", "roads", "filled in", "roads"]
    assert "Real images altered" in page.text
    assert "--mask hole.gpkg" in page.text
    assert len([r for r in page.all("rect") if (r.get("class") or "").startswith("t")]) == 1


def test_a_run_in_a_store(tmp_path: Path) -> None:
    pytest.importorskip("upath", reason="universal-pathlib is not installed")
    address = f"memory://{tmp_path.name}/run"
    run(make_plan(options(tmp_path, out=address)), Painter())
    report = make_report(address)
    assert len(assert_stands_alone(report.to_html()).all("img")) == 6 * 4
    assert isinstance(report.facts.roads, RoadsInTiles)
    path = report.write()
    assert str(path).endswith("run/report.html")
    assert place(str(path)).exists()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (None, "has no run.json"),
        ("{", "cannot be read as a record"),
        ("[]", "it has no 'options'"),
        ('{"options": {}, "command": "decouple"}', "holds a run of rsaug decouple"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    tmp_path: Path, record: str | None, message: str
) -> None:
    if record is not None:
        (tmp_path / "run.json").write_text(record)
    with pytest.raises(InputError, match=message):
        make_report(tmp_path)


def test_a_record_of_nothing_makes_a_page(tmp_path: Path) -> None:
    for images in (3, "many", None, [EVIL], 1e400):
        (tmp_path / "run.json").write_text(json.dumps({"options": {}, "images": images}))
        assert_stands_alone(make_report(tmp_path).to_html())


def test_a_spread_is_even_and_in_order() -> None:
    assert spread(list(range(10)), 3) == [0, 3, 6]
    assert spread([1, 2], 5) == [1, 2]
    assert spread([1, 2], 0) == []


def test_bars_of_a_histogram_count_every_value() -> None:
    values = np.random.default_rng(0).random(500)
    for these in (values, values[:1], np.zeros(3)):
        titles = re.findall(r"<title>[^<]*: (\d+)</title>", histogram(these, " %", 100))
        assert sum(map(int, titles)) == len(these)


def test_very_many_tiles_are_drawn_in_groups() -> None:
    cells = [Cell((x, y, x + 1, y + 1), x / 100, "t") for x in range(100) for y in range(100)]
    page = Page.of(tile_map(cells, 1.0))
    assert len(page.all("rect")) < 3200
    assert sum(int(n) for n in re.findall(r"(\d+) tiles", page.text)) == 10_000


def test_the_page_is_written_whole_where_it_is_asked_for(whole: Path, tmp_path: Path) -> None:
    report = make_report(whole, 1)
    path = report.write(tmp_path / "page.html")
    assert Path(str(path)).read_text(encoding="utf-8") == report.to_html()
