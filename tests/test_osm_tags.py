"""Values of tags, case by case; formats as on the OSM wiki's pages."""

from __future__ import annotations

import pytest

from rsaug.osm_tags import (
    FOOT_M,
    INCH_M,
    parse_hstore,
    parse_lanes,
    parse_layer,
    parse_length_m,
)


def test_units_are_those_of_the_international_foot() -> None:
    assert FOOT_M == 0.3048
    assert INCH_M == 0.0254


@pytest.mark.parametrize(
    ("text", "metres"),
    [
        ("7", 7.0),
        ("7.5", 7.5),
        ("7,5", 7.5),
        (" 7.5 ", 7.5),
        ("-3", -3.0),
        ("7.5 m", 7.5),
        ("7,5m", 7.5),
        ("-7.5 M", -7.5),
        ("4 metre", 4.0),
        ("4 metres", 4.0),
        ("4 Meters", 4.0),
        ("24 ft", 7.3152),
        ("24ft", 7.3152),
        ("24 feet", 7.3152),
        ("1 foot", 0.3048),
        ("24'", 7.3152),
        ("24\u2032", 7.3152),
        ("24\u2019", 7.3152),
        ("24'6\"", 7.4676),
        ("24' 6\u2033", 7.4676),
        ("24'6\u201d", 7.4676),
        ("24'6''", 7.4676),
        ("5 ft 6 in", 1.6764),
        ("5ft 6 inches", 1.6764),
        ("5 ft 1 inch", 1.5494),
        ("0.5'", 0.1524),
        ("1'0.5\"", 0.3175),
    ],
)
def test_lengths(text: str, metres: float) -> None:
    assert parse_length_m(text) == pytest.approx(metres, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", " ", "wide", "2;3", "2-3", "~3", "7.5.1", ".5", "7.", "1e3", "nan", "inf", "+7", "7 km",
     "7 m 2", "-24 ft", "6\"", "6 in", "24'6", "m", "7 mm", "narrow 3", "3\n4", "- 3"],
)  # fmt: skip
def test_what_is_no_single_length(text: str) -> None:
    assert parse_length_m(text) is None


def test_a_unit_in_the_text_goes_before_that_of_the_column() -> None:
    assert parse_length_m("24", 0.5) == 12.0
    assert parse_length_m("24 m", 0.5) == 24.0
    assert parse_length_m("10'", 0.5) == pytest.approx(3.048)


@pytest.mark.parametrize(
    ("text", "lanes"),
    [("2", 2.0), ("1.5", 1.5), ("1,5", 1.5), (" 3 ", 3.0), ("-1", -1.0), ("0", 0.0), ("2;3", None),
     ("2 m", None), ("", None), ("two", None), ("+2", None)],
)  # fmt: skip
def test_lanes(text: str, lanes: float | None) -> None:
    assert parse_lanes(text) == lanes


@pytest.mark.parametrize(
    ("text", "level"),
    [("1", 1), ("-1", -1), ("+2", 2), ("1.0", 1), ("-1.00", -1), (" 3 ", 3), ("0", 0),
     ("999999999", 999_999_999), ("1000000000", None), ("1.5", None), ("1.", None), ("0;1", None),
     ("ground", None), ("", None), ("1.01", None), ("--1", None)],
)  # fmt: skip
def test_levels(text: str, level: int | None) -> None:
    found = parse_layer(text)
    assert found == level
    assert found is None or type(found) is int


def test_pairs_of_hstore() -> None:
    text = (
        r'"highway"=>"residential", "name" => "Rue \"A\" \\ B","lanes"=>NULL,"note"=>"","a\"b"=>"c'
    )
    assert parse_hstore(text + '\n"') == {
        "highway": "residential",
        "name": 'Rue "A" \\ B',
        'a"b': "c\n",
    }
    assert parse_hstore('"a"=>"b=>c, \\"d\\"=>\\"e\\""') == {"a": 'b=>c, "d"=>"e"'}
    assert parse_hstore("") == parse_hstore("highway=primary") == parse_hstore('"a"=>"b') == {}
