"""What is read of a run, and that what others wrote into it harms nobody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rsaug.errors import InputError
from rsaug.viewer.catalogue import read_catalogue
from rsaug.viewer.confined import Confined
from rsaug.viewer.scores import dropped, read_scores
from rsaug.viewer.view import View


def test_tiles_lie_where_their_names_say(folder: Path) -> None:
    found = read_catalogue(folder)
    assert found.variants == (0, 1)
    assert found.controls == ("hed", "road", "seg")
    for image in found.images.values():
        row, col = image.cell
        assert image.tile == f"r{row:07d}_c{col:06d}"
        assert image.grid.origin == (0, 0)
        assert {*image.files} == {"image", "mask", "conditions"}
    assert len({image.grid for image in found.images.values()}) == 1
    assert not found.unreadable


def test_a_run_on_its_way_is_shown_as_far_as_it_is(folder: Path) -> None:
    whole = read_catalogue(folder)
    (folder / "collection.json").unlink()
    gone = next(iter(whole.images))
    (folder / "items" / f"{gone}.json").unlink()
    assert {*read_catalogue(folder).images} == {*whole.images} - {gone}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("proj:transform", [1e308, 0, 1e308, 0, -1e308, 1e308]),
        ("proj:transform", ["a"] * 6),
        ("proj:transform", [0.6, 0.1, 0, 0, -0.6, 0]),
        ("proj:shape", [10**9, 10**9]),
        ("proj:shape", [0, 64]),
        ("proj:code", 7),
        ("rsaug:variant", "0"),
        ("rsaug:variant", -1),
        ("rsaug:tile", "../x"),
        ("rsaug:controls", {"road": 1}),
        ("rsaug:road_fraction", "much"),
    ],
)
def test_an_item_that_is_not_as_we_write_it_does_not_end_the_view(
    folder: Path, field: str, value: object
) -> None:
    name, *others = read_catalogue(folder).images
    path = folder / "items" / f"{name}.json"
    item = json.loads(path.read_text())
    item["properties"][field] = value
    path.write_text(json.dumps(item))
    view = View(folder)
    assert {*others} <= {*view.catalogue.images}
    assert len(view.catalogue.images) + len(view.catalogue.unreadable) == len(others) + 1
    assert view.about()["images"]["name"]


def test_a_crs_that_is_none_is_shown_by_nothing(folder: Path) -> None:
    for path in (folder / "items").iterdir():
        item = json.loads(path.read_text())
        item["properties"]["proj:code"] = "EPSG:0"
        path.write_text(json.dumps(item))
    with pytest.raises(InputError, match="no image that can be shown"):
        read_catalogue(folder)


@pytest.mark.parametrize("there", [[], ["run.json"]])
def test_what_is_no_run_is_refused(tmp_path: Path, there: list[str]) -> None:
    for name in there:
        (tmp_path / name).write_text("{}")
    with pytest.raises(InputError, match=r"run\.json" if not there else "no image"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    "path",
    ["../a", "/a", "a/../../a", "link", "inner/link/a", "", ".", "a\0b", "b\\..\\a", "inner"],
)
def test_files_outside_are_not_found(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    for place in (tmp_path, root, root / "inner"):
        (place / "a").write_text("x")
    (root / "link").symlink_to(root / "a")
    (root / "inner" / "link").symlink_to(root)
    found = Confined(root)
    assert found.file(path) is None
    assert found.file("inner/../a") == root.resolve() / "a"
    assert found.file("inner/a") == root.resolve() / "inner" / "a"


def test_scores_of_the_filter_are_read(folder: Path) -> None:
    first, second, *_ = read_catalogue(folder).images
    (folder / "quality").mkdir()
    table = f"id,tile,realism,score\n{first},a,0.5,0.25\n{second},b,nan,x\nstranger,c,1,1\n"
    (folder / "quality" / "images.csv").write_text(table)
    (folder / "quality" / "scores.json").write_text(json.dumps({first: 0, second: 1, "other": 1}))
    names = [*read_catalogue(folder).images]
    found = read_scores(Confined(folder), names)
    assert [*found] == ["score", "weight", "realism"]
    assert found["score"] == {first: 0.25}
    assert found["realism"] == {first: 0.5}
    assert dropped(found) == {first}
    (folder / "quality" / "images.csv").write_bytes(b"id,score\n\xff\xfe,1\n")
    (folder / "quality" / "scores.json").write_text("[")
    assert read_scores(Confined(folder), names) == {}
