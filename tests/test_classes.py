"""Class sets and raster tables: what comes along is whole, what users write is checked."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from rsaug.classes import (
    LOVEDA,
    ClassSet,
    class_sets,
    raster_tables,
    read_class_set,
    read_raster_table,
)
from rsaug.errors import InputError

# What the makers of the rasters list, without their numbers for no data.
WORLDCOVER = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100}
NLCD = {11, 12, 21, 22, 23, 24, 31, 41, 42, 43, 51, 52, 71, 72, 73, 74, 81, 82, 90, 95}
DYNAMIC_WORLD = set(range(9))

TREES = """
name = "trees"
column = "kind"
buildings = "house"
tag_order = ["natural", "landuse"]

[[class]]
name = "rest"
value = 255
colour = "#000000"

[[class]]
name = "house"
value = 7
colour = [255, 0, 0]

[[class]]
name = "Tree"
value = 0
colour = "#00FF00"
values = ["Oak ", 12]
[class.tags]
landuse = ["forest"]
natural = ["*"]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "set.toml"
    path.write_text(text)
    return path


def test_loveda() -> None:
    assert read_class_set("loveda") == LOVEDA
    assert LOVEDA.names == (
        "background", "building", "road", "water", "barren", "forest", "agriculture",
    )  # fmt: skip
    assert LOVEDA.priority == (
        "background", "agriculture", "forest", "barren", "water", "building", "road",
    )  # fmt: skip
    np.testing.assert_array_equal(LOVEDA.value_of_rank, [0, 6, 5, 4, 3, 1, 2])
    assert LOVEDA.palette[:7].tolist() == [
        [255, 255, 255],
        [255, 0, 0],
        [255, 255, 0],
        [0, 0, 255],
        [159, 129, 183],
        [0, 255, 0],
        [255, 195, 128],
    ]
    assert list(LOVEDA.tags) == ["natural", "waterway", "landuse", "leisure", "amenity"]
    assert [len(table) for table in LOVEDA.tags.values()] == [18, 5, 35, 13, 8]
    assert LOVEDA.tags["natural"]["scrub"] == "forest"
    assert LOVEDA.values["grass"] == "agriculture"


@pytest.mark.parametrize("name", class_sets())
def test_sets_that_come_along(name: str) -> None:
    classes = read_class_set(name)
    assert classes.name == name
    assert classes.priority[0] == "background"
    assert classes.value_of_rank[0] == 0
    assert pickle.loads(pickle.dumps(classes)) == classes


def test_all_of_them_come_along() -> None:
    assert class_sets() == ("buildings-roads", "loveda", "roads")
    assert raster_tables() == ("dynamic-world", "nlcd", "worldcover")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [("worldcover", WORLDCOVER), ("nlcd", NLCD), ("dynamic-world", DYNAMIC_WORLD)],
)
def test_raster_tables_know_every_number(name: str, numbers: set[int]) -> None:
    table = read_raster_table(name)
    assert set(table.ranks(LOVEDA)) == numbers
    assert set(table.classes) - numbers == ({0, 127, 250} if name == "nlcd" else set())
    assert set(table.titles) == set(table.classes)


@pytest.mark.parametrize(
    ("name", "number", "wanted"),
    [
        ("worldcover", 10, "forest"),
        ("worldcover", 50, "background"),
        ("worldcover", 80, "water"),
        ("nlcd", 21, "agriculture"),
        ("nlcd", 24, "background"),
        ("nlcd", 90, "forest"),
        ("dynamic-world", 0, "water"),
        ("dynamic-world", 7, "barren"),
    ],
)
def test_what_numbers_mean(name: str, number: int, wanted: str) -> None:
    assert LOVEDA.priority[read_raster_table(name).ranks(LOVEDA)[number]] == wanted


def test_a_set_of_a_user(tmp_path: Path) -> None:
    classes = read_class_set(write(tmp_path, TREES))
    assert classes.priority == ("rest", "house", "Tree")
    assert classes.names == ("Tree", "house", "rest")
    np.testing.assert_array_equal(classes.value_of_rank, [255, 7, 0])
    assert (classes.column, classes.buildings, classes.roads) == ("kind", "house", None)
    assert classes.values == {
        "rest": "rest",
        "house": "house",
        "tree": "Tree",
        "oak": "Tree",
        "12": "Tree",
    }
    assert list(classes.tags) == ["natural", "landuse"]
    assert classes.palette[0].tolist() == [0, 255, 0]
    levels = np.array([[0, 1], [2, 3]], np.uint8)
    np.testing.assert_array_equal(classes.values_of(levels), [[255, 255], [7, 0]])
    with pytest.raises(InputError, match=r"has no class 'oak'; it has \['rest'"):
        classes.rank("oak")


def test_a_table_serves_several_sets(tmp_path: Path) -> None:
    text = 'name = "mine"\n[values]\n3 = ["Tree", "forest"]\n-4 = "water"\n5 = ""\n'
    table = read_raster_table(write(tmp_path, text))
    trees = read_class_set(write(tmp_path, TREES))
    assert table.ranks(trees) == {3: 2}
    assert {n: LOVEDA.priority[rank] for n, rank in table.ranks(LOVEDA).items()} == {
        3: "forest",
        -4: "water",
    }
    assert (table.title, table.call(3)) == ("mine", "3")
    assert read_raster_table("worldcover").call(95) == "95 (mangroves)"


