"""Rules for roads: what a file may say, and what is said of a file that is of no use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rsaug.errors import InputError
from rsaug.road_rules import Column, Kind, RoadRules, as_text, default_rules, read_rules

RULE = '[[rule]]\nname = "r"\n'


def read(tmp_path: Path, text: str) -> RoadRules:
    """The rules of a file."""
    path = tmp_path / "own.toml"
    path.write_text(text)
    return read_rules(path)


def test_rules_that_come_with_rsaug() -> None:
    rules = default_rules()
    assert rules.classes == ("motorway", "major", "minor", "service", "track")
    assert rules.kind("motorway") == Kind(1, 12.0, 12.0)
    assert rules.kind("primary") == Kind(2, 10.0, 8.0)
    assert rules.kind("footway") is None
    assert rules.is_known("footway")
    assert not rules.is_known("boulevard")
    assert rules.kind("track_grade5") == rules.kind("track")
    assert {"highway", "width:carriageway", "width", "est_width", "layer"} <= set(rules.reads)
    kinds = [kind for kind in rules.kinds.values() if kind]
    assert all(0 < kind.oneway_width_m <= kind.width_m <= 12 for kind in kinds)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == default_rules()


def test_a_file_is_laid_over_key_by_key(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        """
        [highway]
        primary = { width_m = 14 }
        Footway = { class = "track", width_m = 2.5 }
        track = false
        [defaults]
        lane_width_m = 3
        [columns]
        width = ["w", { column = "wf", unit = "ft" }]
        [[rule]]
        name = "gravel"
        where = { surface = "Gravel", Lanes = 2, tunnel = false }
        class = "track"
        """,
    )
    assert rules.kind("primary") == Kind(2, 14.0, 8.0)
    assert rules.kind("secondary") == default_rules().kind("secondary")
    assert rules.kind("footway") == Kind(5, 2.5, 2.5)
    assert rules.kind("track") is None
    assert (rules.lane_width_m, rules.width_m) == (3.0, 6.0)
    assert [(column.name, column.unit_m) for column in rules.columns["width"]] == [
        ("w", 1.0),
        ("wf", 0.3048),
    ]
    assert rules.rules[0].where == {
        "surface": frozenset({"gravel"}),
        "Lanes": frozenset({"2"}),
        "tunnel": False,
    }
    assert "surface" in rules.reads
    assert "gravel" not in rules.sources


def test_units_of_columns_of_width(tmp_path: Path) -> None:
    units = ", ".join(f'{{ column = "{unit}", unit = "{unit}" }}' for unit in ("m", "cm", "ft"))
    rules = read(tmp_path, f"[columns]\nwidth = [{units}]\nest_width = [{units}, ' e ']")
    expected = (Column("m", 1.0), Column("cm", 0.01), Column("ft", 0.3048))
    assert rules.columns["width"] == expected
    assert rules.columns["est_width"] == (*expected, Column("e", 1.0))
    assert rules.named == ("width", "est_width")


def test_lengths_below_a_metre_are_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "[defaults]\nlane_width_m = 0.5").lane_width_m == 0.5


def test_columns_that_are_read_are_those_of_roles_and_of_other_conditions(tmp_path: Path) -> None:
    own = '[columns]\nhighway = "MTFCC"\n' + RULE + "where = { a = 1, highway = 'c' }\ndrop = true"
    before, after = set(default_rules().reads), set(read(tmp_path, own).reads)
    assert after - before == {"MTFCC", "a"}
    assert before - after == {"highway", "fclass"}


def test_the_largest_file_and_the_fewest_and_most_classes(tmp_path: Path) -> None:
    assert read(tmp_path, "#" * (1 << 20)) == default_rules()
    names = [*default_rules().classes, *(f"c{n}" for n in range(250))]
    assert len(read(tmp_path, f"classes = {names}").classes) == 255
    with pytest.raises(InputError, match="1 to 255 different names"):
        read(tmp_path, f"classes = {[*names, 'more']}")
    kinds = "".join(f"{name} = false\n" for name in default_rules().kinds)
    one = f"classes = ['one']\n[defaults]\nclass = 'one'\n[highway]\n{kinds}"
    assert read(tmp_path, one).classes == ("one",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", r"own.toml has no key 'x'; the keys are classes, defaults"),
        ("[defaults]\nwidth = 6", r"own.toml: defaults has no key 'width'"),
        ("[defaults]\nwidth_m = -1", r"defaults: width_m must be a positive, finite .*, not -1"),
        ("[defaults]\nwidth_m = 1" + 400 * "0", r"width_m must be a positive, finite"),
        ("[defaults]\nwidth_m = nan", r"width_m must be a positive, finite .* not nan"),
        ("[defaults]\nmax_width_m = inf", r"max_width_m must be .* not inf"),
        ("[defaults]\nlane_width_m = true", r"lane_width_m must be .* not True"),
        ('[defaults]\nlane_width_m = "3"', r"lane_width_m must be .* not '3'"),
        ('[defaults]\ncap = "butt"', r"cap must be one of round, flat, square, not 'butt'"),
        ("[defaults]\njoin = 1", r"join must be one of round, mitre, bevel, not 1"),
        ('[defaults]\nclass = "big"', r"class must be one of motorway, major, .* not 'big'"),
        ("defaults = 3", r"own.toml: defaults must be a table, not 3"),
        ("classes = []", r"classes must be 1 to 255 different names"),
        ('classes = ["a", "a"]', r"classes must be 1 to 255 different names"),
        ('classes = ["a", " "]', r"classes must be 1 to 255 different names"),
        ("classes = [1]", r"classes must be a list of words"),
        ("[highway]\nprimary = true", r"primary must be false or a table .* not True"),
        ("[highway]\nlane = { width_m = 3 }", r"highway: lane: class must be one of .*missing"),
        ('[highway]\nx = { class = "minor" }', r"x: width_m must be .* not missing"),
        ("[highway]\nprimary = { w = 3 }", r"highway: primary has no key 'w'"),
        ("[highway]\nprimary = { oneway_width_m = 0 }", r"oneway_width_m must be .* not 0"),
        ('[aliases]\nx = "nothing"', r"aliases: x must be one of motorway, .* not 'nothing'"),
        ("[columns]\nwidht = 'w'", r"columns has no key 'widht'"),
        ("[columns]\nwidth = 3", r'such as \{ column = "W", unit = "ft" \}, or a list of'),
        ("[columns]\nwidth = { column = ' ', unit = 'm' }", r"columns.width: column must be text"),
        ("[columns]\nlanes = ''", r"lanes must be the name of a column or a list of them, not ''"),
        ("[columns]\nlanes = { column = 'l', unit = 'm' }", r"lanes must be the name of a column"),
        ("[columns]\nwidth = { column = 'l', unit = 'mi' }", r"unit must be one of m, cm, ft"),
        ("[oneway]\nyes = 'yes'", r"oneway: yes must be a list of words, not 'yes'"),
        ("rule = 3", r"rule must be written as \[\[rule\]\]"),
        ("[[rule]]\nwhere = { a = 'b' }\ndrop = true", r"rule 1: name must be text, not missing"),
        (RULE + "drop = true", r"rule 1: where must be a table, not None"),
        (RULE + "where = {}\ndrop = true", r"rule 1: where is empty; name a column"),
        (RULE + "where = { a = [] }\ndrop = true", r"where: a must be a word, a number"),
        (RULE + "where = { a = [[1]] }\ndrop = true", r"where: a must be a word, a number"),
        (RULE + "where = { a = 'b' }\nclass = 'big'", r"rule 1: class must be one of motorway"),
        ("rule = ['r']", r"rule 1 must be a table, not 'r'"),
        (RULE + "where = { a = 'b' }", r"rule 1 gives nothing; give width_m, class or drop"),
        (RULE + "where = { a = 'b' }\ndrop = 1", r"drop must be true or false, not 1"),
        (RULE + "where = { a = 'b' }\nwidth_m = 0", r"rule 1: width_m must be .* not 0"),
        (RULE + "where = { a = 'b' }\nwidth = 3", r"rule 1 has no key 'width'"),
        ("[[rule]]\nname='width'\nwhere={a='b'}\ndrop=true", r"'width' is taken"),
        (2 * (RULE + "where = { a = 'b' }\ndrop = true\n"), r"its own, but 'r' is taken"),
        ("[", r"own.toml is not valid TOML"),
        ("a = " + "[" * 100_000, r"own.toml is not valid TOML"),
        ("#" * (1 << 20 | 1), r"1048577 bytes; a file of road rules is far smaller"),
    ],
)
def test_what_is_of_no_use_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_rules(tmp_path / "none.toml")
    path = tmp_path / "own.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not valid TOML"):
        read_rules(path)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.text() | st.booleans())
@example(2**53 + 1)
def test_text_of_a_cell(value: object) -> None:
    text = as_text(value)
    assert text == text.strip().lower()
    assert as_text([value, value]) == f"{text};{text}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        # A whole number to its last digit, which a float would not hold.
        assert type(value)(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7.0, "7"),
        (7.5, "7.5"),
        (float("inf"), "inf"),
        (np.float32(7), "7"),
        (np.int64(7), "7"),
        (np.array([1.0, 2.5]), "1;2.5"),
        (np.array("A"), "a"),
        (("A ", ["b", 1.0]), "a;b;1"),
        ({"A"}, "a"),
        (True, "true"),
    ],
)
def test_text_of_a_cell_by_its_type(value: object, text: str) -> None:
    assert as_text(value) == text
