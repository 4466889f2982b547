"""A configuration is taken as it is meant, or refused in one sentence that names the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("segmentation_models_pytorch", reason="needs the extra `eval`")

from benchdata import asked

from rsaug.downstream.bench.config import (
    BenchConfig,
    find_config,
    read_config,
    ready_configs,
)
from rsaug.downstream.bench.strict import as_yaml, read_as
from rsaug.errors import InputError


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_out_is_read_back_the_same(tmp_path: Path) -> None:
    made = read_as(BenchConfig, asked(tmp_path, tmp_path / "out"))
    assert read_config(written(tmp_path / "c.yaml", made.to_yaml())) == made
    assert made.label_places == (1, "all")
    assert made.training.learning_rate == 1e-3


@pytest.mark.parametrize("name", sorted(ready_configs()))
def test_ready_configurations_can_be_used(name: str) -> None:
    made = read_config(find_config(name), {"data.root": "elsewhere", "out": "there"})
    assert (made.data.root, made.out) == ("elsewhere", "there")
    assert made.arm(made.baseline).augment == "strong"


def test_the_ready_configurations_are_those_of_the_documentation() -> None:
    wanted = {"massachusetts", "naip", "naip-shipped", "naip-small", "toy"}
    assert set(ready_configs()) == wanted
    with pytest.raises(InputError, match="no configuration none; give a file, or one of mass"):
        find_config("none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": [8]}, "no key 'labels'; did you mean 'label_places'"),
        ({"training": {"step": 3}}, "no key 'training.step'; did you mean 'steps'"),
        ({"data": {"dataset": "naip"}}, "'data.root' is missing; it is a text"),
        ({"seeds": [0, "1"]}, r"'seeds\[1\]' must be a whole number, not '1'"),
        ({"seeds": [True]}, r"'seeds\[0\]' must be a whole number, not True"),
        ({"seeds": 3}, "'seeds' must be a list, each entry a whole number, not 3"),
        ({"training": {"learning_rate": "1e-3"}}, "YAML takes this for a text"),
        ({"label_places": ["most"]}, r"'label_places\[0\]' must be a whole number or 'all'"),
        ({"evaluation": {"metrics": ["ap"]}}, "must be 'iou' or 'f1' or 'relaxed_f1'"),
        ({"baseline": "weak"}, "'baseline' must be the name of an arm, not 'weak'"),
        ({"baseline": "mixed"}, "'mixed' must be an arm of the kind 'real'"),
        ({"seeds": [1, 1]}, "'seeds' has 1 twice"),
        ({"seeds": []}, "'seeds' must have an entry"),
        ({"ratios": [0, 0.5]}, "lies between 0 and 1"),
        ({"pools": []}, "'synthetic' needs a pool of the kind 'synthetic'"),
        ({"training": {"steps": 0}}, "'training.steps' must be 1 or more"),
        ({"evaluation": {"splits": ["train"]}}, "'val' or 'test', not 'train'"),
        ({"out": None}, "'out' must be a text, not nothing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_as(BenchConfig, asked(tmp_path, tmp_path / "out", **changes))


def test_labels_are_not_from_what_is_measured_on(tmp_path: Path) -> None:
    data = {"root": "tiles", "label_split": "val"}
    with pytest.raises(InputError, match=r"'val' is both 'data\.label_split' and in"):
        read_as(BenchConfig, asked(tmp_path, tmp_path / "out", data=data))


def test_an_arm_with_scores_needs_a_threshold_and_a_pool_with_scores(tmp_path: Path) -> None:
    strong = {"name": "strong", "kind": "real"}
    for arm, message in (
        ({"name": "scored", "kind": "scored"}, "'threshold' is for 'scored' only"),
        ({"name": "scored", "kind": "scored", "threshold": 0.5}, "'synthetic' with 'scores'"),
        ({"name": "mixed", "kind": "mixed", "threshold": 0.5}, "'threshold' is for 'scored' only"),
    ):
        with pytest.raises(InputError, match=message):
            read_as(BenchConfig, asked(tmp_path, tmp_path / "out", arms=[strong, arm]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("- a", r"c\.yaml has \['a'\] instead of keys with values"),
        ("", r"c\.yaml is empty; it needs at least the keys data, arms, baseline, out"),
        ("# nothing\n", r"c\.yaml is empty"),
        ("out: a\nout: b\n", r"c\.yaml has the key 'out' twice"),
        ("a: !!python/object/apply:os.getcwd []", "is no YAML"),
    ],
)
def test_files_of_others_are_not_trusted(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_config(written(tmp_path / "c.yaml", text), {"data.root": "elsewhere"})


def test_yaml_comes_back(tmp_path: Path) -> None:
    assert as_yaml({"a": [1, "all"]}) == "a:\n- 1\n- all\n"