def test_the_files_in_the_docs_are_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "landcover.md").read_text()
    garden, city = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    classes = read_class_set(write(tmp_path, garden))
    assert classes.priority == ("ground", "house", "road", "tree")
    assert read_raster_table(write(tmp_path, city)).ranks(classes) == {2: 3}


def test_a_name_that_is_no_class_of_a_table_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "mine"\n[values]\n3 = "forrest"\n')
    with pytest.raises(InputError, match="'mine' has 3 as forrest, which is no class of 'loveda'"):
        read_raster_table(path).ranks(LOVEDA)


def one(value: str = "0", colour: str = '"#ffffff"', more: str = "") -> str:
    """A set of one class."""
    return f'name = "a"\n{more}\n[[class]]\nname = "x"\nvalue = {value}\ncolour = {colour}\n'


TWO = one() + '[[class]]\nname = "y"\nvalue = 1\ncolour = "#000000"\n'
TAGGED = """
name = "a"
[[class]]
name = "x"
value = 0
colour = "#ffffff"
tags.natural = ["wood"]
[[class]]
name = "y"
value = 1
colour = "#000000"
tags.natural = ["Wood"]
"""
MANY = 'name = "a"\n' + "".join(
    f'[[class]]\nname = "{n}"\nvalue = {n}\ncolour = "#000000"\n' for n in range(256)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has 0 classes; 1 to 255"),
        ("name = ", "is no TOML file: "),
        ('name = "a"\x00', "is no TOML file: "),
        ("a = " + "[" * 5000, "is no TOML file: "),
        ("name = 1\n" + one()[11:], "name is 1; a text is needed"),
        (one()[11:], "name is missing; a text is needed"),
        ('name = "a"\nclass = 3', "class is 3; tables are needed, each under"),
        ('name = "a"\nclass = [3]', "tables are needed"),
        (one(more="colors = 1"), "'colors' is not known here; use name, column"),
        (one() + "color = 1", "class 1: 'color' is not known here"),
        (one("-1"), "class 1: value is -1; a whole number from 0 to 255"),
        (one("256"), "value is 256"),
        (one("1.0"), "value is 1.0"),
        (one("true"), "value is True"),
        (one("9" * 400), "value is 9999"),
        (one(colour='"red"'), "colour is 'red'; write it as"),
        (one(colour="[1, 2]"), "colour is "),
        (one(colour="[1, 2, 300]"), "colour is "),
        (one(colour="[1, 2, true]"), "colour is "),
        (one() + one()[12:], r"class 2: name is 'x'; class 1 has it already"),
        (TWO.replace("value = 1", "value = 0"), "class 2: value is 0; class 1 has it already"),
        (one(more='roads = "street"'), "roads is 'street'; it has to be the name of a class"),
        (one(more="column = 4"), "column is 4; a text is needed"),
        (one(more='tag_order = ["natural"]'), "no class has 'natural' under its"),
        (one() + "values = 5", "class 1: values is 5; a list of texts"),
        (one() + "tags = 5", "tags is 5; a table is needed"),
        (one() + "[class.tags]\nnatural = 'wood'", r"\[tags\]: natural is 'wood'; a list"),
        (one() + "[class.tags]\nnatural = ['']", "natural is "),
        (TWO + 'values = ["x"]', "'x' is of class 'x' already; take one"),
        (TAGGED, "'wood' is of class 'x' already"),
        (MANY, "has 256 classes; 1 to 255"),
        ("#" * (2 << 20), "is larger than a class set can be"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=message) as caught:
        read_class_set(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "a"', "has no number under"),
        ('name = "a"\n[values]\nx = "water"', "'x' is no whole number of a raster"),
        ('name = "a"\n[values]\n1 = 2', "1 is 2; a text is needed"),
        ('name = "a"\n[values]\n1 = "water"\n[titles]\n1 = 4', "1 is 4; a text is needed"),
        ('name = "a"\nvalue = 3\n[values]\n1 = "water"', "'value' is not known here"),
        ('name = "a"\nvalues = 3', "values is 3; a table is needed"),
        ('[values]\n1 = "water"', "name is missing"),
        ('name = "a"\n[values]\n1 = "water"\n1 = "forest"', "is no TOML file"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_raster_table(write(tmp_path, text))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither a class set that comes along .buildings-roads"):
        read_class_set("lovedata")
    with pytest.raises(InputError, match=r"comes along .* nor a file that can be read .Is a dir"):
        read_class_set(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"')
    with pytest.raises(InputError, match="is no TOML file"):
        read_raster_table(tmp_path / "latin.toml")


def test_sets_compare_by_what_they_say() -> None:
    assert read_class_set("roads") != LOVEDA
    assert ClassSet("a", LOVEDA.classes) == ClassSet("a", LOVEDA.classes)
