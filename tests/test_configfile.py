"""Configuration files: what they may be, and what is said of those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from rsaug.configfile import read_config, shown, unknown_key
from rsaug.errors import InputError


def write(folder: Path, text: str, name: str = "run.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_remarks_says_nothing(tmp_path: Path) -> None:
    assert read_config(write(tmp_path, "# gsd: 0.6\n")) == {}


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    expected = {"gsd": 0.5, "roads": "ä.gpkg", "all": True, "share": [1, 0.5]}
    yaml = write(tmp_path, "gsd: 0.5\nroads: ä.gpkg\nall: true\nshare: [1, 0.5]\n")
    text = '{"gsd": 0.5, "roads": "ä.gpkg", "all": true, "share": [1, 0.5]}'
    assert read_config(yaml) == read_config(write(tmp_path, text, "run.json")) == expected


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "- gsd", r"has \['gsd'\] instead of keys with values"),
        ("a.yaml", "words", "has 'words' instead of keys"),
        ("a.yaml", "gsd: 1\ngsd: 2", "the key 'gsd' twice"),
        ("a.yaml", "gsd: [1", "is no YAML"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']", "is no YAML"),
        ("a.yaml", "a: &a [*a]\nb: " + "[" * 2000, "nested too deeply|is no YAML"),
        ("a.json", "gsd: 1", "is no JSON"),
        ("a.json", '{"gsd": 1, "gsd": 2}', "the key 'gsd' twice"),
        ("a.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_none_is_refused_in_a_sentence(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_config(write(tmp_path, text, name))
    assert "\n" not in str(caught.value)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for name, message in {
        "none.yaml": "No such file",
        ".": "Is a directory",
        "bytes.yaml": "is no text",
        "zero\0.yaml": "cannot be read",
        "x" * 5000: "cannot be read",
    }.items():
        with pytest.raises(InputError, match=message):
            read_config(tmp_path / name)


def test_references_that_multiply_are_shown_short(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 12)]
    read = read_config(write(tmp_path, "\n".join(lines)))
    assert len(shown(read["a11"])) <= 40


def test_an_unknown_key_is_told_the_one_that_comes_closest() -> None:
    path = Path("run.yaml")
    assert "did you mean 'tile_size'?" in str(unknown_key(path, "tilesize", ["gsd", "tile_size"]))
    assert "there are gsd, roads." in str(unknown_key(path, "zzz", ["gsd", "roads"]))
